"""How the scores of the rows are distributed: score classes, verbatim lengths, and mean M beside a control.

Source: P1, Fig. 2 (a): counts of rows per score class. Class edges are whole numbers of matches (analyses/levels.py).
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.levels import LEVEL_RANGES, LEVELS, level
from mematlas.analyses.frames.memorized_shares import (
    KEYS,
    ROLE,
    beside_control,
    in_order,
    memorized_shares,
    nearest_cell,
)
from mematlas.analyses.frames.model_series import present
from mematlas.analyses.frames.proportions import between, percent, with_shares
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.scores.distribution.score_over_control import MEANS, means
from mematlas.analyses.scores.distribution.score_over_control import RECIPE as MEANS_RECIPE
from mematlas.analyses.scores.distribution.verbatim_survival import SURVIVAL, survival_recipe, verbatim_survival
from mematlas.analyses.trend_tests import Verdict, majority, of_all
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend
from mematlas.stats.estimates.intervals import standard_error

_CLASSES: Final = {
    "model": "label of the model",
    "role": ROLE,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "kind": "part: seven that make up all rows, M = 0 and M = 1 apart; level: five of width 0.2; point: M = 1/2",
    "class": "range of M, or its exact value",
    "rows": "rows in the class; null where M was not graded, and M = 1/2 where the continuation is odd",
    "of": "rows scored",
    "share": "rows / of",
    "share_lower": "lower end of its Wilson 95 % interval",
    "share_upper": "upper end of its Wilson 95 % interval",
}
_PARTS: Final = ("M = 0", "(0, .2)", *LEVEL_RANGES[1:4], "[.8, 1)", "M = 1")
_RECIPE: Final = """\
cells = recount.lines(study).drop_nulls("score").group_by("model", "role", "context", "continuation")
counts = [cells.agg(*counted, of=pl.len()) for counted in recount.score_classes()]
answer = recount.with_shares(pl.concat(counts), "rows", "of")"""
_UNGRADED_RECIPE: Final = """\
cells = recount.lines(study).with_columns(matches=None).group_by("model", "role", "context", "continuation")
counts = [cells.agg(*counted, of=pl.len()) for counted in recount.score_classes()]
answer = recount.with_shares(pl.concat(counts), "rows", "of")"""


def score_classes(weight: pl.Expr | None = None) -> list[list[pl.Expr]]:
    """What to aggregate lines by for each class of scores: kind and class (see _CLASSES), and rows, how many lines.

    Over columns matches (null where M was not graded), continuation and recited. rows is null where no line tells: M =
    1/2 of an odd continuation; all classes but M = 1 where M was not graded.

    Args:
        weight: rows that a line stands for; one unless given.
    """
    matches, length, whole = pl.col("matches"), pl.col("continuation"), pl.col("recited")
    part = pl.when(matches == length).then(6).when(matches == 0).then(0).otherwise(level() + 1)
    rules = [
        *(("part", name, part == number) for number, name in enumerate(_PARTS[:-1])),
        ("part", _PARTS[-1], whole),
        *(("level", name, level() == number) for number, name in enumerate(LEVEL_RANGES)),
        ("point", "M = 1/2", pl.when(length % 2 == 0).then(2 * matches == length)),
    ]
    return [
        [
            pl.lit(kind).alias("kind"),
            pl.lit(name).alias("class"),
            pl.when(rule.is_not_null().any())
            .then((rule * (pl.lit(1) if weight is None else weight)).sum())
            .alias("rows"),
        ]
        for kind, name, rule in rules
    ]


def _classes(tables: Tables) -> pl.DataFrame:
    """One line a model, role, cell and class, classes ascending within their kind; columns _CLASSES."""
    counts, weight = tables.counts(), pl.col("rows")
    if tables.graded:
        counts = counts.filter(pl.col("matches").is_not_null())
    else:
        counts = counts.with_columns(pl.lit(None, pl.Int32).alias("matches"))
    cells = counts.group_by(*KEYS)
    frames = [
        cells.agg(*counted, weight.sum().alias("of"), pl.lit(order).alias("order"))
        for order, counted in enumerate(score_classes(weight))
    ]
    return in_order(with_shares(pl.concat(frames), "rows", "of"), tables, "order").select(*_CLASSES)


def _low_scores(tables: Tables, models: tuple[str, ...], cell: Cell) -> Trend:
    """P1: scores of 0 to 0.3 dominate: hold more than half of the rows, in every model."""
    found = []
    for model in models:
        here = _graded_rows(tables, model, cell)
        low = here.filter(10 * pl.col("matches") <= 3 * cell.continuation)["rows"].sum()
        found.append((model, int(low), int(here["rows"].sum())))
    verdicts = [majority(low, rows - low) for _, low, rows in found]
    listed = ", ".join(f"{low:,} of {rows:,} in {model}" for model, low, rows in found)
    test = (
        f"rows of this study with M at most 0.3 at {cell} tokens: {listed}; shown if the 95 % intervals of their "
        "shares lie above one half in all models, contradicted if one lies below"
    )
    return Trend("low-scores-dominate", of_all(verdicts), test)


def _bipolar(tables: Tables, model: str, cell: Cell) -> Trend:
    """K7: scores are bipolar; our reading: each outermost level holds more rows than the level next to it."""
    here = _graded_rows(tables, model, cell).group_by(level().alias("level")).agg(pl.col("rows").sum())
    rows = dict(here.iter_rows())
    counts = [rows.get(number, 0) for number in range(len(LEVELS))]
    verdicts: list[Verdict] = [majority(counts[0], counts[1]), majority(counts[4], counts[3])]
    test = (
        f"rows of {model} at {cell} tokens: {counts[0]:,} in {LEVEL_RANGES[0]} beside {counts[1]:,} in "
        f"{LEVEL_RANGES[1]}, {counts[4]:,} in {LEVEL_RANGES[4]} beside {counts[3]:,} in {LEVEL_RANGES[3]}; shown if "
        "both outermost levels hold more rows than the level next to them (95 % intervals)"
    )
    return Trend("scores-are-bipolar", of_all(verdicts), test)


def _graded_rows(tables: Tables, model: str, cell: Cell) -> pl.DataFrame:
    here = tables.counts().filter(model=model, role="train", context=cell.context, continuation=cell.continuation)
    return here.filter(pl.col("matches").is_not_null())


def _trends(tables: Tables, models: tuple[str, ...], cell: Cell) -> tuple[Trend, ...]:
    if tables.graded:
        return _low_scores(tables, models, cell), _bipolar(tables, models[-1], cell)
    return tuple(Trend(name, "cannot tell", "M was not graded: only M = 1 is known") for name in ANALYSIS.trends)


def _claim(shares: dict[str, Any], mean: dict[str, Any] | None, cell: Cell) -> str:
    """The sentence on one model, from its lines of the shares and means."""
    start = (
        f"At {cell} tokens {shares['model']} recites {percent(shares['memorized_share'])} "
        f"({_interval(shares, 'memorized_share')}) of {shares['rows']:,} rows whole"
    )
    if mean is None:
        return f"{start}; M was not graded below that."
    start += (
        f" and misses every token of {percent(shares['unmemorized_share'])} ({_interval(shares, 'unmemorized_share')})"
        f"; mean M is {mean['mean']:.3f}"
    )
    if mean["excess"] is None:
        return f"{start}, of which no control says how much is luck."
    ends = f"{mean['excess_lower']:.3f} to {mean['excess_upper']:.3f}" if mean["excess_lower"] is not None else None
    return (
        f"{start}, {mean['excess']:+.3f} ({ends or 'no interval'}) against the {mean['control_mean']:.3f} of "
        f"{mean['control_rows']:,} control rows."
    )


def _interval(line: dict[str, Any], name: str) -> str:
    return between(line[f"{name}_lower"], line[f"{name}_upper"])


def _strength(mean: dict[str, Any] | None) -> float | None:
    """The excess over the control in standard errors, where it has an interval."""
    if mean is None or mean["excess_lower"] is None or mean["excess_lower"] == mean["excess_upper"]:
        return None
    return abs(mean["excess"]) / standard_error(mean["excess_lower"], mean["excess_upper"])


def _charts(tables: Tables, cell: Cell, beside: bool) -> tuple[Chart, ...]:
    here: dict[str, str | int] = {"role": "train", "context": cell.context, "continuation": cell.continuation}
    model = Axis("model", "model", "nominal")
    parts = Chart(
        "classes",
        f"Rows by score at {cell} tokens",
        "stacked",
        "classes",
        model,
        Axis("share", "rows", share=True),
        Axis("class", "score M", "ordinal"),
        where={**here, "kind": "part"},
    )
    steps = Chart(
        "survival",
        f"Rows recited up to a token, context of {cell.context} tokens",
        "steps",
        "survival",
        Axis("tokens", "tokens before the first miss"),
        Axis("share", "rows that recite at least so many", share=True),
        model,
        "share_lower",
        "share_upper",
        dash="role",
        where={"context": cell.context},
    )
    return (parts, steps, _means_chart(cell, here, beside)) if tables.graded else (steps,)


def _means_chart(cell: Cell, here: dict[str, str | int], beside: bool) -> Chart:
    """The excess over the control, or mean M alone where there is none."""
    name, title = ("excess", "Mean M above the control") if beside else ("mean", "Mean M, no control")
    return Chart(
        "means",
        f"{title}, at {cell} tokens",
        "bars",
        "means",
        Axis("model", "model", "nominal"),
        Axis(name, "mean M minus that of control rows" if beside else "mean M"),
        lower=f"{name}_lower",
        upper=f"{name}_upper",
        reference=(0.0, "as control rows") if beside else None,
        where=here,
    )


def answer(tables: Tables) -> Finding:
    """How scores and verbatim lengths are distributed in every model and cell; the claim is on the largest model."""
    question = "how the scores are distributed"
    if not tables.complete:
        remedy = "Score all rows of a selection, recited or not: `mematlas score MODEL --corpus PATH --study FOLDER`."
        return ANALYSIS.lacking(tables, question, "scores of all rows, not of recited rows alone", remedy)
    cell = nearest_cell(tables)
    if cell is None:
        remedy = "Score rows that are at least as long as one context and continuation of the grid."
        return ANALYSIS.lacking(tables, question, "training rows with a score", remedy)
    shares, scores, survival = memorized_shares(tables), means(tables), verbatim_survival(tables)
    models = present(tables, tables.by_size, cell) or present(tables, tables.family, cell)
    here = {"model": models[-1], "role": "train", "context": cell.context, "continuation": cell.continuation}
    mean = next(scores.filter(**here).iter_rows(named=True), None) if tables.graded else None
    beside = mean is not None and mean["excess"] is not None
    found = (
        Table("classes", "Rows by score", _classes(tables), _CLASSES, _RECIPE if tables.graded else _UNGRADED_RECIPE),
        Table("survival", "Rows by tokens recited before the first miss", survival, SURVIVAL, survival_recipe(tables)),
        Table("means", "Mean M beside its control", scores, MEANS, MEANS_RECIPE),
    )
    kept = tuple(table for table in found if table.frame.height)
    frames = {table.name: table.frame for table in kept}
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(shares.row(by_predicate=_is(here), named=True), mean, cell),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(mean),
        control=beside_control(shares, cell),
        tables=kept,
        charts=tuple(chart for chart in _charts(tables, cell, beside) if _has_points(chart, frames)),
        trends=_trends(tables, models, cell),
        caveats=_caveats(tables, survival),
        deviations=_DEVIATIONS,
    )


def _has_points(chart: Chart, frames: dict[str, pl.DataFrame]) -> bool:
    frame = frames.get(chart.table)
    return frame is not None and frame.filter(**chart.where)[chart.y.column].is_not_null().any()


def _is(line: dict[str, Any]) -> pl.Expr:
    return pl.all_horizontal(pl.col(name) == value for name, value in line.items())


def _caveats(tables: Tables, survival: pl.DataFrame) -> tuple[str, ...]:
    found = []
    if not tables.graded:
        found.append("The scores hold verbatim lengths only: no class below M = 1, and no mean M.")
    if not survival.height:
        found.append("The scores hold no verbatim lengths: no survival curve.")
    if not tables.has_control:
        found.append("The study has no control rows: the floor that lucky frequent tokens give mean M is unknown.")
    return tuple(found)


_DEVIATIONS: Final = (
    "P1 counts all rows of the training stream; these are the rows of the study, as shares with Wilson intervals.",
    "P1's class edges are not published; here [0, .2), [.2, .4), [.4, .6), [.6, .8), [.8, 1] by whole matches.",
    "P1 has no control; the excess over control rows and the survival curve are ours.",
    "How P1 and K7 tell that low scores dominate and that scores are bipolar is not published; the tests are ours.",
)
ANALYSIS: Final = Analysis(
    "distribution",
    "Distribution of scores",
    "P1, Figure 2 (a)",
    "scores of all rows; graded scores for classes and means; control rows for the excess",
    answer,
    ("low-scores-dominate", "scores-are-bipolar"),
    granularity="approximate",
)
