"""What is left of rows that were shown a few times, while training goes on without them.

Source: P8, section 5. The excess is M of the rows in a branch that was shown them, minus M of the same rows in the
branch that was shown them 0 times, after the same step. M is the share of tokens predicted right from the true tokens
before.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import by_interval, format_count, format_points
from mematlas.analyses.training.forgetting.baseline import (
    BASELINE_COLUMNS,
    CURVE_COLUMNS,
    fitted_curves,
    forgetting_baseline,
)
from mematlas.analyses.training.forgetting.excess import (
    EXCESS_COLUMNS,
    LEFT_COLUMNS,
    forgetting_excess,
    forgetting_left,
)
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend
from mematlas.stats.estimates.intervals import standard_error

_TREND: Final = "larger-models-forget-less"
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
    Chart(
        "baseline",
        "The excess after its peak, and the exponential fitted to it",
        "lines",
        "curves",
        Axis("after", "steps after the last showing", "log"),
        Axis("excess", "excess of M"),
        Axis("branch", "showings", "nominal"),
        facet="group",
        dash="curve",
        reference=(0.0, "nothing left"),
    ),
)


def compute(tables: Tables) -> Finding:
    """Compute the excess of every branch; the claim is on the largest model and the most showings."""
    question = "how fast rows are forgotten"
    remedy = "Train branches: `mematlas experiment forget forget.yaml`."
    if tables.probes is None:
        return ANALYSIS.insufficient_data(tables, question, "probes taken in training", remedy)
    probes = tables.probes.collect()
    excess = forgetting_excess(probes, tables.models)
    left = forgetting_left(excess)
    shown = left.filter(pl.col("times") > 0)
    if shown.is_empty():
        missing = "branches that were shown rows, with one that was not"
        return ANALYSIS.insufficient_data(tables, question, missing, remedy)
    baseline = forgetting_baseline(probes, tables.models)
    curves = fitted_curves(baseline, excess)
    most = shown.sort("parameters", "times", nulls_last=False, maintain_order=True).row(-1, named=True)
    error = standard_error(most["left_lower"], most["left_upper"]) if most["left_lower"] is not None else None
    (fall,) = baseline.filter(group=most["group"], branch=most["branch"]).to_dicts()
    has_data = {"excess": excess["after"].is_not_null().any(), "left": True, "baseline": not curves.is_empty()}
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        f"{_claim(most)}{_law(fall)}.",
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=abs(most["left"]) / error if error else None,
        control=_control(left, excess),
        tables=_tables(excess, left, baseline, curves),
        charts=tuple(chart for chart in _CHARTS if has_data[chart.name]),
        trends=(_trend(shown),),
        caveats=(
            "The excess may rise for some steps after the last showing: it is reported there and at its peak.",
            "The floor c is that of a fitted exponential: it says nothing of training beyond the last measurement.",
        ),
        deviations=(
            "P8 compares with the rows' own score before; here the same rows in a branch without showings.",
            "P8's forgetting baseline is the smallest M reached (`lowest`, as excess); c is fitted.",
        ),
        headline=by_interval(
            most["left_lower"],
            most["left_upper"],
            "Rows shown briefly are still known better than if never shown",
            "Rows shown briefly end up worse known than if never shown",
            "Nothing clear is left of rows that were shown briefly",
        ),
        sentence=_sentence(most),
    )


def _tables(
    excess: pl.DataFrame, left: pl.DataFrame, baseline: pl.DataFrame, curves: pl.DataFrame
) -> tuple[Table, ...]:
    """The finding's tables, each with the lines that recompute it."""
    of_excess = "excess = recount.forgetting_excess(study.scan_probes().collect(), study.models())\n"
    of_baseline = "baseline = recount.forgetting_baseline(study.scan_probes().collect(), study.models())\n"
    return (
        Table("excess", "Excess of M after every measured step", excess, EXCESS_COLUMNS, f"{of_excess}answer = excess"),
        Table(
            "left",
            "What is left of the showings",
            left,
            LEFT_COLUMNS,
            f"{of_excess}answer = recount.forgetting_left(excess)",
        ),
        Table(
            "baseline",
            "How the excess falls after its peak, and to which floor",
            baseline,
            BASELINE_COLUMNS,
            f"{of_baseline}answer = baseline",
        ),
        Table(
            "curves",
            "The excess and the fitted exponential",
            curves,
            CURVE_COLUMNS,
            f"{of_excess}{of_baseline}answer = recount.fitted_curves(baseline, excess)",
        ),
    )


def _claim(most: dict[str, Any]) -> str:
    return (
        f"Right after {most['rows']:,} rows were shown {most['times']:,} times, {most['group']} predicts their tokens "
        f"right more often by {100 * most['at_last']:.1f} percentage points than without the showings; "
        f"{most['last_t']:,} steps later by {_points(most, 'left')}"
    )


def _sentence(most: dict[str, Any]) -> str:
    """The excess right after the last showing, and at the end."""
    at_last = f"{100 * most['at_last']:+.1f} percentage points after {format_count(most['times'], 'showing')}"
    rows, steps = format_count(most["rows"]), format_count(most["last_t"], "step")
    return f"M of {rows} changes by {at_last}; {steps} later {format_points(most, 'left')} are left."


def _law(fall: dict[str, Any]) -> str:
    """How the excess falls, for the claim; "" where that cannot be told."""
    if fall["law"] == "log-time":
        return ", falling with the logarithm of time"
    if fall["law"] != "exponential" or fall["c"] is None:
        return ""
    return f", falling exponentially to a floor of {_points(fall, 'c')}"


def _points(record: dict[str, Any], name: str) -> str:
    """A value in percentage points, with its interval."""
    lower, upper = record[f"{name}_lower"], record[f"{name}_upper"]
    text = f"{100 * record[name]:.1f}"
    return text if lower is None else f"{text} [{100 * lower:.1f}, {100 * upper:.1f}]"


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
        f"size, {100 * large:.1f} % (+- {100 * large_half:.1f}) in the largest. Decided if the 95 % intervals are apart"
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
