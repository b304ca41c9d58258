"""Survival curves of the verbatim length: the share of rows that recite at least n tokens before the first miss.

Source: our choice, in addition to P1, Fig. 2 (a).
"""

from typing import Final

import polars as pl

from mematlas.analyses.frames.memorized_shares import ROLE_DESCRIPTION, in_model_order
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS, with_shares
from mematlas.analyses.frames.study_tables import Tables

SURVIVAL_COLUMNS: Final = {
    "model": "label of the model",
    "role": ROLE_DESCRIPTION,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite: the longest continuation of the context",
    "tokens": "tokens before the first miss, 0 to continuation",
    "rows": "rows that recite at least so many tokens",
    "of": "rows scored at this continuation",
    "share": "rows / of",
    "share_lower": "lower end of its Wilson 95 % interval; null at 0 tokens, which all rows recite by definition",
    "share_upper": "upper end of it",
    **SAMPLE_COLUMNS,
}
_RECIPE: Final = """\
cells = recount.lines(study).drop_nulls("verbatim").group_by("model", "role", "context", "continuation", "cluster")
rows = pl.concat(cells.agg(tokens=n, rows=(pl.col("verbatim") >= n).sum(), of=pl.len()) for n in range({end}))
answer = recount.with_shares(rows, "rows", "of").with_columns(pl.when(pl.col.tokens > 0).then(pl.col("^share_.*$")))"""


def survival_recipe(tables: Tables) -> str:
    """The recipe of `verbatim_survival`; it computes the curves of all continuations."""
    return _RECIPE.format(end=max(tables.continuations) + 1)


def verbatim_survival(tables: Tables) -> pl.DataFrame:
    """One record per model, role, context and number of tokens, at the longest continuation; columns SURVIVAL_COLUMNS.

    The curve of a shorter continuation is the beginning of the same curve.
    """
    group = ("model", "role", "context", "continuation", *tables.cluster_key)
    counts = tables.verbatim_counts(*tables.cluster_key).filter(pl.col("verbatim").is_not_null())
    counts = counts.filter(pl.col("continuation") == pl.col("continuation").max().over("model", "context"))
    rows_by_length = counts.group_by(*group, pl.col("verbatim").cast(pl.Int64).alias("tokens")).agg(
        pl.col("rows").sum()
    )
    lengths = counts.select(*group).unique()
    lengths = lengths.with_columns(pl.int_ranges(0, pl.col("continuation") + 1).alias("tokens")).explode("tokens")
    frame = in_model_order(lengths.join(rows_by_length, on=[*group, "tokens"], how="left"), tables, "tokens")
    rows_of_length = pl.col("rows").fill_null(0)
    frame = frame.with_columns(
        rows_of_length.cum_sum(reverse=True).over(*group).alias("rows"), rows_of_length.sum().over(*group).alias("of")
    )
    not_by_definition = pl.when(pl.col("tokens") > 0)
    return (
        with_shares(frame, "rows", "of")
        .with_columns(not_by_definition.then(name).alias(name) for name in ("share_lower", "share_upper"))
        .select(*SURVIVAL_COLUMNS)
    )
