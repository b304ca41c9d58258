"""Sentences about where else in the corpus the continuation of a gallery row occurs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from mematlas.errors import StudyError
from mematlas.io.local_copies import fetch

Key = tuple[int, int, int]  # row, context, continuation

_MAX_LISTED: Final = 3  # occurrences described one by one
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


def read_gallery_table(
    path: Path, run_key: str, columns: Mapping[str, Any], added: Sequence[str] = ()
) -> pl.DataFrame | None:
    """These columns of a table of the gallery; None if the file does not exist or belongs to another run.

    added: those of `columns` that older versions did not write; they are null there.

    Raises:
        StudyError: the file is damaged or lacks a column.
    """
    if not path.is_file():
        return None
    try:
        file = fetch(path)
        if pl.read_parquet_metadata(file).get("mematlas.run", run_key) != run_key:
            return None
        table = pl.read_parquet(file)
        later = [pl.lit(None).alias(name) for name in added if name not in table.columns]
        return table.with_columns(later).select(pl.col(name).cast(dtype) for name, dtype in columns.items())
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise StudyError(
            f"{path} is damaged ({reason}); delete it, or write it again with `mematlas run STUDY_FILE`."
        ) from None


def read_occurrences(study: Path, run_key: str) -> dict[Key, str]:
    """(row, context, continuation) -> where else it occurs, from STUDY/gallery/places.parquet; {} without that file.

    Raises:
        StudyError: the file is damaged or lacks a column.
    """
    table = read_gallery_table(study / "gallery" / "places.parquet", run_key, _COLUMNS)
    if table is None:
        return {}
    keys = ("row", "context", "continuation")
    groups = table.sort(*keys, "place").partition_by(*keys, as_dict=True)
    return {key: describe_occurrences(group.to_dicts()) for key, group in groups.items()}


def describe_occurrences(occurrences: Sequence[Mapping[str, Any]]) -> str:
    """A sentence from the records of one continuation, in the order of its occurrences."""
    total = occurrences[0]["elsewhere"]
    if total is None:
        return "Whether this continuation occurs elsewhere is unknown: it crosses the end of a document."
    if not total:
        return "This continuation occurs nowhere else in the corpus."
    listed = [_describe(occurrence) for occurrence in occurrences[:_MAX_LISTED]]
    more = total - len(listed)
    listed += [f"{more:,} more place{'s' * (more > 1)}"] if more else []
    return f"This continuation also occurs in: {'; '.join(listed)}."


def _describe(occurrence: Mapping[str, Any]) -> str:
    row = "this row itself" if occurrence["same_row"] else f"row {occurrence['corpus_row']}"
    parts = [occurrence["source"], row, f"offset {occurrence['offset']} tokens"]
    step = occurrence["training_step"]
    parts += [f"shown at training step {step}"] if step is not None else []
    return ", ".join(part for part in parts if part)
