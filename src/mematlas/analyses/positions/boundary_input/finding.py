"""Corpus counts of the input tokens around the boundary of context and continuation, and where recitation stops.

Source: P1, Fig. 4 and the table of sentence-level frequency: corpus counts of the tokens of memorized, half-memorized
and unmemorized rows by position, and the boundary effect. The numbers are computed in positions/profiles.py and
positions/boundary_step.py.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import by_interval, format_count, format_difference, join_with_and, shuffled_sentence
from mematlas.analyses.positions.boundary_input.tables import boundary_frames, boundary_tables
from mematlas.analyses.positions.boundary_step import ONE_STEP, boundary_deviation, form_names
from mematlas.analyses.positions.class_caveats import class_caveats
from mematlas.analyses.positions.profiles import BOUNDARY, DIVERGENCE, DIVERGENCE_REACH, MIN_ROWS
from mematlas.analyses.positions.token_windows import (
    ALL_ROWS,
    CLASSES,
    HALF,
    MEMORIZED,
    OTHER,
    UNMEMORIZED,
    row_classes,
    window_counts,
)
from mematlas.analyses.trend_tests import Verdict
from mematlas.findings.finding import Axis, Chart, Finding, Trend
from mematlas.stats.estimates.averages import FEWEST_COUNTS
from mematlas.stats.estimates.intervals import standard_error

_QUESTION: Final = "what corpus counts of tokens do at the border of context and continuation"
_TRENDS: Final = {
    "frequency-rises-at-the-border-of-memorized-rows": (MEMORIZED, +1),
    "frequency-falls-at-the-border-of-unmemorized-rows": (UNMEMORIZED, -1),
}
_AND_CHANGES: Final = ". It changes "
Frames = dict[str, pl.DataFrame]
Record = dict[str, Any]


# ----------------------------------------------------------------------------------------------------- the sentences


def _difference_record(frames: Frames, model: str, name: str, form: str = ONE_STEP, **where: str) -> Record | None:
    """The 1-gram difference of a class, by default of counts of training rows at the boundary; None if unknown."""
    where = {"role": "train", "alignment": BOUNDARY, "scale": "count"} | where
    records = frames["differences"].filter(model=model, ngram=1, form=form, **{"class": name, **where})
    return next(records.drop_nulls("difference").iter_rows(named=True), None)


def _changes(frames: Frames, model: str, names: tuple[str, ...], form: str = ONE_STEP, **where: str) -> list[str]:
    """ "by ... in 20 memorized rows", "by ... in 30 unmemorized rows": of the classes that were measured."""
    records = [_difference_record(frames, model, name, form, **where) for name in names]
    return [
        f"by {format_difference(record)} in {format_count(record['rows'], record['class'] + ' row')}"
        for record in records
        if record
    ]


def _headline_model(tables: Tables, frames: Frames) -> str:
    """The largest model among those with the best coverage: memorized and unmemorized rows, each with an interval."""

    def class_coverage(model: str) -> int:
        records = [_difference_record(frames, model, name) for name in (MEMORIZED, UNMEMORIZED)]
        return sum(1 + (record["difference_lower"] is not None) for record in records if record)

    return max([*reversed(tables.by_size), *reversed(tables.family)], key=class_coverage)


def _stopping_classes(frames: Frames, model: str) -> tuple[str, ...]:
    """The class whose divergence points are reported: OTHER if there are such rows, else HALF."""
    return (OTHER,) if _difference_record(frames, model, OTHER, alignment=DIVERGENCE) else (HALF,)


def _claim(frames: Frames, model: str, cell: Cell) -> str:
    classes = tuple(name for name in (MEMORIZED, UNMEMORIZED) if _difference_record(frames, model, name)) or (HALF,)
    parts = [
        f"In {model} at {cell} tokens the mean corpus count changes, from the last token of the context to the first "
        f"to recite, {join_with_and(_changes(frames, model, classes))}",
    ]
    if stop := _changes(frames, model, _stopping_classes(frames, model), alignment=DIVERGENCE, scale="log10"):
        parts.append(f"at the first token that is not recited log10(1 + count) changes {join_with_and(stop)}")
    return f"{'; '.join(parts)}."


def _headline(border: Record | None) -> str:
    """Whether counts, on a log scale, change at the border of the rows of a class; None: no class is known."""
    if border is None:
        return "How frequent tokens at the border are is not known"
    where = f"where {border['class']} rows begin"
    return by_interval(
        border["difference_lower"],
        border["difference_upper"],
        f"Tokens get more frequent {where}",
        f"Tokens get rarer {where}",
        f"Token frequency does not clearly change {where}",
    )


def _sentence(border: Record | None, model: str) -> str:
    """The change of log10(1 + count) at the border."""
    if border is None:
        return f"No class of rows of {model} has counts on both sides of the border."
    rows = format_count(border["rows"], f"{border['class']} row")
    return f"At the border log10(1 + count) changes by {format_difference(border)} in {rows} of {model}."


def _control(frames: Frames, model: str) -> str:
    """The results for shuffled labels and control rows, as sentences."""
    filters = {"alignment": DIVERGENCE, "scale": "log10"}
    stopping = _stopping_classes(frames, model)
    changes = {
        "At shuffled divergence points log10(1 + count)": _changes(frames, model, stopping, role="shuffled", **filters),
        "Among rows no model was trained on the mean count": _changes(
            frames, model, (MEMORIZED, UNMEMORIZED), role="control"
        ),
        "Where rows no model was trained on diverge, log10(1 + count)": _changes(
            frames, model, stopping, role="control", **filters
        ),
    }
    sentences = [f"{start} changes {_AND_CHANGES.join(parts)}." for start, parts in changes.items() if parts]
    return " ".join([_shuffled(frames, model), *sentences])


def _shuffled(frames: Frames, model: str) -> str:
    records = [_difference_record(frames, model, name, role="shuffled") for name in (MEMORIZED, UNMEMORIZED, HALF)]
    large_classes = [record for record in records if record and record["rows"] >= MIN_ROWS]
    all_rows = _difference_record(frames, model, ALL_ROWS)
    if not large_classes or all_rows is None:
        return f"No class of {model} has {MIN_ROWS} rows: shuffled labels tell nothing."
    parts = [
        f"by {format_difference(record)} in {record['rows']:,} rows called {record['class']}"
        for record in large_classes
    ]
    parts.append(f"by {format_difference(all_rows)} in all {all_rows['rows']:,} rows")
    contrasts = frames["contrasts"].filter(model=model, role="shuffled", ngram=1, scale="count", form=ONE_STEP)
    apart = [
        f" Rows called memorized and unmemorized are {format_difference(record)} apart."
        for record in contrasts.to_dicts()
    ]
    return (
        f"{shuffled_sentence(model, 'classes')} The mean count then changes {_AND_CHANGES.join(parts)}.{''.join(apart)}"
    )


def _trends(frames: Frames, model: str, window: str) -> tuple[Trend, ...]:
    """The trends, tested on the one-step difference of the mean 1-gram count, the form nearest to P1's numbers."""
    trends = []
    for name, (row_class, sign) in _TRENDS.items():
        record, window_record = (
            _difference_record(frames, model, row_class),
            _difference_record(frames, model, row_class, window),
        )
        if record is None or window_record is None:
            trends.append(Trend(name, "cannot tell", f"{model} has no row called {row_class}"))
            continue
        test = (
            f"mean 1-gram count of {record['rows']:,} {row_class} rows of {model}: one step "
            f"{format_difference(record)}. Over a {window} tokens {format_difference(window_record)}. "
            "A direction is shown if the interval of the one step leaves out 0"
        )
        interval = [sign * end for end in (record["difference_lower"], record["difference_upper"]) if end is not None]
        verdict: Verdict = (
            "shows"
            if interval and min(interval) > 0
            else "contradicts"
            if interval and max(interval) < 0
            else "cannot tell"
        )
        trends.append(Trend(name, verdict, test))
    return tuple(trends)


