"""How rows move between score levels from a smaller model to a larger one, and from a checkpoint to a later one.

Source: P1, Fig. 3: T[a, b] = P(level in the larger model = b | level in the smaller = a) on the same rows, for
410M -> 2.8B and 2.8B -> 12B. Ours takes every two neighbours of a series, and its two ends, at the reference cell;
`transition_counts` gives any other pair and cell. Intervals and tests of symmetry are our addition.
"""

from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.family.transitions.growth import TREND as GROWTH
from mematlas.analyses.family.transitions.growth import growth_trend
from mematlas.analyses.family.transitions.level_moves import (
    FLOW,
    KEPT,
    SYMMETRY,
    TRANSITIONS,
    Pair,
    flow_frame,
    kept_frame,
    pairs_of,
    symmetry_frame,
    transition_counts,
    transitions_frame,
)
from mematlas.analyses.frames.levels import LEVEL_RANGES, LEVELS, RECITED_LEVELS
from mematlas.analyses.frames.model_series import BY_SIZE, Series, series_caveats
from mematlas.analyses.frames.proportions import between, percent
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.trend_tests import of_all
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend
from mematlas.stats.estimates.intervals import wilson

__all__ = ["ANALYSIS", "answer", "transition_counts"]

_STAY: Final = "memorized-rows-stay-memorized"
_LEVELS_RECIPE: Final = """\
cells = recount.pairs(study, "model").group_by("context", "continuation", "level", smaller="model", larger="model_2")
moves = [cells.agg(target=pl.lit(t), rows=(pl.col.level_2 == t).sum(), level_rows=pl.len()) for t in {names}]
answer = recount.with_shares(pl.concat(moves), "rows", "level_rows")"""
_COUNTS_RECIPE: Final = """\
pairs = recount.pairs(study, "model").rename({"model": "smaller", "model_2": "larger", "level_2": "target"})
counts = pairs.group_by("context", "continuation", "smaller", "larger", "level", "target").agg(rows=pl.len())
"""
_SYMMETRY_RECIPE: Final = f"{_COUNTS_RECIPE}answer = recount.symmetry_tests(counts)"
_KEPT_RECIPE: Final = """\
cells = recount.pairs(study, "model").group_by("context", "continuation", smaller="model", larger="model_2")
counts = cells.agg({rows}memorized=pl.sum("recited"), kept=pl.sum("both"), gained=pl.sum("gained"))
answer = recount.with_shares(counts, "kept", "memorized", "kept_share")"""
_FLOW_RECIPE: Final = """\
pairs = recount.pairs(study, "model").join(recount.steps(study), on=["model", "model_2"])
steps = pairs{known}.with_columns(target=pl.when("next").then("level_2"))
answer = steps.group_by("series", "step", "level", "target", model="short").agg(rows=pl.len())"""
_RECITED: Final = (
    '.filter(pl.col("next") | pl.col("recited"))'  # how many rows the last model does not recite is unknown
)
_DEVIATIONS: Final = (
    "P1 does not publish the edges of its levels; ours are [0, .2), [.2, .4), [.4, .6), [.6, .8), [.8, 1].",
    "P1 shows 410M -> 2.8B and 2.8B -> 12B; every two neighbours and the two ends of each series are shown here.",
    "P1's spans of growth, 70M -> 2.8B and 2.8B -> 12B, are 1.6 and 0.6 tenfolds of parameters; growth is compared "
    "here per tenfold, so that a family that grows steadily shows no difference.",
    "Intervals and tests of symmetry are our addition.",
)


