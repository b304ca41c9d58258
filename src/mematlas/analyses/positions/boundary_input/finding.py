"""What the models were fed around the border of context and continuation, and where reciting stops.

Source: P1, Fig. 4 and the table of sentence-level frequency: corpus counts of the tokens of memorized, half-memorized
and unmemorized rows by position, and the boundary effect. The numbers are made in curves.py and border.py.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import difference_of, listed
from mematlas.analyses.positions.boundary_input.tables import boundary_frames, boundary_tables
from mematlas.analyses.positions.boundary_step import STEP, WIDTH, forms, width
from mematlas.analyses.positions.profiles import BORDER, DIVERGENCE, FEW, REACH
from mematlas.analyses.positions.token_windows import (
    CLASSES,
    EVERY,
    HALF,
    MEMORIZED,
    OTHER,
    UNMEMORIZED,
    row_classes,
    window_counts,
)
from mematlas.analyses.trend_tests import Verdict
from mematlas.findings.finding import Axis, Chart, Finding, Trend
from mematlas.stats.estimates.intervals import standard_error

_QUESTION: Final = "what corpus counts of tokens do at the border of context and continuation"
_TRENDS: Final = {
    "frequency-rises-at-the-border-of-memorized-rows": (MEMORIZED, +1),
    "frequency-falls-at-the-border-of-unmemorized-rows": (UNMEMORIZED, -1),
}
Frames = dict[str, pl.DataFrame]
Line = dict[str, Any]


# --------------------------------------------------------------------------------------------------------- the words


def _line(frames: Frames, model: str, name: str, form: str = STEP, **where: str) -> Line | None:
    """The line of a class with a difference of 1-grams; of training rows, counts and the border unless told else."""
    where = {"role": "train", "alignment": BORDER, "scale": "count"} | where
    found = frames["differences"].filter(model=model, ngram=1, form=form, **{"class": name, **where})
    return next(found.drop_nulls("difference").iter_rows(named=True), None)


def _changes(frames: Frames, model: str, names: tuple[str, ...], form: str = STEP, **where: str) -> str:
    """ "by ... in 20 memorized rows and by ... in 30 unmemorized rows", of the classes that have a line."""
    lines = [_line(frames, model, name, form, **where) for name in names]
    return listed([f"by {difference_of(line)} in {line['rows']:,} {line['class']} rows" for line in lines if line])


def _spoken_of(tables: Tables, frames: Frames) -> str:
    """The largest model of those that have most of: memorized rows and unmemorized rows, enough for an interval."""

    def held(model: str) -> int:
        lines = [_line(frames, model, name) for name in (MEMORIZED, UNMEMORIZED)]
        return sum(1 + (line["difference_lower"] is not None) for line in lines if line)

    return max([*reversed(tables.by_size), *reversed(tables.family)], key=held)


def _stopping(frames: Frames, model: str) -> tuple[str, ...]:
    """The class whose divergence points are spoken of: rows that are neither memorized, half nor not at all, if any."""
    return (OTHER,) if _line(frames, model, OTHER, alignment=DIVERGENCE) else (HALF,)


def _claim(frames: Frames, model: str, cell: Cell) -> str:
    told = tuple(name for name in (MEMORIZED, UNMEMORIZED) if _line(frames, model, name)) or (HALF,)
    said = [
        f"In {model} at {cell} tokens the mean corpus count changes, from the last token of the context to the first "
        f"to recite, {_changes(frames, model, told)}",
    ]
    if stop := _changes(frames, model, _stopping(frames, model), alignment=DIVERGENCE, scale="log10"):
        said.append(f"at the first token that is not recited log10(1 + count) changes {stop}")
    return f"{'; '.join(said)}."


def _control(frames: Frames, model: str) -> str:
    """What shuffled labels and control rows give, in words."""
    stopping = {"alignment": DIVERGENCE, "scale": "log10"}
    stops = _changes(frames, model, _stopping(frames, model), role="shuffled", **stopping)
    beside = _changes(frames, model, (MEMORIZED, UNMEMORIZED), role="control")
    their = _changes(frames, model, _stopping(frames, model), role="control", **stopping)
    said = {
        f"At shuffled divergence points log10(1 + count) changes {stops}.": stops,
        f"Among rows no model was trained on the mean count changes {beside}.": beside,
        f"At divergence points of rows no model was trained on log10(1 + count) changes {their}.": their,
    }
    return " ".join([_shuffled(frames, model), *(words for words, there in said.items() if there)])


def _shuffled(frames: Frames, model: str) -> str:
    lines = [_line(frames, model, name, role="shuffled") for name in (MEMORIZED, UNMEMORIZED, HALF)]
    enough = [line for line in lines if line and line["rows"] >= FEW]
    every = _line(frames, model, EVERY)
    inside, of = _inside(frames, model)
    if not enough or every is None:
        return f"No class of {model} has {FEW} rows: shuffled labels tell nothing."
    parts = [f"by {difference_of(line)} in {line['rows']:,} rows called {line['class']}" for line in enough]
    parts.append(f"by {difference_of(every)} in all {every['rows']:,} rows")
    apart = frames["contrasts"].filter(model=model, role="shuffled", ngram=1, scale="count", form=STEP)
    pair = [f"; rows called memorized and unmemorized are {difference_of(line)} apart" for line in apart.to_dicts()]
    return (
        f"With the classes shuffled among the training rows of {model} the mean count changes {listed(parts)}"
        f"{''.join(pair)}. Of {of} such differences (classes, 1- and 2-grams, counts and logarithms, both forms) "
        f"{inside} have an interval that holds the one of all rows; one in twenty may miss it by chance."
    )


def _inside(frames: Frames, model: str) -> tuple[int, int]:
    """How many of a model's shuffled boundary differences have an interval that holds the one of all rows."""
    here = frames["differences"].filter(model=model, alignment=BORDER)
    keys = ["ngram", "scale", "form"]
    whole = here.filter(role="train", **{"class": EVERY}).select(*keys, whole="difference")
    shuffled = here.filter("shown", role="shuffled").drop_nulls("difference_lower")
    within = pl.col("whole").is_between("difference_lower", "difference_upper")
    inside, of = shuffled.join(whole, on=keys).select(within.sum(), pl.len()).row(0)
    return inside, of


