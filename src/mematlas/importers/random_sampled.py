"""EleutherAI/pile-{duped,deduped}-pythia-random-sampled: five million rows, each with the score of eight models.

Columns: Index (row in training order), 70M ... 12B (M at 32 tokens after 32, a multiple of 1/32), Tokens (64, uint16).
The verbatim length is not published. Source: the data set's card.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from mematlas.errors import CorpusError
from mematlas.importers import pythia
from mematlas.importers.base import CONTINUATION, Lines, Published, PublishedModel, distinct
from mematlas.importers.files import Source, piece, read_ids, reading, require_integers, schema_of, whole

_INDEX = "Index"
_SCORES = tuple(size.upper() for size in pythia.PARAMETERS)


class RandomSampled:
    """One table, in one file or several pieces."""

    name = "random-sampled"

    def detect(self, columns: Sequence[str]) -> bool:
        """By `Index` and a column of scores."""
        return _INDEX in columns and any(name in columns for name in _SCORES)

    def open(self, sources: Sequence[Source]) -> Published:
        """See Layout.open."""
        files = _files(sources)
        columns = self._columns(files)
        frame = pl.scan_parquet(list(files))
        rows = distinct(read_ids(files, _INDEX), files[0])
        with reading(files[0]):
            _check_scores(frame, columns)
        prefix = sources[0].label or pythia.scheme(str(sources[0].path))
        labels = {name: f"{prefix}.{name.lower()}" if prefix else name.lower() for name in columns}

        def lines(start: int, stop: int) -> Iterator[Lines]:
            with reading(files[0]):
                part = frame.select(columns).slice(start, stop - start).collect(engine="streaming")
            for name in columns:
                matches = _matches(name, part)
                yield Lines(
                    labels[name], rows[start:stop], matches.fill_null(0).to_numpy(), matches.is_not_null().to_numpy()
                )

        models = tuple(
            PublishedModel(label, files, pythia.parameters(name), pythia.training_step(name))
            for name, label in labels.items()
        )
        return Published(models, rows, True, lines, "Tokens")

    def _columns(self, files: Sequence[Path]) -> list[str]:
        """The columns of scores, the same in all files."""
        found: list[str] = []
        for file in files:
            require_integers(file, _INDEX, self.name)
            schema = schema_of(file)
            here = [name for name in _SCORES if name in schema]
            if not here or (found and here != found):
                raise CorpusError(
                    f"{file} has the score columns {', '.join(here) or 'none'}, not {', '.join(found or _SCORES)}; "
                    "all files of the table need the same; check the file."
                )
            odd = [name for name in here if not schema[name].is_numeric()]
            if odd:
                raise CorpusError(f"{file}: the column {odd[0]!r} is {schema[odd[0]]}; scores are numbers; check it.")
            found = here
        return found


def _files(sources: Sequence[Source]) -> tuple[Path, ...]:
    """The pieces of the one table.

    Raises:
        CorpusError: there are several tables, or a piece is missing.
    """
    pieces = [piece(file) for source in sources for file in source.files]
    if len({source.label for source in sources}) > 1 or len({part.name for part in pieces}) > 1:
        raise CorpusError(
            f"{sources[0].path} and {sources[-1].path} hold different tables, whose rows differ; "
            "import each into its own --study."
        )
    return whole(pieces)


def _matches(column: str, part: pl.DataFrame) -> pl.Series:
    """Scores as integer counts of matches; null stays null."""
    return (part[column].cast(pl.Float64).fill_nan(None) * CONTINUATION).round().cast(pl.Int32)


def _check_scores(frame: pl.LazyFrame, columns: Sequence[str]) -> None:
    """Every score is null or a multiple of 1/32 from 0 to 1: then its count of matches is exact."""
    score = pl.all().cast(pl.Float64).fill_nan(None)
    tenable = score.is_between(0, 1) & (score * CONTINUATION == (score * CONTINUATION).round())
    bad = frame.select(columns).select(score.filter(~tenable).first()).collect(engine="streaming")
    for name in columns:
        value = bad[name][0]
        if value is not None:
            raise CorpusError(
                f"The column {name} holds the score {value:g}; a score at {CONTINUATION} tokens is a multiple of "
                f"1/{CONTINUATION} from 0 to 1; check the file."
            )


LAYOUT = RandomSampled()
