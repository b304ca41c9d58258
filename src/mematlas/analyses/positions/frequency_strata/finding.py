"""What is left of the boundary effect once repetition and the kinds of tokens are held fixed.

Source: P1, boundary effect, as far as raw means go; strata, logarithms, ranks and the permutation test are our choice,
since raw means of a heavy-tailed count mislead. The numbers are made in strata.py.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import difference_of, listed
from mematlas.analyses.positions.boundary_step import STEP
from mematlas.analyses.positions.frequency_strata.strata import (
    EFFECTS,
    POSITIONS,
    SCALES,
    STRATA,
    TESTED,
    contrasted,
    position_contrasts,
    repetition_source,
    stratified_effects,
)
from mematlas.analyses.positions.profiles import FEW
from mematlas.analyses.positions.token_windows import row_classes, window_counts
from mematlas.findings.finding import Axis, Chart, Finding, Table
from mematlas.stats.estimates.intervals import standard_error
from mematlas.stats.hypotheses.permutation import PERMUTATIONS

_QUESTION: Final = "whether the boundary effect survives when repetition and kinds of tokens are held fixed"
_LEVEL: Final = 0.05
_RECIPES: Final = {
    "effects": "answer = recount.stratified_effects(recount.strata_rows(study))",
    "positions": "answer = recount.position_contrasts(recount.strata_rows(study), recount.boundary_counts(study))",
}
_NAMES: Final = {"count": "counts", "log10": "log10 counts", "rank": "ranks"}
Line = dict[str, Any]


# ---------------------------------------------------------------------------------------------------------- the words


def _steps(effects: pl.DataFrame, model: str, strata: str) -> dict[str, Line]:
    """scale -> the line of the one step of 1-grams in one model."""
    found = effects.filter(model=model, ngram=1, form=STEP, strata=strata)
    return {line["scale"]: line for line in found.iter_rows(named=True)}


def _spoken_of(tables: Tables, effects: pl.DataFrame) -> str | None:
    """The largest model with memorized and unmemorized rows, those with an interval first."""
    known = effects.filter(ngram=1, form=STEP, strata="none", scale="log10")
    order = [*reversed(tables.by_size), *reversed(tables.family)]
    sure = set(known.drop_nulls("difference_lower")["model"])
    there = [model for model in order if model in set(known["model"])]
    return next((model for model in there if model in sure), there[0] if there else None)


def _finest(effects: pl.DataFrame, model: str) -> str:
    """The finest strata in which the model has enough rows of both classes to speak of."""
    enough = effects.filter(pl.min_horizontal("memorized", "unmemorized") >= FEW, model=model, ngram=1)
    return [name for name in STRATA if name == "none" or name in set(enough["strata"])][-1]


def _told(lines: dict[str, Line]) -> str:
    """The difference in logarithms, which few frequent tokens do not rule; of the other scales the p alone."""
    shown = lines["log10"]
    others = listed([f"{_NAMES[scale]} p = {line['p']:.3f}" for scale, line in lines.items() if scale != "log10"])
    return f"{difference_of(shown)} in {_NAMES['log10']} (p = {shown['p']:.3f}; {others})"


def _claim(effects: pl.DataFrame, model: str, cell: Cell) -> str:
    plain, strata = _steps(effects, model, "none"), _finest(effects, model)
    first = plain["count"]
    said = (
        f"In {model} at {cell} tokens the step of the 1-gram count at the border of {first['memorized']:,} memorized "
        f"rows, less that of {first['unmemorized']:,} unmemorized rows, is {_told(plain)}"
    )
    if strata == "none":
        return f"{said}; neither repetition nor kinds of tokens can be held fixed, so what survives cannot be said."
    within = _steps(effects, model, strata)
    used = within["count"]
    many = f"{used['strata_used']} strata" if used["strata_used"] > 1 else "1 stratum"
    return (
        f"{said}; with {strata} held fixed ({many} of {used['memorized']:,} memorized and {used['unmemorized']:,} "
        f"unmemorized rows) it is {_told(within)}: {_survives(plain, within)}."
    )


def _survives(plain: dict[str, Line], within: dict[str, Line]) -> str:
    """What is apart (p below 0.05) without strata, and still is within them, in the same direction."""
    apart = [scale for scale in SCALES if plain[scale]["p"] < _LEVEL]
    alike = {scale: plain[scale]["difference"] * within[scale]["difference"] > 0 for scale in SCALES}
    left = [scale for scale in apart if within[scale]["p"] < _LEVEL and alike[scale]]
    new = [scale for scale in SCALES if scale not in left and within[scale]["p"] < _LEVEL]
    also = f"; within strata the difference in {listed([_NAMES[scale] for scale in new])} is new" if new else ""
    if not apart:
        return f"without strata there is no difference (p of {_LEVEL} or above) that could survive{also}"
    gone = [scale for scale in apart if scale not in left]
    words = [f"the difference in {listed([_NAMES[scale] for scale in left])} survives"] if left else []
    words += [f"the difference in {listed([_NAMES[scale] for scale in gone])} does not survive"] if gone else []
    return listed(words) + also


def _control(positions: pl.DataFrame, model: str) -> str | None:
    """The step at the border among the steps at all positions."""
    steps = positions.filter(model=model, ngram=1, scale="log10")
    sizes = {offset: abs(step) for offset, step in steps.select("offset", "difference").iter_rows()}
    here = sizes.pop(0, None)
    if here is None or not sizes:
        return None
    larger = sum(size >= here for size in sizes.values())
    return (
        f"Labels permuted within strata, {PERMUTATIONS} times, are the control. At the border the step of "
        f"log10(1 + count) in memorized less unmemorized rows is {here:.3g} in size; at the {len(sizes)} other "
        f"positions of the window it is {sum(sizes.values()) / len(sizes):.3g} on average, and at {larger} of them at "
        "least as large as at the border."
    )


def _caveats(tables: Tables, effects: pl.DataFrame, model: str) -> tuple[str, ...]:
    plain, within = _steps(effects, model, "none")["count"], _steps(effects, model, _finest(effects, model))["count"]
    known, source = set(effects["strata"]), repetition_source(tables)
    everywhere = plain["memorized"] + plain["unmemorized"]
    lost = everywhere - within["memorized"] - within["unmemorized"]
    both = _steps(effects, model, "repetition and token kinds").get("count", {"memorized": 0, "unmemorized": 0})
    few = _finest(effects, model) != "repetition and token kinds" and source is not None and "token kinds" in known
    said = {
        f"Held fixed together, repetition and kinds leave {both['memorized']:,} memorized and {both['unmemorized']:,} "
        f"unmemorized rows of {model} to compare: too few to speak of.": few,
        f"{lost:,} of {everywhere:,} rows of {model} stand in strata without rows of the other class, or of unknown "
        "stratum, and are left out.": lost,
        "How often rows occur is unknown: repetition is not held fixed.": source is None,
        "The corpus does not tell how often rows were shown: copies of the window (scope rows) stand for it.": (
            source == "copies"
        ),
        "Where repetition is known, memorized and unmemorized rows share no stratum of it.": (
            source and "repetition" not in known
        ),
        "Kinds of tokens are unknown, or shared by no rows of both classes: they are not held fixed.": (
            "token kinds" not in known
        ),
        f"p is of at most {TESTED:,} rows of each class, drawn at random; differences are of all rows.": (
            max(plain["memorized"], plain["unmemorized"]) > TESTED
        ),
        "Scales, forms, n-grams and strata make many tests: one in twenty has a p below 0.05 by chance.": True,
        "Means of raw counts are ruled by a few very frequent tokens: their p and intervals say little.": True,
    }
    return tuple(words for words, holds in said.items() if holds)


# -------------------------------------------------------------------------------------------------------- the finding


def _charts(effects: pl.DataFrame, positions: pl.DataFrame, model: str) -> tuple[Chart, ...]:
    where: dict[str, str | int] = {"ngram": 1, "form": STEP, "shown": True}
    shown = effects.filter(**where)["effect"].is_not_null().any()
    bars = Chart(
        "effects",
        "Step at the border: memorized less unmemorized rows",
        "bars",
        "effects",
        Axis("scale", "scale of the count", "nominal"),
        Axis("effect", "difference, standard deviations"),
        Axis("strata", "held fixed", "nominal"),
        "effect_lower",
        "effect_upper",
        facet="model",
        reference=(0.0, "no difference"),
        where=where,
    )
    lines = Chart(
        "positions",
        f"Step between neighbouring tokens: memorized less unmemorized rows, {model}",
        "lines",
        "positions",
        Axis("offset", "tokens after the border (0: first token to recite)"),
        Axis("difference", "difference of the steps of log10(1 + count)"),
        None,
        "difference_lower",
        "difference_upper",
        reference=(0.0, "no difference"),
        where={"model": model, "ngram": 1, "scale": "log10"},
    )
    drawn = positions.filter(model=model, ngram=1, scale="log10").height > 0
    return (*([bars] if shown else []), *([lines] if drawn else []))


_DEVIATIONS: Final = (
    "P1 reports raw means; strata, log10(1 + count), ranks, intervals and the permutation test are ours.",
    "Strata of repetition are doublings (1, 2 to 3, 4 to 7 ...), those of kinds the pairs of kinds of the two tokens "
    "at the border; each stratum weighs as many rows as it has.",
    "Position is held fixed by design, as all rows of a cell have their border at one place; the same step at every "
    "other position stands beside.",
)


def answer(tables: Tables) -> Finding:
    """Border differences of memorized less unmemorized rows at the cell nearest to 32 + 32, plain and within strata."""
    cell = nearest_cell(tables)
    if not tables.complete or cell is None:
        return ANALYSIS.lacking_rows(tables, _QUESTION)
    if "counts" not in tables.features:
        return ANALYSIS.lacking_counts(tables, _QUESTION)
    counts = window_counts(tables, cell)
    rows = contrasted(tables, row_classes(tables, cell), counts)
    effects = stratified_effects(rows)
    model = _spoken_of(tables, effects)
    if model is None:
        what = "a model with both memorized and unmemorized training rows whose counts and M are known"
        return ANALYSIS.lacking(tables, _QUESTION, what, "Score more rows, or other models, at graded depth.")
    positions = position_contrasts(rows, counts)
    line = _steps(effects, model, _finest(effects, model))["log10"]
    known = line["difference_lower"] is not None
    found = (
        Table(
            "effects", "Memorized less unmemorized rows at the border, by strata", effects, EFFECTS, _RECIPES["effects"]
        ),
        Table("positions", "The same step at every position", positions, POSITIONS, _RECIPES["positions"]),
    )
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(effects, model, cell),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=abs(line["difference"]) / standard_error(line["difference_lower"], line["difference_upper"])
        if known
        else None,
        control=_control(positions, model),
        tables=tuple(table for table in found if table.frame.height),
        charts=_charts(effects, positions, model),
        caveats=_caveats(tables, effects, model),
        deviations=_DEVIATIONS,
    )


ANALYSIS: Final = Analysis(
    "frequency_strata",
    "Boundary effect within strata",
    "P1, boundary effect; strata and tests are our choice",
    "row features (`mematlas features`); graded scores of all rows",
    answer,
)
