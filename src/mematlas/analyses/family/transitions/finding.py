"""How rows move between score levels from a smaller model to a larger one, and from a checkpoint to a later one.

Source: P1, Fig. 3: T[a, b] = P(level in the larger model = b | level in the smaller = a) on the same rows, for
410M -> 2.8B and 2.8B -> 12B. We take every two neighbours of a series, and its two ends, at the reference cell;
`transition_counts` computes any other pair and cell. Intervals and tests of symmetry are our addition.
"""

from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.family.transitions.growth import GROWTH_TREND, TENFOLD_TREND, growth_trends
from mematlas.analyses.family.transitions.level_transitions import (
    FLOW_COLUMNS,
    KEPT_COLUMNS,
    SYMMETRY_COLUMNS,
    TRANSITION_COLUMNS,
    Pair,
    flow_table,
    gained_share,
    kept_table,
    model_pairs,
    symmetry_table,
    transition_counts,
    transition_table,
)
from mematlas.analyses.frames.model_series import BY_SIZE, Series, series_caveats
from mematlas.analyses.frames.proportions import format_interval, format_percent, format_share
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import by_interval, format_count, verb
from mematlas.analyses.trend_tests import combined_verdict
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend
from mematlas.metrics.levels import LEVEL_RANGES, LEVELS, RECITED_LEVELS

__all__ = ["ANALYSIS", "compute", "transition_counts"]

_STAY_TREND: Final = "memorized-rows-stay-memorized"
_LEVELS_RECIPE: Final = """\
cells = recount.pairs(study, "model").group_by("level", *recount.PAIR_KEYS)
moves = [cells.agg(target=pl.lit(t), rows=(pl.col.level_2 == t).sum(), level_rows=pl.len()) for t in {names}]
answer = recount.with_shares(pl.concat(moves), "rows", "level_rows")"""
_COUNTS_RECIPE: Final = """\
pairs = recount.pairs(study, "model").rename({"model": "smaller", "model_2": "larger", "level_2": "target"})
counts = pairs.group_by("context", "continuation", "smaller", "larger", "level", "target").agg(rows=pl.len())
"""
_SYMMETRY_RECIPE: Final = (
    _COUNTS_RECIPE.replace('"target")', '"target", "cluster")') + "answer = recount.symmetry_tests(counts)"
)
_KEPT_RECIPE: Final = """\
cells = recount.pairs(study, "model").group_by(recount.PAIR_KEYS)
counts = cells.agg({rows}memorized=pl.sum("recited"), kept=pl.sum("both"), gained=pl.sum("gained"))
answer = recount.with_shares(counts, "kept", "memorized", "kept_share", sums=[{sums}"gained"])"""
_FLOW_RECIPE: Final = """\
pairs = recount.pairs(study, "model").join(recount.steps(study), on=["model", "model_2"])
steps = pairs{known}.with_columns(target=pl.when("next").then("level_2"))
answer = steps.group_by("series", "step", "level", "target", model="short").agg(rows=pl.len())"""
_RECITED_FILTER: Final = (
    '.filter(pl.col("next") | pl.col("recited"))'  # how many rows the last model does not recite is unknown
)
_DEVIATIONS: Final = (
    "P1 does not publish the edges of its levels; ours are [0, .2), [.2, .4), [.4, .6), [.6, .8), [.8, 1].",
    "P1 shows 410M -> 2.8B and 2.8B -> 12B; every two neighbours and the two ends of each series are shown here.",
    "P1's spans of growth, 70M -> 2.8B and 2.8B -> 12B, are 1.6 and 0.6 tenfolds of parameters, so that steady growth "
    "shows P1's trend too; growth per tenfold is a trend of our own.",
    "Intervals and tests of symmetry are our addition.",
)


def _stay_trend(kept: pl.DataFrame) -> Trend:
    """P1: more than 90 % stay memorized; tested for every two neighbouring sizes."""
    sizes = kept.filter(pl.col("memorized") > 0, series=BY_SIZE, span="neighbours")
    if not sizes.height:
        return Trend(_STAY_TREND, "cannot tell", "no two models of known size of which the smaller memorizes a row")
    test = "memorized rows that stay memorized: " + ". ".join(
        f"{_format_kept(record)} from {record['pair']}" for record in sizes.iter_rows(named=True)
    )
    test += ". Shown if all 95 % intervals are above 90 %, contradicted if one is below"
    verdicts = sizes.select(
        pl.when(pl.col("kept_share_lower") > 0.9)
        .then(pl.lit("shows"))
        .when(pl.col("kept_share_upper") < 0.9)
        .then(pl.lit("contradicts"))
        .otherwise(pl.lit("cannot tell"))
    )
    return Trend(_STAY_TREND, combined_verdict(verdicts.to_series().to_list()), test)