# -------------------------------------------------------------------------------------------------------- the charts


def _charts(frames: Frames, model: str) -> tuple[Chart, ...]:
    mean, geometric = ("mean", "mean count in the corpus"), ("geometric_mean", "geometric mean of 1 + count")
    candidates = [
        _profile_chart("border-1gram", f"Mean count of the token, {model}", BOUNDARY, 1, *mean, model),
        _profile_chart("border-1gram-models", "Mean count of the token", BOUNDARY, 1, *mean),
        _profile_chart(
            "border-1gram-geometric", f"Geometric mean count of the token, {model}", BOUNDARY, 1, *geometric, model
        ),
        _profile_chart("border-2gram", f"Mean count of the 2-gram, {model}", BOUNDARY, 2, *mean, model),
        _profile_chart("divergence", f"Geometric mean count of the token, {model}", DIVERGENCE, 1, *geometric, model),
        _profile_chart("divergence-models", "Geometric mean count of the token", DIVERGENCE, 1, *geometric),
    ]
    charts = [chart for chart in candidates if frames["curves"].filter(**chart.where)["mean"].is_not_null().any()]
    return (*charts, *_size_charts(frames))


def _profile_chart(
    name: str, quantity: str, alignment: str, ngram: int, column: str, title: str, model: str | None = None
) -> Chart:
    """For one model: one panel per class, with its control; for all models: one panel per model, training rows only."""
    origins = {BOUNDARY: "the border (0: first token to recite)", DIVERGENCE: "divergence (0: first token not recited)"}
    filters: dict[str, str | int] = {"role": "train"} if model is None else {"model": model}
    return Chart(
        name,
        f"{quantity} around {origins[alignment].split(' (')[0]}",
        "lines",
        "curves",
        Axis("offset", f"tokens after {origins[alignment]}"),
        Axis(column, title, "log" if column == "geometric_mean" else "linear", bounds=(0, None)),
        Axis("class", "rows", "nominal"),
        f"{column}_lower",
        f"{column}_upper",
        facet="model" if model is None else "class",
        dash="role",
        where={"alignment": alignment, "ngram": ngram, "shown": True, **filters},
    )