def _stay_trend(kept: pl.DataFrame) -> Trend:
    """P1: more than 90 % stay memorized; every two neighbouring sizes are put to the test."""
    sizes = kept.filter(pl.col("memorized") > 0, series=BY_SIZE, span="neighbours")
    if not sizes.height:
        return Trend(_STAY, "cannot tell", "no two models of known size of which the smaller memorizes a row")
    test = "memorized rows that stay memorized: " + "; ".join(
        f"{_kept_words(line)} from {line['pair']}" for line in sizes.iter_rows(named=True)
    )
    test += "; shown if all 95 % intervals are above 90 %, contradicted if one is below"
    verdicts = sizes.select(
        pl.when(pl.col("kept_share_lower") > 0.9)
        .then(pl.lit("shows"))
        .when(pl.col("kept_share_upper") < 0.9)
        .then(pl.lit("contradicts"))
        .otherwise(pl.lit("cannot tell"))
    )
    return Trend(_STAY, of_all(verdicts.to_series().to_list()), test)


def _kept_words(line: dict[str, Any]) -> str:
    interval = between(line["kept_share_lower"], line["kept_share_upper"])
    return f"{percent(line['kept_share'])} ({interval}; {line['memorized']:,} row{'s' * (line['memorized'] != 1)})"


def _claim(tables: Tables, kept: dict[str, Any], moves: dict[str, Any]) -> str:
    """kept, moves: the lines of the pair that the claim speaks of."""
    stay = f"{kept['smaller']} memorizes no row that could stay memorized in {kept['larger']}"
    if kept["memorized"]:
        stay = f"{_kept_words(kept)} of the rows that {kept['smaller']} memorizes stay memorized in {kept['larger']}"
    test = f"symmetry is not tested: {moves['reason']}"
    if moves["p"] is not None:
        test = f"Bowker's test of symmetry: {_p_words(moves['p'])}"
    rise, fall = ("rise to a higher level", "fall") if tables.graded else ("become memorized", "cease to be")
    among = f" of {kept['rows']:,} rows" if kept["rows"] is not None else " rows"
    return (
        f"At {tables.reference} tokens {stay}, and between these two models {moves['rises']:,}{among} {rise} while "
        f"{moves['falls']:,} {fall} ({test})."
    )


