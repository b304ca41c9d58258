"""Which rows are memorized by which members of the family, and rows that a larger or later model forgot.

Source: our choice (the view of Lex et al. 2014, "UpSet"). P1 (c) and K1 speak of the rows that stay memorized between
two models; here every combination of members is counted, at the reference cell. A row is memorized where M = 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.family.overlap.memorizer_sets import of_members, overlap_sets
from mematlas.analyses.frames.memorized_shares import beside_control, memorized_shares
from mematlas.analyses.frames.model_series import Series, series, series_caveats
from mematlas.analyses.frames.proportions import between, percent, with_shares
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.findings.finding import Axis, Chart, Finding, Table
from mematlas.stats.estimates.intervals import standard_error

_SHOWN: Final = 10  # row ids worth looking at
_CHARTED: Final = 24  # bars that still can be read
_COMBINATIONS: Final = {
    "series": "what the models are ordered by",
    "combination": "the members that memorize the rows, and no others, in short",
    "members": "how many these are",
    "models": "their labels; empty for none",
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "rows": "rows memorized by exactly these members",
    "of": "rows scored by all members; where only recited rows are known, rows that any member memorizes",
    "share": "rows / of",
    "share_lower": "lower end of its Wilson 95 % interval",
    "share_upper": "upper end of its Wilson 95 % interval",
    "charted": f"whether the chart shows it: the {_CHARTED} with most rows, without the rows that no member memorizes",
}
_SETS: Final = {
    "series": "what the models are ordered by",
    "set": "rows memorized by whom, and which rows the share is of",
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "rows": "rows of the set",
    "of": "rows the share is of",
    "share": "rows / of; null where there is nothing to count",
    "share_lower": "lower end of its Wilson 95 % interval",
    "share_upper": "upper end of its Wilson 95 % interval",
}
_CELL: Final = {"context": pl.Int32, "continuation": pl.Int32}
_COMBINATIONS_RECIPE: Final = """\
rows = recount.memorizers(study).with_columns(pl.col("models").list.join(", "))
counts = rows.group_by("series", "context", "continuation", "members", "models").agg(rows=pl.len())
answer = recount.with_shares(counts.with_columns(of=pl.sum("rows").over("series")), "rows", "of")"""
_SETS_RECIPE: Final = """\
cells = recount.memorizers(study).group_by("series", "context", "continuation")
counts = [cells.agg(*counted) for counted in recount.overlap_sets(){known}]
answer = recount.with_shares(pl.concat(counts), "rows", "of")"""


@dataclass(frozen=True, slots=True)
class _Overlap:
    """What a series' members memorize; counts: as `memorized_by`; the others are numbers of rows.

    scored: rows scored by all members, None where only recited rows are known; by_others: memorized by a member before
    the last; forgotten: of these, not memorized by the last.
    """

    series: Series
    counts: pl.DataFrame
    scored: int | None
    by_any: int
    by_all: int
    last_only: int
    by_others: int
    forgotten: int

    @property
    def last(self) -> str:
        return self.series.members[-1]


def memorized_by(tables: Tables, models: tuple[str, ...], cell: Cell) -> pl.DataFrame:
    """How many training rows each combination of models memorizes: one Boolean column a model, then rows, the
    combination with most rows first.

    Only rows scored by all models count; where only recited rows are known, those that any of the models recites.
    """
    wide = tables.side_by_side(models, cell, "recited")
    if not tables.complete:
        wide = wide.filter(pl.any_horizontal(models))
    return wide.group_by(*models).agg(pl.len().cast(pl.Int64).alias("rows")).sort("rows", *models, descending=True)


def _overlap(tables: Tables, one: Series) -> _Overlap:
    counts = memorized_by(tables, one.members, tables.reference)
    others, last = pl.any_horizontal(one.members[:-1]), pl.col(one.members[-1])
    sets = (others | last, pl.all_horizontal(one.members), last & ~others, others, others & ~last)
    found = counts.select(pl.col("rows").filter(rows).sum().alias(str(at)) for at, rows in enumerate(sets)).row(0)
    return _Overlap(one, counts, int(counts["rows"].sum()) if tables.complete else None, *found)


def _combinations(found: list[_Overlap], cell: Cell) -> pl.DataFrame:
    lines = []
    for overlap in found:
        place = {"series": overlap.series.name, "context": cell.context, "continuation": cell.continuation}
        charted = 0
        for *recited, rows in overlap.counts.iter_rows():
            models = [model for model, hit in zip(overlap.series.members, recited, strict=True) if hit]
            charted += bool(models)
            line = {"combination": _combination(overlap.series, models), "members": len(models)}
            base = overlap.by_any if overlap.scored is None else overlap.scored
            shown = "yes" if models and charted <= _CHARTED else "no"
            lines.append(place | line | {"models": ", ".join(models), "rows": rows, "of": base, "charted": shown})
    return with_shares(pl.DataFrame(lines, schema_overrides=_CELL), "rows", "of").select(*_COMBINATIONS)


def _combination(one: Series, models: list[str]) -> str:
    if len(models) == len(one.members):
        return f"all {len(models)}"
    return " + ".join(one.short_name(model) for model in models) or "none"


def _sets(found: list[_Overlap], cell: Cell) -> pl.DataFrame:
    frames = []
    for overlap in found:
        place = {"series": overlap.series.name, "context": cell.context, "continuation": cell.continuation}
        keys = [pl.lit(value, _CELL.get(name)).alias(name) for name, value in place.items()]
        members = overlap.counts.with_columns(*of_members(overlap.series))
        sets = overlap_sets(pl.col("rows")) if overlap.scored is not None else overlap_sets(pl.col("rows"))[1:]
        frames += [members.select(*counted).select(*keys, pl.all()) for counted in sets]
    return with_shares(pl.concat(frames), "rows", "of").select(*_SETS)


def _forgotten_rows(tables: Tables, found: list[_Overlap]) -> dict[int, str]:
    """Rows that the last member forgot, with a word why: those first that most members recite, then by row id."""
    rows: dict[int, str] = {}
    for overlap in found:
        *others, last = overlap.series.members
        wide = tables.side_by_side(overlap.series.members, tables.reference, "recited")
        forgot = wide.filter(pl.any_horizontal(others), ~pl.col(last))
        chosen = forgot.sort(pl.sum_horizontal(others), "row", descending=[True, False]).head(_SHOWN - len(rows))
        near = _near(tables, last, chosen["row"])
        for row, *recited in chosen.select("row", *others).iter_rows():
            by = [_named(overlap.series, model) for model, hit in zip(others, recited, strict=True) if hit]
            more = f" and {len(by) - 3} more" if len(by) > 3 else ""
            rows.setdefault(row, f"recited by {', '.join(by[:3])}{more}, forgotten by {last}{near.get(row, '')}")
    return rows


def _named(one: Series, model: str) -> str:
    short = one.short_name(model)
    return model if short == model else f"{model} ({short})"


def _near(tables: Tables, model: str, rows: pl.Series) -> dict[int, str]:
    """How much of each row the model still recites, in words, where M is graded."""
    if not tables.graded:
        return {}
    length = tables.reference.continuation
    matches = tables.side_by_side((model,), tables.reference).filter(pl.col("row").is_in(rows.implode()))
    return {row: f" (which gets {hits} of {length} tokens right)" for row, hits in matches.iter_rows()}


def _claim(tables: Tables, overlap: _Overlap, sets: pl.DataFrame) -> str:
    """sets: the lines of this overlap."""
    by_all, _, forgotten = sets.tail(3).iter_rows(named=True)
    among = "" if overlap.scored is None else f" of {overlap.scored:,}"
    forgot = "no other member memorizes any"
    if overlap.by_others:
        forgot = (
            f"of the {overlap.by_others:,} row{'s' * (overlap.by_others != 1)} that another member memorizes, "
            f"{overlap.last} forgot {overlap.forgotten:,} ({_share(forgotten)})"
        )
    return (
        f"At {tables.reference} tokens the {len(overlap.series.members)} models ({overlap.series.name}) together "
        f"memorize {overlap.by_any:,}{among} rows, {overlap.by_all:,} of them ({_share(by_all)}) by every model and "
        f"{overlap.last_only:,} by {overlap.last} only; {forgot}."
    )


def _share(line: dict[str, Any]) -> str:
    return f"{percent(line['share'])}, {between(line['share_lower'], line['share_upper'])}"


def _caveats(tables: Tables, found: list[_Overlap], zero: list[_Overlap]) -> Iterator[str]:
    yield "Intervals take rows as independent; repeated rows and rows of one document are not quite."
    yield "One wrong token makes a memorized row a forgotten one: see how many tokens are right in the rows shown."
    if not tables.complete:
        yield (
            "Only recited rows are known: shares are of the rows that any model recites, not of all rows, and a model "
            "without a line for a row counts as not reciting it."
        )
    elif not tables.has_control:
        yield "The study has no control rows: a floor of lucky guesses is unknown."
    yield from series_caveats(overlap.series for overlap in found)
    for overlap in zero:
        what = "memorize no row" if overlap.scored else "have no scored row in common"
        yield f"Nothing is said of the models ({overlap.series.name}): they {what}."
    for overlap in found:
        most = _most_scored(tables, overlap.series)
        if overlap.scored is not None and overlap.scored < most:
            yield (
                f"The models ({overlap.series.name}) scored different rows: the {overlap.scored:,} rows of all count, "
                f"of up to {most:,}."
            )


def _most_scored(tables: Tables, one: Series) -> int:
    cell = tables.reference
    here = tables.counts().filter(context=cell.context, continuation=cell.continuation, role="train")
    return max(int(here.filter(model=model)["rows"].sum()) for model in one.members)


def _charts(one: Series) -> tuple[Chart, ...]:
    combinations = Chart(
        f"combinations-{one.slug}",
        f"Rows by the models that memorize them, and no others ({one.name})",
        "bars",
        "combinations",
        Axis("combination", "models", "nominal"),
        Axis("rows", "rows with M = 1"),
        where={"series": one.name, "charted": "yes"},
    )
    shares = Chart(
        f"shares-{one.slug}",
        f"Rows memorized by all, by one and forgotten ({one.name})",
        "bars",
        "sets",
        Axis("set", "rows memorized by", "nominal"),
        Axis("share", "share of rows", share=True),
        lower="share_lower",
        upper="share_upper",
        where={"series": one.name},
    )
    return combinations, shares


def answer(tables: Tables) -> Finding:
    """Which models memorize the same rows, at the reference cell; the claim is on the first series."""
    cell = tables.reference
    overlaps = [_overlap(tables, one) for one in series(tables, cell)]
    found = [overlap for overlap in overlaps if overlap.by_any]
    if not found:
        return _lacking(tables, max((overlap.scored or 0 for overlap in overlaps), default=0))
    combinations, sets = _combinations(found, cell), _sets(found, cell)
    lead = found[0]
    of_lead = sets.filter(series=lead.series.name)
    forgotten = of_lead.row(-1, named=True)
    recipe = _SETS_RECIPE.format(known="" if tables.complete else "[1:]")
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(tables, lead, of_lead),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(forgotten),
        control=beside_control(memorized_shares(tables), cell) if tables.complete else None,
        tables=(
            Table("combinations", "Rows by who memorizes them", combinations, _COMBINATIONS, _COMBINATIONS_RECIPE),
            Table("sets", "Rows memorized by all, by one and forgotten", sets, _SETS, recipe),
        ),
        charts=tuple(chart for overlap in found for chart in _charts(overlap.series)),
        caveats=tuple(_caveats(tables, found, [overlap for overlap in overlaps if not overlap.by_any])),
        rows=_forgotten_rows(tables, found),
    )


def _strength(line: dict[str, Any]) -> float | None:
    if line["share"] is None:
        return None
    return float(line["share"]) / standard_error(line["share_lower"], line["share_upper"])


def _lacking(tables: Tables, scored: int) -> Finding:
    cell = tables.reference
    if scored:
        what = f"rows that any model memorizes, of {scored:,} scored at {cell} tokens"
        remedy = "Ask for a shorter continuation or a longer context: `mematlas score ... --continuation 16`."
    else:
        what = f"two models of the family that scored the same training rows at {cell} tokens"
        remedy = "Score more models together: `mematlas score MODEL MODEL ... --corpus PATH --study FOLDER`."
    return ANALYSIS.lacking(tables, "which models memorize the same rows", what, remedy)


ANALYSIS = Analysis(
    "overlap",
    "Which models memorize which rows",
    "our choice, after UpSet (Lex et al. 2014)",
    "two models of the family that scored the same rows",
    answer,
)