def _format_kept(record: dict[str, Any]) -> str:
    interval = format_interval(record["kept_share_lower"], record["kept_share_upper"])
    rows = f"{record['memorized']:,} row{'s' * (record['memorized'] != 1)}"
    return f"{format_percent(record['kept_share'])} ({interval}; {rows})"


def _claim(tables: Tables, kept: dict[str, Any], symmetry: dict[str, Any]) -> str:
    """kept, symmetry: the records of the pair that the claim reports."""
    stay = f"{kept['smaller']} memorizes no row that could stay memorized in {kept['larger']}"
    if kept["memorized"]:
        stay = f"{_format_kept(kept)} of the rows that {kept['smaller']} memorizes stay memorized in {kept['larger']}"
    test = f"symmetry is not tested: {symmetry['reason']}"
    if symmetry["p"] is not None:
        test = f"Bowker's test of symmetry: {_format_p(symmetry['p'])}"
    rise, fall = ("rise to a higher level", "fall") if tables.graded else ("become memorized", "cease to be")
    among = f" of {kept['rows']:,} rows" if kept["rows"] is not None else " rows"
    return (
        f"At {tables.reference} tokens {stay}, and between these two models {symmetry['rises']:,}{among} {rise} while "
        f"{symmetry['falls']:,} {fall} ({test})."
    )


def _headline(series: Series, kept: dict[str, Any]) -> str:
    """Whether memorized rows stay memorized, by the interval of their share."""
    model = f"the {series.last_qualifier} model"
    if not kept["memorized"]:
        return f"{kept['smaller']} memorizes no row that could stay memorized"
    lower, upper = kept["kept_share_lower"], kept["kept_share_upper"]
    most = by_interval(
        lower,
        upper,
        f"Most memorized rows stay memorized in {model}",
        f"Most memorized rows are no longer memorized in {model}",
        f"Whether most memorized rows stay memorized in {model} is unclear",
        value=0.5,
    )
    return by_interval(lower, upper, f"Nearly all memorized rows stay memorized in {model}", most, most, value=0.9)


def _sentence(tables: Tables, kept: dict[str, Any], symmetry: dict[str, Any]) -> str:
    """The share of memorized rows that stay so, and the numbers of rows that rise and fall."""
    rises, falls = symmetry["rises"], symmetry["falls"]
    moves = f"{format_count(rises)} {verb(rises, 'rise')} and {falls:,} {verb(falls, 'fall')}"
    if not tables.graded:
        moves = f"{rises:,} {verb(rises, 'become')} memorized and {falls:,} {verb(falls, 'cease')} to be"
    if not kept["memorized"]:
        return f"Between {kept['smaller']} and {kept['larger']}, {moves}."
    memorized = f"{format_count(kept['memorized'])} that {kept['smaller']} memorizes"
    return f"{kept['larger']} keeps {format_share(kept, 'kept_share')} of the {memorized}; {moves}."


def _format_p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _baseline(pair: Pair, cell: Cell) -> str | None:
    """The baseline of staying memorized: the share of the other rows that the second model memorizes, as a sentence."""
    record = gained_share(pair, cell)
    if record is None:
        return None
    others = record["others"]
    return (
        f"Of the {others:,} row{'s' * (others != 1)} that {pair.smaller} does not memorize, "
        f"{format_share(record, 'share')} are memorized by {pair.larger}."
    )


def _tables(tables: Tables, pairs: list[Pair], kept: pl.DataFrame, symmetry: pl.DataFrame) -> tuple[Table, ...]:
    transitions, recipe = transition_table(pairs, tables.reference), _recipes(tables)
    return (
        Table("transitions", "Rows by level in two models", transitions, TRANSITION_COLUMNS, recipe["transitions"]),
        Table("kept", "Memorized rows that stay memorized", kept, KEPT_COLUMNS, recipe["kept"]),
        Table("symmetry", "Whether rows rise as often as they fall", symmetry, SYMMETRY_COLUMNS, _SYMMETRY_RECIPE),
        Table("flow", "Rows from level to level", flow_table(pairs), FLOW_COLUMNS, recipe["flow"]),
    )