def _p_words(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _baseline(line: dict[str, Any]) -> str | None:
    """What staying memorized stands beside: the share of the other rows that the second model memorizes."""
    others = (line["rows"] or 0) - line["memorized"]
    if others <= 0:
        return None
    share = wilson(line["gained"], others)
    return (
        f"Of the {others:,} row{'s' * (others != 1)} that {line['smaller']} does not memorize, "
        f"{percent(share.estimate)} ({between(share.lower, share.upper)}) are memorized by {line['larger']}."
    )


def _tables(tables: Tables, pairs: list[Pair], kept: pl.DataFrame, symmetry: pl.DataFrame) -> tuple[Table, ...]:
    moves, recipe = transitions_frame(pairs, tables.reference), _recipes(tables)
    return (
        Table("transitions", "Rows by level in two models", moves, TRANSITIONS, recipe["transitions"]),
        Table("kept", "Memorized rows that stay memorized", kept, KEPT, recipe["kept"]),
        Table("symmetry", "Whether rows rise as often as they fall", symmetry, SYMMETRY, _SYMMETRY_RECIPE),
        Table("flow", "Rows from level to level", flow_frame(pairs), FLOW, recipe["flow"]),
    )


def _recipes(tables: Tables) -> dict[str, str]:
    names = "recount.LEVELS" if tables.graded else list(RECITED_LEVELS)
    complete = tables.complete
    return {
        "transitions": _LEVELS_RECIPE.format(names=names) if complete else _COUNTS_RECIPE + "answer = counts",
        "kept": _KEPT_RECIPE.format(rows="rows=pl.len(), " if complete else ""),
        "flow": _FLOW_RECIPE.format(known="" if complete else _RECITED),
    }


def _all_charts(tables: Tables, pairs: list[Pair]) -> tuple[Chart, ...]:
    flowing = {pair.series for pair in pairs if pair.span == "neighbours"}
    ranges = f"; {LEVELS[0]}: {LEVEL_RANGES[0]} ... {LEVELS[-1]}: {LEVEL_RANGES[-1]}" if tables.graded else ""
    found = dict.fromkeys(pair.series for pair in pairs)
    return tuple(chart for one in found for chart in _charts(one, ranges, one in flowing))


def _charts(one: Series, ranges: str, has_flow: bool) -> tuple[Chart, ...]:
    """The pictures of one series."""
    name = one.name
    first, second = ("earlier", "later") if one.by_step else ("smaller", "larger")
    matrix = Chart(
        f"transitions-{one.slug}",
        f"Rows of a level in the {first} model by their level in the {second} one ({name}{ranges})",
        "matrix",
        "transitions",
        Axis("target", f"level of M in the {second} model", "ordinal"),
        Axis("level", f"level of M in the {first} model", "ordinal"),
        Axis("share", f"rows of the level in the {first} model", share=True),
        "share_lower",
        "share_upper",
        facet="pair",
        where={"series": name},
    )
    flow = Chart(
        f"flow-{one.slug}",
        f"Rows from level to level ({name}{ranges})",
        "flow",
        "flow",
        Axis("model", "model", "ordinal"),
        Axis("rows", "rows"),
        Axis("level", "level of M", "ordinal"),
        target="target",
        where={"series": name},
    )
    return (matrix, flow) if has_flow else (matrix,)


def _caveats(tables: Tables, pairs: list[Pair], symmetry: pl.DataFrame) -> Iterator[str]:
    yield "Intervals and tests take rows as independent; repeated rows and rows of one document are not quite."
    if not tables.has_control:
        yield "The study has no control rows: a floor of lucky guesses is unknown."
    if not tables.complete:
        yield "Only recited rows are known: no line means M < 1, and rows that no model recites are not spoken of."
    elif not tables.graded:
        yield "M was not graded: rows are told apart by M = 1 only, not by the five levels."
    yield from series_caveats(dict.fromkeys(pair.series for pair in pairs))
    if symmetry["sparse"].any():
        yield "Where a test is marked sparse, few rows move and p is rough; it then errs towards symmetry."
    yield from _uncommon(tables, pairs)


def _uncommon(tables: Tables, pairs: list[Pair]) -> Iterator[str]:
    """Pairs whose models scored different rows."""
    cell = tables.reference
    here = tables.counts().filter(context=cell.context, continuation=cell.continuation, role="train")
    if tables.graded:
        here = here.filter(pl.col("matches").is_not_null())
    scored = dict(here.group_by("model").agg(pl.col("rows").sum()).iter_rows())
    for pair in pairs:
        most = max(scored.get(pair.smaller, 0), scored.get(pair.larger, 0))
        if pair.rows is not None and pair.rows < most:
            yield f"{pair.smaller} and {pair.larger} scored different rows: the {pair.rows:,} rows of both count."


def answer(tables: Tables) -> Finding:
    """How rows change their level along the family, at the reference cell; the claim is on the ends of the first
    series."""
    cell, pairs = tables.reference, pairs_of(tables)
    if not pairs:
        what = f"two models of the family that scored the same training rows at {cell} tokens"
        remedy = "Score more models together: `mematlas score MODEL MODEL ... --corpus PATH --study FOLDER`."
        return ANALYSIS.lacking(tables, "how rows move between score levels", what, remedy)
    kept, symmetry = kept_frame(pairs, cell), symmetry_frame(pairs, cell)
    first = [at for at, pair in enumerate(pairs) if pair.series == pairs[0].series][-1]
    lead, moves = kept.row(first, named=True), symmetry.row(2 * first, named=True)
    moved = moves["rises"] + moves["falls"]
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(tables, lead, moves),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=abs(moves["rises"] - moves["falls"]) / moved**0.5 if moved else None,
        control=_baseline(lead),
        tables=_tables(tables, pairs, kept, symmetry),
        charts=_all_charts(tables, pairs),
        trends=(_stay_trend(kept), growth_trend(tables)),
        caveats=tuple(_caveats(tables, pairs, symmetry)),
        deviations=_DEVIATIONS,
    )


ANALYSIS = Analysis(
    "transitions",
    "Transitions between score levels",
    "P1, Figure 3",
    "two models of the family that scored the same rows",
    answer,
    (_STAY, GROWTH),
)
