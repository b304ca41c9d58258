"""Copies in the corpus as a substitute for repetitions, for corpora that do not record how often a row was trained on.

Source: P9, which takes the number of a row's copies in the corpus as the number of times that it was trained on.
"""

from dataclasses import replace
from typing import Final

import polars as pl

from mematlas.analyses.frames.copies import known_scopes
from mematlas.analyses.frames.repetition_samples import bucket_counts
from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.study import Study

COUNTS_RECIPE: Final = "counts = recount.buckets_by_copies(study)\n"
BUCKETS_RECIPE: Final = "answer = recount.shortfall(recount.rows_by_copies(study).lazy())"


def with_copies_as_repetitions(tables: Tables) -> Tables | None:
    """`tables` with the number of copies of each training row's window in the reference cell as its repetitions.

    None where any row's repetitions are recorded, or no row's copies are known.
    """
    counted_scopes = known_scopes(tables)
    recorded = tables.rows.select(pl.col("repetitions").is_not_null().any()).collect().item()
    if recorded or not counted_scopes:
        return None
    cell = tables.reference
    windows = tables.features["copies"].filter(context=cell.context, continuation=cell.continuation)
    copies = windows.select("row", pl.col(f"window_{counted_scopes[0]}").alias("copies"))
    repetitions = pl.when(pl.col("role") == "train").then("copies").cast(pl.Int64).alias("repetitions")
    rows = (
        tables.rows.join(copies, on="row", how="left", maintain_order="left").with_columns(repetitions).drop("copies")
    )
    return replace(tables, rows=rows)


def copies_caveat(tables: Tables) -> str:
    """The caveat that copies replace repetitions, as a sentence."""
    return (
        "How often rows were shown is not recorded: their exact copies in the corpus stand in for it (of "
        f"{tables.reference} tokens, within {known_scopes(tables)[0]})."
    )


def rows_by_copies(study: Study, run: str | None = None) -> pl.DataFrame:
    """The rows of a study, as `Study.rows`, with copies in the corpus as repetitions where none are recorded.

    Raises:
        StudyError: the run is not finished.
    """
    tables = read_tables(study, run)
    return (with_copies_as_repetitions(tables) or tables).rows.collect()


def buckets_by_copies(study: Study, run: str | None = None) -> pl.DataFrame:
    """Rows and memorized rows by bucket of repetitions, or of copies in the corpus where no repetitions are recorded.

    Returns:
        the argument of `recount.sample_shares` and `recount.law_points`.

    Raises:
        StudyError: the run is not finished.
    """
    tables = read_tables(study, run)
    return bucket_counts(with_copies_as_repetitions(tables) or tables)