def _recipes(tables: Tables) -> dict[str, str]:
    names = "recount.LEVELS" if tables.graded else list(RECITED_LEVELS)
    complete = tables.complete
    return {
        "transitions": _LEVELS_RECIPE.format(names=names) if complete else _COUNTS_RECIPE + "answer = counts",
        "kept": _KEPT_RECIPE.format(rows="rows=pl.len(), " if complete else "", sums='"rows", ' if complete else ""),
        "flow": _FLOW_RECIPE.format(known="" if complete else _RECITED_FILTER),
    }


def _all_charts(tables: Tables, pairs: list[Pair]) -> tuple[Chart, ...]:
    with_flow = {pair.series for pair in pairs if pair.span == "neighbours"}
    ranges = f"; {LEVELS[0]}: {LEVEL_RANGES[0]} ... {LEVELS[-1]}: {LEVEL_RANGES[-1]}" if tables.graded else ""
    all_series = dict.fromkeys(pair.series for pair in pairs)
    return tuple(chart for series in all_series for chart in _charts(series, ranges, series in with_flow))


def _charts(series: Series, ranges: str, has_flow: bool) -> tuple[Chart, ...]:
    """The charts of one series."""
    name = series.name
    first, second = ("earlier", "later") if series.ordered_by_step else ("smaller", "larger")
    matrix = Chart(
        f"transitions-{series.slug}",
        f"Rows by level in the {first} and in the {second} model ({name}{ranges})",
        "matrix",
        "transitions",
        Axis("target", f"level of M in the {second} model", "ordinal"),
        Axis("level", f"level of M in the {first} model", "ordinal"),
        Axis("share", f"rows of the level in the {first} model", share=True),
        "share_lower",
        "share_upper",
        facet="pair",
        where={"series": name},
        count="level_rows",
    )
    flow = Chart(
        f"flow-{series.slug}",
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
    if tables.clusters is None:
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
    yield from _uncommon_row_caveats(tables, pairs)


def _uncommon_row_caveats(tables: Tables, pairs: list[Pair]) -> Iterator[str]:
    """Pairs whose models scored different rows."""
    cell = tables.reference
    counts = tables.counts().filter(context=cell.context, continuation=cell.continuation, role="train")
    if tables.graded:
        counts = counts.filter(pl.col("matches").is_not_null())
    scored = dict(counts.group_by("model").agg(pl.col("rows").sum()).iter_rows())
    for pair in pairs:
        max_scored = max(scored.get(pair.smaller, 0), scored.get(pair.larger, 0))
        rows = pair.numbers["rows"].sum()
        if tables.complete and rows < max_scored:
            yield f"{pair.smaller} and {pair.larger} scored different rows: the {rows:,} rows of both count."


def compute(tables: Tables) -> Finding:
    """Compute how rows change their level along the family, at the reference cell.

    The claim is on the two ends of the first series.
    """
    cell, pairs = tables.reference, model_pairs(tables)
    if not pairs:
        missing = f"two models of the family that scored the same training rows at {cell} tokens"
        remedy = "Score more models together: `mematlas score MODEL MODEL ... --corpus PATH --study FOLDER`."
        return ANALYSIS.insufficient_data(tables, "how rows move between score levels", missing, remedy)
    kept, symmetry = kept_table(pairs, cell), symmetry_table(pairs, cell)
    ends = [number for number, pair in enumerate(pairs) if pair.series == pairs[0].series][-1]
    lead, lead_test = kept.row(ends, named=True), symmetry.row(2 * ends, named=True)
    changed = lead_test["rises"] + lead_test["falls"]
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(tables, lead, lead_test),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=abs(lead_test["rises"] - lead_test["falls"]) / changed**0.5 if changed else None,
        control=_baseline(pairs[ends], cell),
        tables=_tables(tables, pairs, kept, symmetry),
        charts=_all_charts(tables, pairs),
        trends=(_stay_trend(kept), *growth_trends(tables)),
        caveats=tuple(_caveats(tables, pairs, symmetry)),
        deviations=_DEVIATIONS,
        headline=_headline(pairs[ends].series, lead),
        sentence=_sentence(tables, lead, lead_test),
    )


ANALYSIS = Analysis(
    "transitions",
    "Transitions between score levels",
    "P1, Figure 3",
    "two models of the family that scored the same rows",
    compute,
    (_STAY_TREND, GROWTH_TREND, TENFOLD_TREND),
)
