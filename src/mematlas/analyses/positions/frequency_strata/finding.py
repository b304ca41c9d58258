"""What remains of the boundary effect once repetition and the kinds of tokens are held fixed.

Source: P1, boundary effect, for raw means; strata, logarithms, ranks and the permutation test are our choice, since raw
means of a heavy-tailed count mislead. The numbers are computed in strata.py.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import format_difference, join_with_and
from mematlas.analyses.positions.boundary_step import ONE_STEP
from mematlas.analyses.positions.frequency_strata.strata import (
    EFFECT_COLUMNS,
    MAX_FLIPPED_CLUSTERS,
    MAX_PERMUTED_ROWS,
    POSITION_COLUMNS,
    SCALES,
    STRATA,
    contrast_rows,
    position_contrasts,
    repetition_source,
    stratified_effects,
)
from mematlas.analyses.positions.profiles import MIN_ROWS
from mematlas.analyses.positions.token_windows import row_classes, window_counts
from mematlas.findings.finding import Axis, Chart, Finding, Table
from mematlas.stats.estimates.intervals import standard_error
from mematlas.stats.hypotheses.permutation import PERMUTATIONS

_QUESTION: Final = "whether the boundary effect survives when repetition and kinds of tokens are held fixed"
_ALPHA: Final = 0.05
_RECIPES: Final = {
    "effects": "answer = recount.stratified_effects(recount.strata_rows(study))",
    "positions": "answer = recount.position_contrasts(recount.strata_rows(study), recount.boundary_counts(study))",
}
_SCALE_PHRASES: Final = {"count": "counts", "log10": "log10 counts", "rank": "ranks"}
Record = dict[str, Any]


# ------------------------------------------------------------------------------------------------------ the sentences


def _step_records(effects: pl.DataFrame, model: str, strata: str) -> dict[str, Record]:
    """scale -> the record of the one-step difference of 1-grams in one model."""
    records = effects.filter(model=model, ngram=1, form=ONE_STEP, strata=strata)
    return {record["scale"]: record for record in records.iter_rows(named=True)}


def _headline_model(tables: Tables, effects: pl.DataFrame) -> str | None:
    """The largest model with memorized and unmemorized rows, preferring those with an interval."""
    one_step = effects.filter(ngram=1, form=ONE_STEP, strata="none", scale="log10")
    preference = [*reversed(tables.by_size), *reversed(tables.family)]
    with_interval = set(one_step.drop_nulls("difference_lower")["model"])
    available = [model for model in preference if model in set(one_step["model"])]
    return next((model for model in available if model in with_interval), available[0] if available else None)


def _finest_strata(effects: pl.DataFrame, model: str) -> str:
    """The finest stratification in which the model has enough rows of both classes."""
    large_enough = effects.filter(pl.min_horizontal("memorized", "unmemorized") >= MIN_ROWS, model=model, ngram=1)
    return [name for name in STRATA if name == "none" or name in set(large_enough["strata"])][-1]


def _format_step(records: dict[str, Record]) -> str:
    """The difference in logarithms, which a few frequent tokens do not dominate, and p for the other scales."""
    main = records["log10"]
    others = join_with_and(
        [f"{_SCALE_PHRASES[scale]} p = {record['p']:.3f}" for scale, record in records.items() if scale != "log10"]
    )
    return f"{format_difference(main)} in {_SCALE_PHRASES['log10']} (p = {main['p']:.3f}; {others})"


def _claim(effects: pl.DataFrame, model: str, cell: Cell) -> str:
    unstratified, strata = _step_records(effects, model, "none"), _finest_strata(effects, model)
    count_record = unstratified["count"]
    text = (
        f"In {model} at {cell} tokens the step of the 1-gram count at the border of {count_record['memorized']:,} "
        f"memorized rows, less that of {count_record['unmemorized']:,} unmemorized rows, is "
        f"{_format_step(unstratified)}"
    )
    if strata == "none":
        return f"{text}; neither repetition nor kinds of tokens can be held fixed, so what survives cannot be said."
    stratified = _step_records(effects, model, strata)
    stratified_count = stratified["count"]
    strata_count = f"{stratified_count['strata_used']} strata" if stratified_count["strata_used"] > 1 else "1 stratum"
    return (
        f"{text}; with {strata} held fixed ({strata_count} of {stratified_count['memorized']:,} memorized and "
        f"{stratified_count['unmemorized']:,} unmemorized rows) it is {_format_step(stratified)}: "
        f"{_survival(unstratified, stratified)}."
    )


def _headline(strata: str, step: Record) -> str:
    """Whether the difference in log10 counts within the finest strata is significant."""
    start = f"The boundary effect is {'clear' if step['p'] < _ALPHA else 'not clear'}"
    return f"{start}, but nothing could be held fixed" if strata == "none" else f"{start} within equal {strata}"


def _sentence(step: Record) -> str:
    """The difference in log10 counts within the finest strata."""
    rows = f"{step['memorized']:,} memorized less {step['unmemorized']:,} unmemorized rows"
    return f"Step of log10(1 + count) in {rows}: {format_difference(step)}, p = {step['p']:.3f}."


def _survival(unstratified: dict[str, Record], stratified: dict[str, Record]) -> str:
    """Which differences are significant (p < 0.05) without strata, and still are within them, in the same direction."""
    significant = [scale for scale in SCALES if unstratified[scale]["p"] < _ALPHA]
    same_direction = {
        scale: unstratified[scale]["difference"] * stratified[scale]["difference"] > 0 for scale in SCALES
    }
    surviving = [scale for scale in significant if stratified[scale]["p"] < _ALPHA and same_direction[scale]]
    new_scales = [scale for scale in SCALES if scale not in surviving and stratified[scale]["p"] < _ALPHA]
    new_text = (
        f"; within strata the difference in {join_with_and([_SCALE_PHRASES[scale] for scale in new_scales])} is new"
        if new_scales
        else ""
    )
    if not significant:
        return f"without strata there is no difference (p of {_ALPHA} or above) that could survive{new_text}"
    lost = [scale for scale in significant if scale not in surviving]
    parts = (
        [f"the difference in {join_with_and([_SCALE_PHRASES[scale] for scale in surviving])} survives"]
        if surviving
        else []
    )
    parts += (
        [f"the difference in {join_with_and([_SCALE_PHRASES[scale] for scale in lost])} does not survive"]
        if lost
        else []
    )
    return join_with_and(parts) + new_text


def _control(positions: pl.DataFrame, model: str) -> str | None:
    """The step at the boundary compared with the steps at all other positions."""
    steps = positions.filter(model=model, ngram=1, scale="log10")
    sizes = {offset: abs(step) for offset, step in steps.select("offset", "difference").iter_rows()}
    at_boundary = sizes.pop(0, None)
    if at_boundary is None or not sizes:
        return None
    larger = sum(size >= at_boundary for size in sizes.values())
    of_documents = steps["clusters"][0] < steps["memorized"][0] + steps["unmemorized"][0]
    permuted = "The signs of what each document adds, flipped at random" if of_documents else "Labels permuted"
    return (
        f"{permuted} within strata, {PERMUTATIONS} times, are the control. At the border the step of "
        f"log10(1 + count) in memorized less unmemorized rows is {at_boundary:.3g} in size. At the {len(sizes)} other "
        f"positions of the window it is {sum(sizes.values()) / len(sizes):.3g} on average, and at {larger} of them at "
        "least as large."
    )


def _caveats(tables: Tables, effects: pl.DataFrame, model: str) -> tuple[str, ...]:
    unstratified, stratified = (
        _step_records(effects, model, "none")["count"],
        _step_records(effects, model, _finest_strata(effects, model))["count"],
    )
    known_strata, source = set(effects["strata"]), repetition_source(tables)
    all_rows = unstratified["memorized"] + unstratified["unmemorized"]
    left_out = all_rows - stratified["memorized"] - stratified["unmemorized"]
    both_strata = _step_records(effects, model, "repetition and token kinds").get(
        "count", {"memorized": 0, "unmemorized": 0}
    )
    too_few = (
        _finest_strata(effects, model) != "repetition and token kinds"
        and source is not None
        and "token kinds" in known_strata
    )
    caveats = {
        f"Held fixed together, repetition and kinds leave {both_strata['memorized']:,} memorized and "
        f"{both_strata['unmemorized']:,} unmemorized rows of {model} to compare: too few to speak of.": too_few,
        f"{left_out:,} of {all_rows:,} rows of {model} stand in strata without rows of the other class, or of unknown "
        "stratum, and are left out.": left_out,
        "How often rows occur is unknown: repetition is not held fixed.": source is None,
        "The corpus does not tell how often rows were shown: copies of the window (scope rows) stand for it.": (
            source == "copies"
        ),
        "Where repetition is known, memorized and unmemorized rows share no stratum of it.": (
            source and "repetition" not in known_strata
        ),
        "Kinds of tokens are unknown, or shared by no rows of both classes: they are not held fixed.": (
            "token kinds" not in known_strata
        ),
        f"p is of at most {MAX_PERMUTED_ROWS:,} rows of each class, drawn at random; differences are of all rows.": (
            max(unstratified["memorized"], unstratified["unmemorized"]) > MAX_PERMUTED_ROWS
            and unstratified["clusters"] == all_rows
        ),
        f"p is of {MAX_FLIPPED_CLUSTERS:,} documents, drawn at random; differences are of all rows.": (
            MAX_FLIPPED_CLUSTERS < unstratified["clusters"] < all_rows
        ),
        "Scales, forms, n-grams and strata make many tests: one in twenty has a p below 0.05 by chance.": True,
        "Means of raw counts are ruled by a few very frequent tokens: their p and intervals say little.": True,
    }
    return tuple(text for text, applies in caveats.items() if applies)


# -------------------------------------------------------------------------------------------------------- the finding


def _charts(effects: pl.DataFrame, positions: pl.DataFrame, model: str) -> tuple[Chart, ...]:
    where: dict[str, str | int] = {"ngram": 1, "form": ONE_STEP, "shown": True}
    has_effects = effects.filter(**where)["effect"].is_not_null().any()
    effects_chart = Chart(
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
    positions_chart = Chart(
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
    has_positions = positions.filter(model=model, ngram=1, scale="log10").height > 0
    return (*([effects_chart] if has_effects else []), *([positions_chart] if has_positions else []))


_DEVIATIONS: Final = (
    "P1 reports raw means; strata, log10(1 + count), ranks, intervals and the permutation test are ours.",
    "Strata of repetition are doublings (1, 2 to 3, 4 to 7 ...), those of kinds the pairs of kinds of the two tokens "
    "at the border; each stratum weighs as many rows as it has.",
    "Position is held fixed by design, as all rows of a cell have their border at one place; the same step at every "
    "other position stands beside.",
)


def compute(tables: Tables) -> Finding:
    """Boundary differences of memorized minus unmemorized rows near 32 + 32, with and without strata."""
    cell = nearest_cell(tables)
    if not tables.complete or cell is None:
        return ANALYSIS.without_scores(tables, _QUESTION)
    if "counts" not in tables.features:
        return ANALYSIS.without_features(tables, _QUESTION)
    counts = window_counts(tables, cell)
    rows = contrast_rows(tables, row_classes(tables, cell), counts)
    effects = stratified_effects(rows)
    model = _headline_model(tables, effects)
    if model is None:
        missing = "a model with both memorized and unmemorized training rows whose counts and M are known"
        remedy = "Score more rows, or other models: `mematlas score MODEL ... --depth graded --rows all`."
        return ANALYSIS.insufficient_data(tables, _QUESTION, missing, remedy)
    positions = position_contrasts(rows, counts)
    step = _step_records(effects, model, _finest_strata(effects, model))["log10"]
    has_interval = step["difference_lower"] is not None
    study_tables = (
        Table(
            "effects",
            "Memorized less unmemorized rows at the border, by strata",
            effects,
            EFFECT_COLUMNS,
            _RECIPES["effects"],
        ),
        Table("positions", "The same step at every position", positions, POSITION_COLUMNS, _RECIPES["positions"]),
    )
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(effects, model, cell),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=abs(step["difference"]) / standard_error(step["difference_lower"], step["difference_upper"])
        if has_interval
        else None,
        control=_control(positions, model),
        tables=tuple(table for table in study_tables if table.frame.height),
        charts=_charts(effects, positions, model),
        caveats=_caveats(tables, effects, model),
        deviations=_DEVIATIONS,
        headline=_headline(_finest_strata(effects, model), step),
        sentence=_sentence(step),
    )


ANALYSIS: Final = Analysis(
    "frequency_strata",
    "Boundary effect within strata",
    "P1, boundary effect; strata and tests are our choice",
    "row features (`mematlas features STUDY`); graded scores of all rows",
    compute,
)
