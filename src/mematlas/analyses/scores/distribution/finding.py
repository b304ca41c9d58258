"""How the scores of the rows are distributed: score classes, verbatim lengths, and mean M beside a control.

Source: P1, Fig. 2 (a): counts of rows per score class. Class edges are whole numbers of matches (metrics/levels.py).
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import LONGER_ROWS, Analysis
from mematlas.analyses.frames.distinct_texts import format_texts, text_records, text_shares, texts_table
from mematlas.analyses.frames.memorized_shares import (
    ROLE_DESCRIPTION,
    control_sentence,
    in_model_order,
    memorized_shares,
    nearest_cell,
)
from mematlas.analyses.frames.model_series import scored_models
from mematlas.analyses.frames.proportions import (
    SAMPLE_COLUMNS,
    format_share,
    several_shares,
)
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import by_interval, format_bounds, format_count, shorten_list
from mematlas.analyses.scores.distribution.score_over_control import MEAN_COLUMNS, mean_scores_of_study
from mematlas.analyses.scores.distribution.score_over_control import MEANS_RECIPE as MEANS_RECIPE
from mematlas.analyses.scores.distribution.verbatim_survival import SURVIVAL_COLUMNS, survival_recipe, verbatim_survival
from mematlas.analyses.trend_tests import Verdict, clustered_majority_verdict, combined_verdict
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend
from mematlas.metrics.levels import LEVEL_RANGES, LEVELS, level
from mematlas.stats.estimates.intervals import standard_error

_CLASS_COLUMNS: Final = {
    "model": "label of the model",
    "role": ROLE_DESCRIPTION,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "kind": "part: seven that make up all rows, M = 0 and M = 1 apart; level: five of width 0.2; point: M = 1/2",
    "class": "range of M, or its exact value",
    "rows": "rows in the class; null where M was not graded, and M = 1/2 where the continuation is odd",
    "of": "rows scored",
    "share": "rows / of",
    "share_lower": "lower end of its Wilson 95 % interval",
    "share_upper": "upper end of its Wilson 95 % interval",
    **SAMPLE_COLUMNS,
}
_PARTS: Final = ("M = 0", "(0, .2)", *LEVEL_RANGES[1:4], "[.8, 1)", "M = 1")
_RECIPE: Final = """\
cells = recount.lines(study).drop_nulls("score").group_by("model", "role", "context", "continuation", "cluster")
counts = [cells.agg(*counted, of=pl.len()) for counted in recount.score_classes()]
answer = recount.with_shares(pl.concat(counts), "rows", "of")"""
_UNGRADED_RECIPE: Final = """\
cells = recount.lines(study).with_columns(matches=None).group_by("model", "role", "context", "continuation", "cluster")
counts = [cells.agg(*counted, of=pl.len()) for counted in recount.score_classes()]
answer = recount.with_shares(pl.concat(counts), "rows", "of")"""


def score_classes(weight: pl.Expr | None = None, *, graded: bool = True) -> list[list[pl.Expr]]:
    """The aggregations that count the rows of each class of scores: kind and class (see _CLASS_COLUMNS), and rows.

    They apply to the columns matches (null where M was not graded), continuation and recited. rows is null where it
    cannot be known: for M = 1/2 of an odd continuation, and for all classes but M = 1 where M was not graded.

    Args:
        weight: the number of rows that a record represents; 1 by default.
        graded: whether matches is known of rows that are not recited, too.
    """
    matches = pl.col("matches") if graded else pl.lit(None, pl.Int32)
    length, recited = pl.col("continuation"), pl.col("recited")
    levels = level(matches)
    part = pl.when(matches == length).then(6).when(matches == 0).then(0).otherwise(levels + 1)
    rules = [
        *(("part", name, part == number) for number, name in enumerate(_PARTS[:-1])),
        ("part", _PARTS[-1], recited),
        *(("level", name, levels == number) for number, name in enumerate(LEVEL_RANGES)),
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
    """One record per model, role, cell and class, classes ascending within their kind; columns _CLASS_COLUMNS."""
    rules = score_classes(pl.col("rows"), graded=tables.graded)
    counted = [rows.alias(str(order)) for order, (_, _, rows) in enumerate(rules)]
    known = pl.col("matches").is_not_null() if tables.graded else None

    def shares(sums: pl.DataFrame) -> pl.DataFrame:
        of_rules = zip(rules, enumerate(several_shares(sums, len(rules))), strict=True)
        return pl.concat(frame.with_columns(kind, name, order=order) for (kind, name, _), (order, frame) in of_rules)

    frame = tables.reduced_sums(shares, *counted, pl.col("rows").sum().alias("of"), where=known)
    return in_model_order(frame, tables, "order").select(*_CLASS_COLUMNS)


def _low_scores_trend(tables: Tables, models: tuple[str, ...], cell: Cell) -> Trend:
    """P1: scores of 0 to 0.3 dominate. Our reading: more than half of the rows of every model have such a score."""
    is_low = 10 * pl.col("matches") <= 3 * cell.continuation
    counts = _opposed_rows(tables, cell, is_low, ~is_low)
    results = {model: _majority(counts.filter(model=model)) for model in models}
    verdicts = [verdict for _, _, verdict in results.values()]
    shares = shorten_list([f"{low:,} of {low + high:,} in {model}" for model, (low, high, _) in results.items()])
    test = (
        f"rows with M at most 0.3: {shares}. Shown if the 95 % intervals of their shares lie above one half in all "
        "models, contradicted if one lies below"
    )
    return Trend("low-scores-dominate", combined_verdict(verdicts), test)


def _bipolar_trend(tables: Tables, model: str, cell: Cell) -> Trend:
    """K7: scores are bipolar. Our reading: each outermost level has more rows than the level next to it."""
    graded = tables.counts().filter(_is_graded(cell), model=model)
    level_rows = graded.group_by(level().alias("level")).agg(pl.col("rows").sum())
    rows = dict(level_rows.iter_rows())
    counts = [rows.get(number, 0) for number in range(len(LEVELS))]
    pairs = [(level() == outer, level() == inner) for outer, inner in ((0, 1), (4, 3))]
    verdicts = [_majority(_opposed_rows(tables, cell, *pair).filter(model=model))[2] for pair in pairs]
    test = (
        f"rows of {model}: {counts[0]:,} in {LEVEL_RANGES[0]} beside {counts[1]:,} in {LEVEL_RANGES[1]}, "
        f"{counts[4]:,} in {LEVEL_RANGES[4]} beside {counts[3]:,} in {LEVEL_RANGES[3]}. Shown if both outermost levels "
        "hold more rows than the level next to them (95 % intervals)"
    )
    return Trend("scores-are-bipolar", combined_verdict(verdicts), test)


def _opposed_rows(tables: Tables, cell: Cell, supporting: pl.Expr, opposing: pl.Expr) -> pl.DataFrame:
    """The graded training rows of each model, and cluster, in a cell that support a direction (for) or oppose it
    (against)."""
    sums = [(pl.col("rows") * rule).sum().alias(name) for name, rule in (("for", supporting), ("against", opposing))]
    return tables.sums(*sums, where=_is_graded(cell))


def _majority(counts: pl.DataFrame) -> tuple[int, int, Verdict]:
    """The numbers of rows for and against a direction, and the verdict."""
    verdict = clustered_majority_verdict(counts, "for", "against")
    return int(counts["for"].sum()), int(counts["against"].sum()), verdict


def _is_graded(cell: Cell) -> pl.Expr:
    """Whether a record is one of graded training rows in a cell."""
    where = {"role": "train", "context": cell.context, "continuation": cell.continuation}
    return _equals(where) & pl.col("matches").is_not_null()


def _trends(tables: Tables, models: tuple[str, ...], cell: Cell) -> tuple[Trend, ...]:
    if tables.graded:
        return _low_scores_trend(tables, models, cell), _bipolar_trend(tables, models[-1], cell)
    return tuple(Trend(name, "cannot tell", "M was not graded: only M = 1 is known") for name in ANALYSIS.trends)


def _claim(shares: dict[str, Any], mean: dict[str, Any] | None, texts: list[dict[str, Any]] | None, cell: Cell) -> str:
    """The claim about one model, from its records of shares and means, and of distinct texts where rows are copies."""
    start = f"At {cell} tokens {shares['model']} recites "
    if texts is None:
        start += f"{format_share(shares, 'memorized_share')} of {shares['rows']:,} rows whole"
    else:
        start += format_texts(texts[0])
    if mean is None:
        return f"{start}; M was not graded below that."
    start += f" and misses every token of {format_share(shares, 'unmemorized_share')}"
    start += "; mean M is" if texts is None else " of the rows; mean M of the rows is"
    start += f" {mean['mean']:.3f}"
    if mean["excess"] is None:
        return f"{start}, of which no control says how much is luck."
    interval = "no interval"
    if mean["excess_lower"] is not None:
        interval = f"{mean['excess_lower']:.3f} to {mean['excess_upper']:.3f}"
    return (
        f"{start}, {mean['excess']:+.3f} ({interval}) against the {mean['control_mean']:.3f} of "
        f"{mean['control_rows']:,} control rows."
    )


def _headline(shares: dict[str, Any], mean: dict[str, Any] | None) -> str:
    """Whether rows score above the control; without one, how many rows are recited."""
    if mean is None or mean["excess"] is None:
        return f"{shares['model']} recites {shares['memorized']:,} of {format_count(shares['rows'], 'training row')}"
    return by_interval(
        mean["excess_lower"],
        mean["excess_upper"],
        "Training rows score higher than rows no model was trained on",
        "Training rows score lower than rows no model was trained on",
        "Training rows do not clearly differ from rows never trained on",
    )


def _sentence(shares: dict[str, Any], mean: dict[str, Any] | None, texts: list[dict[str, Any]] | None) -> str:
    """The share recited, and the mean M above that of the control."""
    recited = f"{format_share(shares, 'memorized_share')} of {format_count(shares['rows'])}"
    if texts is not None:
        recited = f"{format_share(texts[0], 'share')} of {format_count(texts[0]['texts'], 'distinct text')}"
    start = f"{shares['model']} recites {recited}"
    if mean is None:
        return f"{start}."
    if mean["excess"] is None:
        return f"{start}; mean M is {mean['mean']:.3f}."
    bounds = format_bounds(mean["excess_lower"], mean["excess_upper"])
    return f"{start}; mean M differs from the control's {mean['control_mean']:.3f} by {mean['excess']:+.3f} {bounds}."


def _strength(mean: dict[str, Any] | None) -> float | None:
    """The difference from the control in standard errors, where it has an interval."""
    if mean is None or mean["excess_lower"] is None or mean["excess_lower"] == mean["excess_upper"]:
        return None
    return abs(mean["excess"]) / standard_error(mean["excess_lower"], mean["excess_upper"])


def _charts(tables: Tables, cell: Cell, has_control: bool) -> tuple[Chart, ...]:
    where: dict[str, str | int] = {"role": "train", "context": cell.context, "continuation": cell.continuation}
    model = Axis("model", "model", "nominal")
    parts = Chart(
        "classes",
        f"Rows by score at {cell} tokens",
        "stacked",
        "classes",
        model,
        Axis("share", "rows", share=True),
        Axis("class", "score M", "ordinal"),
        where={**where, "kind": "part"},
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
    return (parts, steps, _means_chart(cell, where, has_control)) if tables.graded else (steps,)


def _means_chart(cell: Cell, filters: dict[str, str | int], has_control: bool) -> Chart:
    """The mean M above the control, or mean M itself where there is no control."""
    name, title = ("excess", "Mean M above the control") if has_control else ("mean", "Mean M, no control")
    return Chart(
        "means",
        f"{title}, at {cell} tokens",
        "bars",
        "means",
        Axis("model", "model", "nominal"),
        Axis(name, "mean M minus that of control rows" if has_control else "mean M"),
        lower=f"{name}_lower",
        upper=f"{name}_upper",
        reference=(0.0, "as control rows") if has_control else None,
        where=filters,
    )


def compute(tables: Tables) -> Finding:
    """Compute the distributions of scores and verbatim lengths in every model and cell.

    The claim is on the largest model.
    """
    question = "how the scores are distributed"
    if not tables.complete:
        remedy = "Score all rows of a selection, recited or not: `mematlas score MODEL --corpus PATH --study FOLDER`."
        return ANALYSIS.insufficient_data(tables, question, "scores of all rows, not of recited rows alone", remedy)
    cell = nearest_cell(tables)
    if cell is None:
        return ANALYSIS.insufficient_data(tables, question, "training rows with a score", LONGER_ROWS)
    shares, scores, survival = memorized_shares(tables), mean_scores_of_study(tables), verbatim_survival(tables)
    models = scored_models(tables, tables.by_size, cell) or scored_models(tables, tables.family, cell)
    headline = {"model": models[-1], "role": "train", "context": cell.context, "continuation": cell.continuation}
    headline_mean = next(scores.filter(**headline).iter_rows(named=True), None) if tables.graded else None
    has_control = headline_mean is not None and headline_mean["excess"] is not None
    texts = text_shares(tables)
    lead = (
        shares.row(by_predicate=_equals(headline), named=True),
        headline_mean,
        text_records(texts, (models[-1], cell)),
    )
    result_tables = _tables(tables, scores, survival, texts)
    frames = {table.name: table.frame for table in result_tables}
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(*lead, cell),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(headline_mean),
        control=control_sentence(shares, cell),
        tables=result_tables,
        charts=tuple(chart for chart in _charts(tables, cell, has_control) if _has_points(chart, frames)),
        trends=_trends(tables, models, cell),
        caveats=_caveats(tables, survival),
        deviations=_DEVIATIONS,
        headline=_headline(*lead[:2]),
        sentence=_sentence(*lead),
    )


def _tables(
    tables: Tables, scores: pl.DataFrame, survival: pl.DataFrame, texts: pl.DataFrame | None
) -> tuple[Table, ...]:
    """The tables that have records; that of distinct texts where rows are copies."""
    recipe, curves = _RECIPE if tables.graded else _UNGRADED_RECIPE, survival_recipe(tables)
    all_tables = (
        Table("classes", "Rows by score", _classes(tables), _CLASS_COLUMNS, recipe),
        Table("survival", "Rows by tokens recited before the first miss", survival, SURVIVAL_COLUMNS, curves),
        Table("means", "Mean M beside its control", scores, MEAN_COLUMNS, MEANS_RECIPE),
    )
    tables_of_texts = () if texts is None else (texts_table(texts),)
    return (*tables_of_texts, *(table for table in all_tables if table.frame.height))


def _has_points(chart: Chart, frames: dict[str, pl.DataFrame]) -> bool:
    frame = frames.get(chart.table)
    return frame is not None and frame.filter(**chart.where)[chart.y.column].is_not_null().any()


def _equals(values: dict[str, Any]) -> pl.Expr:
    return pl.all_horizontal(pl.col(name) == value for name, value in values.items())


def _caveats(tables: Tables, survival: pl.DataFrame) -> tuple[str, ...]:
    caveats = []
    if not tables.graded:
        caveats.append("The scores hold verbatim lengths only: no class below M = 1, and no mean M.")
    if not survival.height and "masking" not in tables.settings:
        caveats.append("The scores hold no verbatim lengths: no survival curve.")
    if not tables.has_control:
        caveats.append("The study has no control rows: the floor that lucky frequent tokens give mean M is unknown.")
    return tuple(caveats)


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
    compute,
    ("low-scores-dominate", "scores-are-bipolar"),
    granularity="approximate",
)