def _trends(frames: Frames, model: str, window: str) -> tuple[Trend, ...]:
    """A direction is tested on one step of the mean 1-gram count, the form nearest to P1's numbers."""
    found = []
    for name, (of, sign) in _TRENDS.items():
        line, wide = _line(frames, model, of), _line(frames, model, of, window)
        if line is None or wide is None:
            found.append(Trend(name, "cannot tell", f"{model} has no row called {of}"))
            continue
        test = (
            f"mean 1-gram count of {line['rows']:,} {of} rows of {model}: one step {difference_of(line)}, {window} "
            f"tokens {difference_of(wide)}; a direction is shown if the interval of the one step leaves out 0"
        )
        ends = [sign * end for end in (line["difference_lower"], line["difference_upper"]) if end is not None]
        verdict: Verdict = (
            "shows" if ends and min(ends) > 0 else "contradicts" if ends and max(ends) < 0 else "cannot tell"
        )
        found.append(Trend(name, verdict, test))
    return tuple(found)


# -------------------------------------------------------------------------------------------------------- the charts


def _charts(frames: Frames, model: str) -> tuple[Chart, ...]:
    mean, geometric = ("mean", "mean count in the corpus"), ("geometric_mean", "geometric mean of 1 + count")
    drawn = [
        _curve("border-1gram", f"Mean count of the token, {model}", BORDER, 1, *mean, model),
        _curve("border-1gram-models", "Mean count of the token", BORDER, 1, *mean),
        _curve("border-1gram-geometric", f"Geometric mean count of the token, {model}", BORDER, 1, *geometric, model),
        _curve("border-2gram", f"Mean count of the 2-gram, {model}", BORDER, 2, *mean, model),
        _curve("divergence", f"Geometric mean count of the token, {model}", DIVERGENCE, 1, *geometric, model),
        _curve("divergence-models", "Geometric mean count of the token", DIVERGENCE, 1, *geometric),
    ]
    charts = [chart for chart in drawn if frames["curves"].filter(**chart.where)["mean"].is_not_null().any()]
    return (*charts, *_sizes(frames))


def _curve(name: str, what: str, at: str, ngram: int, column: str, title: str, model: str | None = None) -> Chart:
    """Of one model a panel a class, beside its control; of all models a panel each, training rows alone."""
    points = {BORDER: "the border (0: first token to recite)", DIVERGENCE: "divergence (0: first token not recited)"}
    own: dict[str, str | int] = {"role": "train"} if model is None else {"model": model}
    return Chart(
        name,
        f"{what} around {points[at].split(' (')[0]}",
        "lines",
        "curves",
        Axis("offset", f"tokens after {points[at]}"),
        Axis(column, title, "log" if column == "geometric_mean" else "linear"),
        Axis("class", "rows", "nominal"),
        f"{column}_lower",
        f"{column}_upper",
        facet="model" if model is None else "class",
        dash="role",
        where={"alignment": at, "ngram": ngram, "shown": True, **own},
    )


