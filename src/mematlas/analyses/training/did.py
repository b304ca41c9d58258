"""What being shown a row does to its score, from checkpoints of one training alone: difference in differences.

Source: Lesci et al. 2024 (P10, related work). Rows that were first shown between two checkpoints are compared with rows
that were not shown yet, or never. Formulas: `mematlas.stats.difference_in_differences`.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import by_interval, format_bounds, format_count, format_difference
from mematlas.analyses.training.checkpoint_scores import checkpoint_scores_of
from mematlas.findings.finding import Axis, Chart, Finding, Table
from mematlas.stats.difference_in_differences import MAX_LEADS, CohortEffects, Effect, cohort_effects
from mematlas.stats.estimates.intervals import standard_error

_QUESTION: Final = "what being shown a row does to its score"
_BROKEN: Final = 0.05  # our choice: p-value of the test of parallel trends below which they are said to be broken
_INTERVAL: Final = "of its 95 % interval (Student's t over documents or rows)"
_ATT_COLUMNS: Final = {
    "parameters": "number of weights",
    "cohort": "training step of the first checkpoint by which the rows had been shown",
    "step": "training step of the checkpoint",
    "when": "after: the rows had been shown; before: they had not, and the effect should be 0",
    "att": "change of the cohort's mean score since the last checkpoint before its showing, minus that of the controls",
    "att_lower": f"lower end {_INTERVAL}",
    "att_upper": f"upper end {_INTERVAL}",
    "rows": "rows of the cohort",
    "controls": "rows that were shown neither by this checkpoint nor by that of the cohort",
}
_PROFILE_COLUMNS: Final = {
    "parameters": "number of weights",
    "after": "checkpoints since the first one after the showing (0); -2: the last but one before it",
    "att": "mean of att over cohorts, weighted by their rows",
    "att_lower": f"lower end {_INTERVAL}",
    "att_upper": f"upper end {_INTERVAL}",
    "cohorts": "cohorts with such a checkpoint",
    "rows": "their rows",
    "controls": "rows that any of them is compared with",
}
_TRENDS_COLUMNS: Final = {
    "parameters": "number of weights",
    "leads": f"times before the showing that the test joins (at most {MAX_LEADS}, the nearest)",
    "p": "p-value that all effects before the showing are 0 (Hotelling); null where there is none to test",
    "dropped": "rows shown by the first checkpoint already, of which no score from before is known",
    "never": "rows never shown",
    "again": "share of the cohorts' rows that were shown more than once by the last checkpoint",
}
_CHARTS: Final = (
    Chart(
        "profile",
        "Effect of being shown, by checkpoints since",
        "lines",
        "profile",
        Axis("after", "checkpoints since the first after the showing"),
        Axis("att", "effect on the score"),
        Axis("parameters", "parameters", "ordinal"),
        "att_lower",
        "att_upper",
        reference=(0.0, "no effect"),
    ),
    Chart(
        "att",
        "Effect on every cohort by training step",
        "lines",
        "att",
        Axis("step", "training step"),
        Axis("att", "effect on the score"),
        Axis("cohort", "shown by step", "ordinal"),
        "att_lower",
        "att_upper",
        "parameters",
        reference=(0.0, "no effect"),
    ),
)


def showing_effects(lines: pl.DataFrame) -> pl.DataFrame:
    """The effect on every cohort at every checkpoint, from the records of `checkpoint_scores`."""
    records = []
    for parameters, steps, effects in _sizes(lines):
        for effect in effects.cohorts:
            when = "after" if effect.time >= effect.cohort else "before"
            key = {"parameters": parameters, "cohort": steps[effect.cohort], "step": steps[effect.time], "when": when}
            records.append(key | _numbers(effect))
    return _frame(records, _ATT_COLUMNS)


def showing_profile(lines: pl.DataFrame) -> pl.DataFrame:
    """The mean effect over cohorts by checkpoints since the showing, from the records of `checkpoint_scores`."""
    records = [
        {"parameters": parameters, "after": effect.time, "cohorts": effect.cohorts} | _numbers(effect)
        for parameters, _, effects in _sizes(lines)
        for effect in effects.averages
    ]
    return _frame(records, _PROFILE_COLUMNS)


def parallel_trends(lines: pl.DataFrame) -> pl.DataFrame:
    """The test of parallel trends before the showing, and what the cohorts are made of."""
    records = []
    for parameters, steps, effects in _sizes(lines):
        rows = lines.filter(parameters=parameters).unique("row")
        cohorts = rows.filter(pl.col("first") > steps[0])
        leads = [effect for effect in effects.averages if effect.time < -1 and not np.isnan(effect.lower)]
        again = cohorts.select((pl.col("times") > 1).mean()).item()
        numbers = {"leads": min(len(leads), MAX_LEADS), "p": effects.p, "again": again}
        dropped, never = rows.filter(first=steps[0]).height, rows["first"].null_count()
        records.append({"parameters": parameters, "dropped": dropped, "never": never} | numbers)
    return _frame(records, _TRENDS_COLUMNS)


def _sizes(lines: pl.DataFrame) -> Iterator[tuple[int, list[int], CohortEffects]]:
    """Every size with the steps of its checkpoints and the effects."""
    for (parameters,), part in lines.group_by("parameters", maintain_order=True):
        steps = part["step"].unique().sort().to_list()
        scores = part["score"].to_numpy().reshape(-1, len(steps))
        rows = part.gather_every(len(steps))
        first = rows["first"].replace_strict(steps, range(len(steps)), default=len(steps)).fill_null(len(steps))
        yield int(str(parameters)), steps, cohort_effects(scores, first.to_numpy(), rows["cluster"].to_numpy())


def _numbers(effect: Effect) -> dict[str, Any]:
    bounds = {"att": effect.estimate, "att_lower": effect.lower, "att_upper": effect.upper}
    return bounds | {"rows": effect.rows, "controls": effect.controls}


def _frame(records: list[dict[str, Any]], columns: dict[str, str]) -> pl.DataFrame:
    floats = ("att", "att_lower", "att_upper", "p", "again")
    types = {name: pl.Float64 if name in floats else pl.String if name == "when" else pl.Int64 for name in columns}
    return pl.DataFrame(records, schema=types, orient="row").fill_nan(None)


def compute(tables: Tables) -> Finding:
    """Compute the effects of being shown; the claim is on the largest model."""
    if tables.exposures is None:
        return _insufficient_data(tables, "a record of which checkpoints were trained on which rows")
    lines = checkpoint_scores_of(tables)
    att, profile, trends = showing_effects(lines), showing_profile(lines), parallel_trends(lines)
    at_once = profile.filter(after=0)
    if at_once.is_empty():
        return _insufficient_data(
            tables, "checkpoints of one training between which some rows were first shown and others were not"
        )
    largest = at_once.row(-1, named=True)
    trend = trends.filter(parameters=largest["parameters"]).row(0, named=True)
    is_broken = trend["p"] is not None and trend["p"] < _BROKEN
    error = None if largest["att_lower"] is None else standard_error(largest["att_lower"], largest["att_upper"])
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(tables, largest, profile),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=abs(largest["att"]) / error if error and not is_broken else None,
        control=_control(profile.filter(parameters=largest["parameters"]), trend),
        tables=_tables(att, profile, trends),
        charts=_CHARTS,
        caveats=tuple(_caveats(trends)),
        deviations=_DEVIATIONS,
        headline=_headline(largest, is_broken=is_broken),
        sentence=_sentence(tables, largest),
    )


def _insufficient_data(tables: Tables, missing: str) -> Finding:
    remedy = (
        "Score several checkpoints of one training, and say in which order it showed the rows: `mematlas import "
        "exposures order.csv --study STUDY`."
    )
    return ANALYSIS.insufficient_data(tables, _QUESTION, missing, remedy)


def _tables(att: pl.DataFrame, profile: pl.DataFrame, trends: pl.DataFrame) -> tuple[Table, ...]:
    described = (
        ("att", "Effect of being shown on every cohort", att, _ATT_COLUMNS, showing_effects),
        ("profile", "Mean effect by checkpoints since the showing", profile, _PROFILE_COLUMNS, showing_profile),
        ("parallel", "Whether both groups changed alike before", trends, _TRENDS_COLUMNS, parallel_trends),
    )
    return tuple(
        Table(name, title, frame, columns, f"answer = recount.{function.__name__}(recount.checkpoint_scores(study))")
        for name, title, frame, columns, function in described
    )


def _claim(tables: Tables, largest: dict[str, Any], profile: pl.DataFrame) -> str:
    score = "mean M" if tables.graded else "the recited share"
    cohorts = f"{largest['cohorts']} cohort{'s' * (largest['cohorts'] != 1)}"
    text = (
        f"At {tables.reference} tokens being shown changes {score} of a row by {format_difference(largest, 'att')} at "
        f"the next checkpoint of the model of {largest['parameters']:,} parameters ({largest['rows']:,} rows of "
        f"{cohorts}, beside {largest['controls']:,} rows not yet or never shown)"
    )
    last = profile.filter(pl.col("after") > 0, parameters=largest["parameters"])
    if last.height:
        record = last.row(-1, named=True)
        checkpoints = f"{record['after']} checkpoint{'s' * (record['after'] != 1)}"
        text += f"; {checkpoints} later the effect is {format_difference(record, 'att')}"
    return f"{text}."


def _headline(largest: dict[str, Any], *, is_broken: bool) -> str:
    """Whether being shown a row changes its score, unless rows changed differently before."""
    if is_broken:
        return "Rows changed differently before being shown, so no effect is clear"
    return by_interval(
        largest["att_lower"],
        largest["att_upper"],
        "Being shown a row raises its score",
        "Being shown a row lowers its score",
        "Being shown a row does not clearly change its score",
    )


def _sentence(tables: Tables, largest: dict[str, Any]) -> str:
    """The effect at the next checkpoint, and the numbers of rows."""
    score = "Mean M" if tables.graded else "The recited share"
    change = f"{largest['att']:+.3f} {format_bounds(largest['att_lower'], largest['att_upper'])}"
    rows = f"{format_count(largest['rows'])} just shown, beside {largest['controls']:,} others"
    return f"{score} changes by {change} at the next checkpoint, in {rows}."


def _control(profile: pl.DataFrame, trend: dict[str, Any]) -> str | None:
    """The effects before the showing, which should be 0."""
    before = profile.filter(pl.col("after") < -1)
    if before.is_empty():
        return None
    nearest = before.row(-1, named=True)
    text = f"Before the showing the same difference is {format_difference(nearest, 'att')}, where it should be 0."
    return text if trend["p"] is None else f"{text} The test that all such differences are 0 has p = {trend['p']:.2g}."


def _caveats(trends: pl.DataFrame) -> Iterator[str]:
    for trend in trends.iter_rows(named=True):
        size = f"{trend['parameters']:,} parameters"
        if trend["p"] is None:
            yield f"Whether shown and other rows changed alike before the showing cannot be tested ({size})."
        elif trend["p"] < _BROKEN:
            yield (
                f"Parallel trends are broken ({size}, p = {trend['p']:.2g}): rows changed differently before they were "
                "shown, so that the effects are not those of the showing alone."
            )
        if trend["dropped"]:
            yield (
                f"{trend['dropped']:,} rows had been shown by the first checkpoint and are left out ({size}); score an "
                "earlier checkpoint."
            )
        if trend["again"]:
            yield (
                f"{trend['again']:.1%} of the rows were shown more than once ({size}): later effects are those of all "
                "showings."
            )
    yield "A row whose copy was shown before counts as not shown, which makes effects smaller."


_DEVIATIONS: Final = (
    "The paper scores the log-likelihood of the whole text and takes held-out rows as controls; here the score is M of "
    "the continuation, and rows not shown yet are controls, too.",
)

ANALYSIS: Final = Analysis(
    "did",
    "Effect of being shown: difference in differences",
    "P10",
    "checkpoints of one training, and a record of when it showed the rows (exposures)",
    compute,
)
