"""Survival curves of the verbatim length: the share of rows that recite at least n tokens before the first miss.

Source: our choice, in addition to P1, Fig. 2 (a).
"""

from functools import partial
from typing import Final

import polars as pl

from mematlas.analyses.frames.memorized_shares import ROLE_DESCRIPTION, in_model_order
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS, several_shares
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
_LENGTHS_AT_ONCE: Final = 128  # lengths whose counts in each cluster are in memory together
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
    known = pl.col("verbatim").is_not_null()
    counts = tables.verbatim_counts().filter(known)
    longest = counts.group_by("model", "context", maintain_order=True).agg(pl.col("continuation").max())
    if not longest.height:
        return pl.DataFrame(schema=dict.fromkeys(SURVIVAL_COLUMNS))
    cells = longest.group_by("context", "continuation", maintain_order=True).agg("model")
    is_longest = pl.any_horizontal(
        (pl.col("context") == context) & (pl.col("continuation") == length) & pl.col("model").is_in(models)
        for context, length, models in cells.iter_rows()
    )
    frames = []
    end = max(longest["continuation"].to_list()) + 1
    for start in range(0, end, _LENGTHS_AT_ONCE):
        lengths = range(start, min(start + _LENGTHS_AT_ONCE, end))
        recited = [
            (pl.col("rows") * (pl.col("verbatim") >= tokens)).sum().alias(str(column))
            for column, tokens in enumerate(lengths)
        ]
        counted = (*recited, pl.col("rows").sum().alias("of"))
        shares = partial(_shares, lengths=lengths)
        frames.append(tables.reduced_sums(shares, *counted, value="verbatim", where=known & is_longest))
    not_by_definition = pl.when(pl.col("tokens") > 0)
    return (
        in_model_order(pl.concat(frames), tables, "tokens")
        .with_columns(not_by_definition.then(name).alias(name) for name in ("share_lower", "share_upper"))
        .select(*SURVIVAL_COLUMNS)
    )


def _shares(sums: pl.DataFrame, lengths: range) -> pl.DataFrame:
    """The shares of rows that recite at least so many tokens, each of `lengths` that a continuation has."""
    return pl.concat(
        frame.filter(pl.col("continuation") >= tokens).with_columns(pl.lit(tokens, pl.Int64).alias("tokens"))
        for tokens, frame in zip(lengths, several_shares(sums, len(lengths)), strict=True)
    )