def _sizes(frames: Frames) -> tuple[Chart, ...]:
    where: dict[str, str | int] = {"ngram": 1, "scale": "log10", "form": STEP, "alignment": BORDER, "shown": True}
    if frames["differences"].filter(**where)["parameters"].n_unique() < 2:
        return ()
    ends = ("difference_lower", "difference_upper")
    x, y = Axis("parameters", "parameters", "log"), Axis("difference", "one step at the border, log10(1 + count)")
    title, color = "Boundary difference by model size", Axis("class", "rows", "nominal")
    nothing = (0.0, "no difference")
    return (Chart("sizes", title, "lines", "differences", x, y, color, *ends, None, "role", None, nothing, where),)


# ------------------------------------------------------------------------------------------------------- the finding


def _caveats(tables: Tables, cell: Cell, frames: Frames, left_out: int) -> tuple[str, ...]:
    here = frames["differences"].filter(role="train", alignment=BORDER)
    classes = set(here["class"])
    lacking = [name for name in CLASSES if name not in classes]
    said = {
        "Mean counts are ruled by a few very frequent tokens: see log10 counts and medians here, and the finding "
        "frequency_strata.": True,
        "Counts hold the row's own copies: rows that occur often raise the counts of their tokens and 2-grams.": True,
        f"No training row of any model is {' or '.join(lacking)}.": tables.graded and lacking,
        "M was not graded: half-memorized and unmemorized rows are unknown.": not tables.graded,
        f"A continuation of {cell.continuation} tokens has no half: no row can have M = 1/2.": (cell.continuation % 2),
        f"{left_out:,} scored training rows have no counts and are left out.": left_out,
        "How many tokens each row recites before its first miss is unknown: no curve around divergence points.": (
            not frames["curves"]["alignment"].eq(DIVERGENCE).any()
        ),
        "Counts of 2-grams are unknown.": not (frames["curves"]["ngram"] == 2).any(),
        "The number of tokens of the corpus is unknown: no counts per million.": not tables.facts.get("tokens"),
        "The models of a size trend are measured on the same rows: its interval says how well they lie on a line.": (
            frames["slopes"].height
        ),
        "The study has no control rows: only shuffled labels stand beside.": not tables.has_control,
    }
    return tuple(words for words, holds in said.items() if holds)


def _deviations(tables: Tables, cell: Cell) -> tuple[str, ...]:
    wide = width(cell.context, cell.continuation)
    short = f" (here {wide}, as a side has no more)" if wide < WIDTH else ""
    return (
        "P1 does not publish the formula of its boundary difference: one step and a window are ours, "
        f"with {WIDTH} tokens on each side{short}.",
        "P1 gives mean 1-gram counts in billions, of the rows of the training stream; here they are counts of the rows "
        f"of the study (scope of the counts: {tables.facts.get('scope', 'not told')}), with 95 % intervals.",
        "Medians, log10(1 + count), shuffled labels and the alignment on each row's divergence point "
        f"({REACH} tokens on each side) are ours.",
        f"Charts show classes of at least {FEW} rows, of the last checkpoint of each size; the tables hold all.",
    )


def answer(tables: Tables) -> Finding:
    """Counts by position of the three classes at the cell nearest to 32 + 32, and the boundary difference."""
    cell = nearest_cell(tables)
    if not tables.complete or cell is None:
        return ANALYSIS.lacking_rows(tables, _QUESTION)
    if "counts" not in tables.features:
        return ANALYSIS.lacking_counts(tables, _QUESTION)
    classes = row_classes(tables, cell)
    frames = boundary_frames(tables, classes, window_counts(tables, cell))
    model = _spoken_of(tables, frames)
    if not any(_line(frames, model, name) for name in CLASSES):
        remedy = "Score more rows, or other models."
        what = "memorized, half-memorized or unmemorized rows whose counts are known"
        return ANALYSIS.lacking(tables, _QUESTION, what, remedy)
    line = _line(frames, model, MEMORIZED)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(frames, model, cell),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(line),
        control=_control(frames, model),
        tables=boundary_tables(frames),
        charts=_charts(frames, model),
        trends=_trends(frames, model, forms(cell.context, cell.continuation)[1]),
        caveats=_caveats(tables, cell, frames, classes.filter(~pl.col("counted"), role="train")["row"].n_unique()),
        deviations=_deviations(tables, cell),
    )


def _strength(line: Line | None) -> float | None:
    """The step of memorized rows / its standard error."""
    if line is None or line["difference_lower"] is None:
        return None
    return abs(line["difference"]) / standard_error(line["difference_lower"], line["difference_upper"])


ANALYSIS: Final = Analysis(
    "boundary_input",
    "Counts at the border",
    "P1, Figure 4 and table of sentence-level frequency",
    "row features (`mematlas features`); scores of all rows",
    answer,
    tuple(_TRENDS),
)
