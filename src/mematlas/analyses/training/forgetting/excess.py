"""The excess of rows that were shown over the same rows in a branch without showings, and what is left of it.

Source: P8, section 5. M is the share of tokens predicted right from the true tokens before.
"""

from typing import Final

import polars as pl

from mematlas.analyses.training.arms import block_means, split_names, with_parameters

_INTERVAL: Final = "of its 95 % interval (Student's t over blocks of rows)"
EXCESS_COLUMNS: Final = {
    "group": "models that branched off from the same one",
    "parameters": "number of weights",
    "branch": "how often it was shown the rows; 0x-again is the branch without showings, trained once more",
    "times": "showings of every row",
    "step": "optimizer steps",
    "t": "steps after the last showing",
    "after": "t from 1 on, for a logarithmic axis",
    "rows": "rows that were shown",
    "shown": "M of these rows in this branch",
    "never": "M of the same rows in the branch that was shown them 0 times",
    "control": "M of rows that no branch was shown, in this branch",
    "excess": "shown - never",
    "excess_lower": f"lower end {_INTERVAL}",
    "excess_upper": f"upper end {_INTERVAL}",
}
LEFT_COLUMNS: Final = {
    **{name: EXCESS_COLUMNS[name] for name in ("group", "parameters", "branch", "times", "rows")},
    "at_last": "excess right after the last showing",
    "peak": "largest excess from then on",
    "peak_t": "steps after the last showing at the peak",
    "lowest": "smallest excess from then on",
    "last_t": "steps after the last showing at the end",
    "left": "excess at the end",
    "left_lower": f"lower end {_INTERVAL}",
    "left_upper": f"upper end {_INTERVAL}",
}


def forgetting_excess(probes: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """The excess of every branch at every measured step; empty without a branch that was shown nothing."""
    parts = split_names(probes).filter(pl.col("branch").is_not_null())
    paired = block_excess(parts)
    by = ["group", "branch", "step"]
    means = [block_means(paired, name, by) for name in ("excess", "shown", "never")]
    joined = means[0]
    for other, name in zip(means[1:], ("shown", "never"), strict=True):
        joined = joined.join(other.select(*by, name), on=by, how="left", maintain_order="left")
    control = parts.filter(set="control", metric="M").select(*by, control="value").unique(by)
    times, last = _showings(parts)
    joined = joined.join(control, on=by, how="left", maintain_order="left")
    joined = joined.join(times, on=by[:2], how="left", maintain_order="left").join(last, on="group", how="left")
    joined = joined.with_columns(t=pl.col("step") - pl.col("last"))
    joined = joined.with_columns(after=pl.when(pl.col("t") > 0).then("t"))
    ordered = with_parameters(joined, models, "group").sort("parameters", "group", "times", "branch", "step")
    return ordered.select(*EXCESS_COLUMNS)


def block_excess(parts: pl.DataFrame) -> pl.DataFrame:
    """The excess of every block of rows, from probes with the parts of their names (`split_names`)."""
    special = parts.filter(set="special", metric="M")
    keys = ["group", "step", "block"]
    never = special.filter(branch="0x").select(*keys, never="value")
    paired = special.filter(pl.col("branch") != "0x").join(never, on=keys, maintain_order="left")
    return paired.with_columns(excess=pl.col("value") - pl.col("never"), shown="value")


def _showings(parts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """How often each branch was shown the rows (group, branch, times), and each group's last showing (group, last)."""
    shown = parts.filter(set="special", metric="shown").group_by("group", "branch", "step").agg(pl.col("value").mean())
    times = shown.group_by("group", "branch").agg(times=pl.col("value").max().round().cast(pl.Int64))
    reached = shown.filter((pl.col("value") == pl.col("value").max().over("group", "branch")) & (pl.col("value") > 0))
    first = reached.group_by("group", "branch").agg(last=pl.col("step").min())
    return times, first.group_by("group").agg(pl.col("last").max())


def forgetting_left(excess: pl.DataFrame) -> pl.DataFrame:
    """For every branch: the excess right after the last showing, at its peak, and at the end."""
    after = excess.filter(pl.col("t") >= 0).sort("step", maintain_order=True)
    by = ["group", "parameters", "branch", "times"]
    first, last = pl.col("t") == 0, pl.col("t") == pl.col("t").max()
    summary = after.group_by(by, maintain_order=True).agg(
        pl.col("rows").last(),
        pl.col("excess").filter(first).first().alias("at_last"),
        pl.col("excess").max().alias("peak"),
        pl.col("t").get(pl.col("excess").arg_max()).alias("peak_t"),
        pl.col("excess").min().alias("lowest"),
        pl.col("t").max().alias("last_t"),
        *(pl.col(f"excess{end}").filter(last).first().alias(f"left{end}") for end in ("", "_lower", "_upper")),
    )
    return summary.sort("parameters", "group", "times", "branch").select(*LEFT_COLUMNS)
