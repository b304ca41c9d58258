"""The blind check of membership inference: a bag of words, which sees the tokens of each row and no model.

Source: K6 (members can be recognized by their dates). Without the check no score is evidence of memorization, because
training and control rows may differ in their words alone.
"""

from typing import Final

import numpy as np
import polars as pl

from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.stats.classification.bag_of_words import MIN_ROWS_PER_CLASS, blind_log_odds

_MAX_ROWS: Final = 50_000  # our choice: rows that the bag of words is fitted to, a sample if there are more


def member_rows(tables: Tables) -> pl.DataFrame:
    """row, cluster, member (a training row), repetitions; rows ascending.

    Training rows that were never shown are not members and are left out.
    """
    rows = tables.clustered_rows.filter((pl.col("role") == "control") | (pl.col("repetitions").fill_null(1) > 0))
    columns = ("row", pl.col("cluster").cast(pl.Int64), "member", "repetitions")
    return rows.with_columns(member=pl.col("role") == "train").select(columns).collect().sort("row")


def blind_scores(tables: Tables, rows: pl.DataFrame, cell: Cell) -> pl.Series:
    """Log-odds that each row is a member, from the tokens of its window alone; null where these are unknown.

    Rows of one document, copies and near-copies are in one fold.

    Args:
        rows: from `member_rows`.
    """
    fitted_rows = _rows_with_tokens(tables, rows, cell)
    tokens_long = fitted_rows.with_row_index("place").select("place", "tokens").explode("tokens")
    log_odds = blind_log_odds(
        tokens_long["place"], tokens_long["tokens"], fitted_rows["member"], fitted_rows["cluster"], seed=0
    )
    blind = fitted_rows.select("row", pl.Series("blind", log_odds, dtype=pl.Float64).fill_nan(None))
    return rows.select("row").join(blind, on="row", how="left", maintain_order="left")["blind"]


def why_unchecked(tables: Tables, cell: Cell) -> str:
    """Why `blind_scores` are not known of enough rows of both sides, as the end of a sentence, with the remedy."""
    if "tokens" not in tables.features:
        return "it needs row features (`mematlas features STUDY`)"
    rows = _rows_with_tokens(tables, member_rows(tables), cell)
    sides = {name: rows.filter(member=is_member) for name, is_member in (("training", True), ("control", False))}
    if min(side.height for side in sides.values()) < MIN_ROWS_PER_CLASS:
        counts = " and ".join(f"{side.height:,} {name} rows" for name, side in sides.items())
        return f"it needs {MIN_ROWS_PER_CLASS} rows of each side, and there are {counts} with known tokens"
    single = [f"all {side.height:,} {name} rows" for name, side in sides.items() if side["cluster"].n_unique() == 1]
    if single:
        return (
            f"{' and '.join(single)} are of one document, and one document on a side leaves nothing to hold out; take "
            "rows of several documents on both sides"
        )
    return "with documents held out too few rows of a side are left; take rows of more documents"


def _rows_with_tokens(tables: Tables, rows: pl.DataFrame, cell: Cell) -> pl.DataFrame:
    """A sample of `rows`: row, member, cluster, tokens (the distinct ones of the window); of rows with known tokens."""
    if "tokens" not in tables.features:
        return rows.clear().select("row", "member", "cluster", pl.lit([], pl.List(pl.Int32)).alias("tokens"))
    sample = np.sort(np.random.default_rng(0).permutation(rows.height)[:_MAX_ROWS])
    start = 0 if tables.settings.get("align", "start") == "start" else max(tables.contexts) - cell.context
    distinct_tokens = pl.col("tokens").list.slice(start, cell.context + cell.continuation).list.unique()
    tokens = tables.features["tokens"].select("row", distinct_tokens).filter(pl.col("tokens").list.len() > 0)
    return rows[sample].select("row", "member", "cluster").join(tokens.collect(), on="row").sort("row")