def _size_charts(frames: Frames) -> tuple[Chart, ...]:
    where: dict[str, str | int] = {"ngram": 1, "scale": "log10", "form": ONE_STEP, "alignment": BOUNDARY, "shown": True}
    if frames["differences"].filter(**where)["parameters"].n_unique() < 2:
        return ()
    interval = ("difference_lower", "difference_upper")
    x, y = Axis("parameters", "parameters", "log"), Axis("difference", "one step at the border, log10(1 + count)")
    title, color = "Boundary difference by model size", Axis("class", "rows", "nominal")
    reference = (0.0, "no difference")
    return (
        Chart("sizes", title, "lines", "differences", x, y, color, *interval, None, "role", None, reference, where),
    )


# ------------------------------------------------------------------------------------------------------- the finding


def _caveats(tables: Tables, cell: Cell, frames: Frames, left_out: int) -> tuple[str, ...]:
    caveats = {
        "Mean counts are ruled by a few very frequent tokens: see log10 counts and medians here, and the finding "
        "frequency_strata.": True,
        f"Means of counts of fewer than {FEWEST_COUNTS:,} {'rows' if tables.clusters is None else 'documents'} have no "
        "interval: a few frequent tokens make it too narrow; those of log10(1 + count) have one.": (
            (frames["curves"]["clusters"] < FEWEST_COUNTS).any()
        ),
        "Counts hold the row's own copies: rows that occur often raise the counts of their tokens and 2-grams.": True,
        f"{left_out:,} scored training rows have no counts and are left out.": left_out,
        "Counts of 2-grams are unknown.": not (frames["curves"]["ngram"] == 2).any(),
        "The number of tokens of the corpus is unknown: no counts per million.": not tables.facts.get("tokens"),
    }
    own = [text for text, applies in caveats.items() if applies]
    return (*own, *class_caveats(tables, cell, frames["differences"], frames))


def _deviations(tables: Tables, cell: Cell) -> tuple[str, ...]:
    return (
        boundary_deviation(cell.context, cell.continuation),
        "P1 gives mean 1-gram counts in billions, of the rows of the training stream; here they are counts of the rows "
        f"of the study (scope of the counts: {tables.facts.get('scope', 'not told')}), with 95 % intervals.",
        "Medians, log10(1 + count), shuffled labels and the alignment on each row's divergence point "
        f"({DIVERGENCE_REACH} tokens on each side) are ours.",
        f"Charts show classes of at least {MIN_ROWS} rows, of the last checkpoint of each size; the tables hold all.",
    )


def compute(tables: Tables) -> Finding:
    """Counts by position of the three classes at the cell nearest to 32 + 32, and the boundary difference."""
    cell = nearest_cell(tables)
    if not tables.complete or cell is None:
        return ANALYSIS.without_scores(tables, _QUESTION)
    if "counts" not in tables.features:
        return ANALYSIS.without_features(tables, _QUESTION)
    classes = row_classes(tables, cell)
    frames = boundary_frames(tables, classes, window_counts(tables, cell))
    model = _headline_model(tables, frames)
    if not any(_difference_record(frames, model, name) for name in CLASSES):
        remedy = "Score more rows, or other models: `mematlas score MODEL ... --rows all`."
        missing = "memorized, half-memorized or unmemorized rows whose counts are known"
        return ANALYSIS.insufficient_data(tables, _QUESTION, missing, remedy)
    step = _difference_record(frames, model, MEMORIZED)
    records = (_difference_record(frames, model, name, scale="log10") for name in (MEMORIZED, UNMEMORIZED, HALF))
    border = next((record for record in records if record), None)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(frames, model, cell),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(step),
        control=_control(frames, model),
        tables=boundary_tables(frames),
        charts=_charts(frames, model),
        trends=_trends(frames, model, form_names(cell.context, cell.continuation)[1]),
        caveats=_caveats(tables, cell, frames, classes.filter(~pl.col("counted"), role="train")["row"].n_unique()),
        deviations=_deviations(tables, cell),
        headline=_headline(border),
        sentence=_sentence(border, model),
    )


def _strength(step: Record | None) -> float | None:
    """The one-step difference of memorized rows / its standard error."""
    if step is None or step["difference_lower"] is None:
        return None
    return abs(step["difference"]) / standard_error(step["difference_lower"], step["difference_upper"])


ANALYSIS: Final = Analysis(
    "boundary_input",
    "Counts at the border",
    "P1, Figure 4 and table of sentence-level frequency",
    "row features (`mematlas features STUDY`); scores of all rows",
    compute,
    tuple(_TRENDS),
)
