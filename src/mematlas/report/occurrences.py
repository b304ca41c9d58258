"""Where else in the corpus a row of the gallery stands, in words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from mematlas.errors import StudyError
from mematlas.io.local_copies import fetch

Key = tuple[int, int, int]  # row, context, continuation

_NAMED: Final = 3  # places told one by one
_COLUMNS: Final[dict[str, Any]] = {
    "row": pl.Int64,
    "context": pl.Int64,
    "continuation": pl.Int64,
    "elsewhere": pl.Int64,
    "place": pl.Int64,
    "corpus_row": pl.Int64,
    "offset": pl.Int64,
    "same_row": pl.Boolean,
    "source": pl.String,
    "training_step": pl.Int64,
}


def read_lines(path: Path, run_key: str, columns: Mapping[str, Any]) -> pl.DataFrame | None:
    """These columns of a table beside the gallery; None if there is none, or that of another run.

    Raises:
        StudyError: the file is damaged or lacks a column.
    """
    if not path.is_file():
        return None
    try:
        file = fetch(path)
        if pl.read_parquet_metadata(file).get("mematlas.run", run_key) != run_key:
            return None
        return pl.read_parquet(file).select(pl.col(name).cast(kind) for name, kind in columns.items())
    except (OSError, pl.exceptions.PolarsError) as error:
        first = str(error).splitlines()[0]
        raise StudyError(f"{path} is damaged ({first}); delete it, or make it again.") from None


def read_places(study: Path, run_key: str) -> dict[Key, str]:
    """Row, context and continuation -> where else they stand, of STUDY/gallery/places.parquet; {} if there is none.

    Raises:
        StudyError: the file is damaged or lacks a column.
    """
    lines = read_lines(study / "gallery" / "places.parquet", run_key, _COLUMNS)
    if lines is None:
        return {}
    keys = ("row", "context", "continuation")
    parts = lines.sort(*keys, "place").partition_by(*keys, as_dict=True)
    return {key: stands(part.to_dicts()) for key, part in parts.items()}


def stands(places: Sequence[Mapping[str, Any]]) -> str:
    """A sentence from the lines of one row, in the order of its places."""
    elsewhere = places[0]["elsewhere"]
    if elsewhere is None:
        return "Where else this continuation stands is not known: it crosses the end of a document."
    if not elsewhere:
        return "This continuation stands nowhere else in the corpus."
    named = [_place(line) for line in places[:_NAMED]]
    more = elsewhere - len(named)
    named += [f"{more:,} more place{'s' * (more > 1)}"] if more else []
    return f"This continuation also stands in: {'; '.join(named)}."


def _place(line: Mapping[str, Any]) -> str:
    row = "this row itself" if line["same_row"] else f"row {line['corpus_row']}"
    words = [line["source"], row, f"offset {line['offset']} tokens"]
    step = line["training_step"]
    words += [f"shown at training step {step}"] if step is not None else []
    return ", ".join(word for word in words if word)
