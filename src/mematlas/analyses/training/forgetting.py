"""What is left of rows that were shown a few times, while training goes on without them.

Source: P8, section 5. The excess is M of the rows in a branch that was shown them, minus M of the same rows in the
branch that was shown them 0 times, after the same step. M is the share of tokens predicted right from the true tokens
before.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.training.arms import block_means, split_names, with_parameters
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend
from mematlas.stats.estimates.intervals import standard_error

_TREND: Final = "larger-models-forget-less"
_INTERVAL: Final = "of its 95 % interval (Student's t over blocks of rows)"
_EXCESS_COLUMNS: Final = {
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
_LEFT_COLUMNS: Final = {
    **{name: _EXCESS_COLUMNS[name] for name in ("group", "parameters", "branch", "times", "rows")},
    "at_last": "excess right after the last showing",
    "peak": "largest excess from then on",
    "peak_t": "steps after the last showing at the peak",
    "lowest": "smallest excess from then on",
    "last_t": "steps after the last showing at the end",
    "left": "excess at the end",
    "left_lower": f"lower end {_INTERVAL}",
    "left_upper": f"upper end {_INTERVAL}",
}
_CHARTS: Final = (
    Chart(
        "excess",
        "Excess over the branch that was never shown the rows, after the last showing",
        "lines",
        "excess",
        Axis("after", "steps after the last showing", "log"),
        Axis("excess", "excess of M"),
        Axis("branch", "showings", "nominal"),
        "excess_lower",
        "excess_upper",
        "group",
        reference=(0.0, "nothing left"),
    ),
    Chart(
        "left",
        "What is left at the end",
        "points",
        "left",
        Axis("times", "showings"),
        Axis("left", "excess of M"),
        Axis("group", "model", "nominal"),
        "left_lower",
        "left_upper",
        reference=(0.0, "nothing left"),
    ),
)


def forgetting_excess(probes: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """The excess of every branch at every measured step; empty without a branch that was shown nothing."""
    parts = split_names(probes).filter(pl.col("branch").is_not_null())
    special = parts.filter(set="special", metric="M")
    keys = ["group", "step", "block"]
    never = special.filter(branch="0x").select(*keys, never="value")
    paired = special.filter(pl.col("branch") != "0x").join(never, on=keys, maintain_order="left")
    paired = paired.with_columns(excess=pl.col("value") - pl.col("never"), shown="value")
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
    return ordered.select(*_EXCESS_COLUMNS)


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
    return summary.sort("parameters", "group", "times", "branch").select(*_LEFT_COLUMNS)


def compute(tables: Tables) -> Finding:
    """Compute the excess of every branch; the claim is on the largest model and the most showings."""
    question = "how fast rows are forgotten"
    remedy = "Train branches: `mematlas experiment forget forget.yaml`."
    if tables.probes is None:
        return ANALYSIS.insufficient_data(tables, question, "probes taken in training", remedy)
    excess = forgetting_excess(tables.probes.collect(), tables.models)
    left = forgetting_left(excess)
    shown = left.filter(pl.col("times") > 0)
    if shown.is_empty():
        missing = "branches that were shown rows, with one that was not"
        return ANALYSIS.insufficient_data(tables, question, missing, remedy)
    most = shown.sort("parameters", "times", nulls_last=False, maintain_order=True).row(-1, named=True)
    error = standard_error(most["left_lower"], most["left_upper"]) if most["left_lower"] is not None else None
    recipe = "answer = recount.forgetting_excess(study.scan_probes().collect(), study.models())"
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(most),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=abs(most["left"]) / error if error else None,
        control=_control(left, excess),
        tables=(
            Table("excess", "Excess of M after every measured step", excess, _EXCESS_COLUMNS, recipe),
            Table(
                "left",
                "What is left of the showings",
                left,
                _LEFT_COLUMNS,
                recipe.replace("answer", "excess", 1) + "\nanswer = recount.forgetting_left(excess)",
            ),
        ),
        charts=tuple(chart for chart in _CHARTS if chart.name == "left" or excess["after"].is_not_null().any()),
        trends=(_trend(shown),),
        caveats=("The excess may rise for some steps after the last showing: it is reported there and at its peak.",),
        deviations=("P8 compares with the rows' own score before; here the same rows in a branch without showings.",),
    )


def _claim(most: dict[str, Any]) -> str:
    return (
        f"Right after {most['rows']:,} rows were shown {most['times']:,} times, {most['group']} predicts their tokens "
        f"right more often by {100 * most['at_last']:.1f} percentage points than without the showings; "
        f"{most['last_t']:,} steps later by {_points(most)}."
    )


def _points(record: dict[str, Any]) -> str:
    text = f"{100 * record['left']:.1f}"
    if record["left_lower"] is None:
        return text
    return f"{text} [{100 * record['left_lower']:.1f}, {100 * record['left_upper']:.1f}]"


def _control(left: pl.DataFrame, excess: pl.DataFrame) -> str:
    again = excess.filter(branch="0x-again")
    text = "Every branch is compared with one that went through the same batches without the showings"
    if again.is_empty():
        return f"{text}."
    largest = again.select(pl.col("excess").abs().max()).item()
    return f"{text}; that one, trained again, differs from itself by {100 * largest:.1f} points."


def _trend(shown: pl.DataFrame) -> Trend:
    """Whether the largest model keeps more of the most showings than the smallest: shown if the intervals are apart."""
    most = shown.filter(pl.col("times") == pl.col("times").max()).drop_nulls(["parameters", "left_lower"])
    sizes = most.with_columns(half=pl.col("left_upper") - pl.col("left")).group_by("parameters").agg(
        pl.col("left").mean(), half=pl.col("half").pow(2).sum().sqrt() / pl.len()
    )  # fmt: skip
    if sizes.height < 2:
        return Trend(_TREND, "cannot tell", "there are no two sizes with intervals")
    (_, small, small_half), (_, large, large_half) = (sizes.sort("parameters").row(end) for end in (0, -1))
    test = (
        f"left after {most['times'][0]:,} showings: {100 * small:.1f} % (+- {100 * small_half:.1f}) in the smallest "
        f"size, {100 * large:.1f} % (+- {100 * large_half:.1f}) in the largest; decided if the 95 % intervals are apart"
    )
    if large - large_half > small + small_half:
        return Trend(_TREND, "shows", test)
    return Trend(_TREND, "contradicts" if large + large_half < small - small_half else "cannot tell", test)


ANALYSIS = Analysis(
    "forgetting",
    "Forgetting",
    "P8, section 5",
    "probes of branches that were shown rows 0 times and several times (mematlas experiment forget)",
    compute,
    (_TREND,),
)
