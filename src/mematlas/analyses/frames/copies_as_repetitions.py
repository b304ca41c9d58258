"""Copies in the corpus in place of repetitions, for studies whose corpus does not record how often a row was shown.

Source: P9, which takes a row's copies in the corpus for the number of times that it was trained on.
"""

from dataclasses import replace
from typing import Final

import polars as pl

from mematlas.analyses.frames.copies import scopes
from mematlas.analyses.frames.repetition_samples import bucket_counts
from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.study import Study

COUNTS_RECIPE: Final = "counts = recount.buckets_by_copies(study)\n"
BUCKETS_RECIPE: Final = "answer = recount.shortfall(recount.rows_by_copies(study).lazy())"


def by_copies(tables: Tables) -> Tables | None:
    """`tables` with each training row's copies, of its window in the reference cell, as its repetitions.

    None where any row's repetitions are recorded, or no row's copies are known.
    """
    known = scopes(tables)
    recorded = tables.rows.select(pl.col("repetitions").is_not_null().any()).collect().item()
    if recorded or not known:
        return None
    cell = tables.reference
    here = tables.features["copies"].filter(context=cell.context, continuation=cell.continuation)
    copies = here.select("row", pl.col(f"window_{known[0]}").alias("copies"))
    shown = pl.when(pl.col("role") == "train").then("copies").cast(pl.Int64).alias("repetitions")
    rows = tables.rows.join(copies, on="row", how="left", maintain_order="left").with_columns(shown).drop("copies")
    return replace(tables, rows=rows, _kept={})


def told(tables: Tables) -> str:
    """What stands in for repetitions, as a sentence."""
    return (
        "How often rows were shown is not recorded: their exact copies in the corpus stand in for it (of "
        f"{tables.reference} tokens, within {scopes(tables)[0]})."
    )


def rows_by_copies(study: Study, run: str | None = None) -> pl.DataFrame:
    """The rows of a study, as `Study.rows`, with copies in the corpus as repetitions where none are recorded.

    Raises:
        StudyError: the run is not finished.
    """
    tables = read_tables(study, run)
    return (by_copies(tables) or tables).rows.collect()


def buckets_by_copies(study: Study, run: str | None = None) -> pl.DataFrame:
    """Rows and memorized rows by bucket of repetitions, or of copies in the corpus where none are recorded.

    Returns:
        as `recount.sample_shares` and `recount.law_points` take it.

    Raises:
        StudyError: the run is not finished.
    """
    tables = read_tables(study, run)
    return bucket_counts(by_copies(tables) or tables)
