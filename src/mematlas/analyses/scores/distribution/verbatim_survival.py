"""How far rows are recited: the share of rows with so many tokens before the first miss.

Source: our choice of a survival curve of the verbatim length, beside P1, Fig. 2 (a).
"""

from typing import Final

import polars as pl

from mematlas.analyses.frames.memorized_shares import ROLE, in_order
from mematlas.analyses.frames.proportions import with_shares
from mematlas.analyses.frames.study_tables import Tables

SURVIVAL: Final = {
    "model": "label of the model",
    "role": ROLE,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite: the longest continuation of the context",
    "tokens": "tokens before the first miss, 0 to continuation",
    "rows": "rows that recite at least so many tokens",
    "of": "rows scored at this continuation",
    "share": "rows / of",
    "share_lower": "lower end of its Wilson 95 % interval; null at 0 tokens, which all rows recite by definition",
    "share_upper": "upper end of it",
}
_RECIPE: Final = """\
cells = recount.lines(study).drop_nulls("verbatim").group_by("model", "role", "context", "continuation")
rows = pl.concat(cells.agg(tokens=n, rows=(pl.col("verbatim") >= n).sum(), of=pl.len()) for n in range({end}))
answer = recount.with_shares(rows, "rows", "of").with_columns(pl.when(pl.col.tokens > 0).then(pl.col("^share_.*$")))"""


def survival_recipe(tables: Tables) -> str:
    """The recipe of `verbatim_survival`: the curves of all continuations."""
    return _RECIPE.format(end=max(tables.continuations) + 1)


def verbatim_survival(tables: Tables) -> pl.DataFrame:
    """One line a model, role, context and number of tokens, at the longest continuation; columns SURVIVAL.

    Shorter continuations are the same curve cut off.
    """
    group = ("model", "role", "context", "continuation")
    counts = tables.verbatim_counts().filter(pl.col("verbatim").is_not_null())
    counts = counts.filter(pl.col("continuation") == pl.col("continuation").max().over("model", "context"))
    known = counts.group_by(*group, pl.col("verbatim").cast(pl.Int64).alias("tokens")).agg(pl.col("rows").sum())
    steps = counts.select(*group).unique()
    steps = steps.with_columns(pl.int_ranges(0, pl.col("continuation") + 1).alias("tokens")).explode("tokens")
    frame = in_order(steps.join(known, on=[*group, "tokens"], how="left"), tables, "tokens")
    exact = pl.col("rows").fill_null(0)
    frame = frame.with_columns(
        exact.cum_sum(reverse=True).over(*group).alias("rows"), exact.sum().over(*group).alias("of")
    )
    certain = pl.when(pl.col("tokens") > 0)
    return (
        with_shares(frame, "rows", "of")
        .with_columns(certain.then(name).alias(name) for name in ("share_lower", "share_upper"))
        .select(*SURVIVAL)
    )
