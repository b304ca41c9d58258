"""EleutherAI/pile-{duped,deduped}-pythia-random-sampled: five million rows, each with the scores of eight models.

Columns: Index (row in training order), 70M ... 12B (M at 32 tokens after 32, a multiple of 1/32), Tokens (64, uint16).
The verbatim length is not published. Source: the data set's card.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from mematlas.errors import CorpusError
from mematlas.importers import pythia
from mematlas.importers.base import CONTINUATION, ModelScores, PublishedModel, PublishedScores, check_row_ids
from mematlas.importers.files import (
    Source,
    complete_files,
    parse_piece,
    read_ids,
    read_schema,
    require_integers,
    translate_read_errors,
)

_INDEX = "Index"
_SCORES = tuple(size.upper() for size in pythia.PARAMETERS)


class RandomSampled:
    """One table, in one file or in several pieces."""

    name = "random-sampled"

    def detect(self, columns: Sequence[str]) -> bool:
        """Detected by `Index` and a column of scores."""
        return _INDEX in columns and any(name in columns for name in _SCORES)

    def open(self, sources: Sequence[Source]) -> PublishedScores:
        """See Layout.open."""
        files = _files(sources)
        columns = self._columns(files)
        frame = pl.scan_parquet(list(files))
        rows = check_row_ids(read_ids(files, _INDEX), files[0])
        with translate_read_errors(files[0]):
            _check_scores(frame, columns)
        prefix = sources[0].label or pythia.training_data(str(sources[0].path))
        labels = {name: f"{prefix}.{name.lower()}" if prefix else name.lower() for name in columns}

        def read_scores(start: int, stop: int) -> Iterator[ModelScores]:
            with translate_read_errors(files[0]):
                part = frame.select(columns).slice(start, stop - start).collect(engine="streaming")
            for name in columns:
                matches = _matches(name, part)
                yield ModelScores(
                    labels[name], rows[start:stop], matches.fill_null(0).to_numpy(), matches.is_not_null().to_numpy()
                )

        models = tuple(
            PublishedModel(label, files, pythia.parameters(name), pythia.training_step(name))
            for name, label in labels.items()
        )
        return PublishedScores(models, rows, True, read_scores, "Tokens")

    def _columns(self, files: Sequence[Path]) -> list[str]:
        """The columns of scores, which must be the same in all files."""
        columns: list[str] = []
        for file in files:
            require_integers(file, _INDEX, self.name)
            schema = read_schema(file)
            present = [name for name in _SCORES if name in schema]
            if not present or (columns and present != columns):
                raise CorpusError(
                    f"{file} has the score columns {', '.join(present) or 'none'}, not "
                    f"{', '.join(columns or _SCORES)}; all files of the table need the same; check the file."
                )
            textual = [name for name in present if not schema[name].is_numeric()]
            if textual:
                raise CorpusError(f"{file}: the column {textual[0]!r} is {schema[textual[0]]}; scores are numbers.")
            columns = present
        return columns


def _files(sources: Sequence[Source]) -> tuple[Path, ...]:
    """The files of the one table.

    Raises:
        CorpusError: there are several tables, or a piece is missing.
    """
    pieces = [parse_piece(file) for source in sources for file in source.files]
    if len({source.label for source in sources}) > 1 or len({part.name for part in pieces}) > 1:
        raise CorpusError(
            f"{sources[0].path} and {sources[-1].path} contain different tables, whose rows differ; "
            "import each into its own --study."
        )
    return complete_files(pieces)


def _matches(column: str, part: pl.DataFrame) -> pl.Series:
    """Scores as counts of matches; null stays null."""
    return (part[column].cast(pl.Float64).fill_nan(None) * CONTINUATION).round().cast(pl.Int32)


def _check_scores(frame: pl.LazyFrame, columns: Sequence[str]) -> None:
    """Check that every score is null or a multiple of 1/32 from 0 to 1, so that its count of matches is exact."""
    score = pl.all().cast(pl.Float64).fill_nan(None)
    is_valid = score.is_between(0, 1) & (score * CONTINUATION == (score * CONTINUATION).round())
    invalid = frame.select(columns).select(score.filter(~is_valid).first()).collect(engine="streaming")
    for name in columns:
        value = invalid[name][0]
        if value is not None:
            raise CorpusError(
                f"The column {name} has the score {value:g}; a score at {CONTINUATION} tokens is a multiple of "
                f"1/{CONTINUATION} from 0 to 1; check the file."
            )


LAYOUT = RandomSampled()
