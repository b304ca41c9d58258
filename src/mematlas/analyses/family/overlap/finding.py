"""Which rows are memorized by which models of the family, and rows that a larger or later model forgot.

Source: our choice (the view of Lex et al. 2014, "UpSet"). P1 (c) and K1 report the rows that stay memorized between two
models; here every combination of models is counted, at the reference cell. A row is memorized where M = 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.family.overlap.memorizer_sets import memorizer_columns, overlap_sets
from mematlas.analyses.frames.memorized_shares import control_sentence, memorized_shares
from mematlas.analyses.frames.model_series import Series, model_series, series_caveats
from mematlas.analyses.frames.proportions import (
    SAMPLE_COLUMNS,
    format_interval,
    format_percent,
    format_share,
    shares_of_all,
    with_shares,
)
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import by_interval, format_count
from mematlas.findings.finding import Axis, Chart, Finding, Table
from mematlas.stats.estimates.intervals import standard_error

_EXAMPLE_ROWS: Final = 10  # row ids worth looking at
_MAX_BARS: Final = 24  # more bars would be unreadable
_COMBINATION_COLUMNS: Final = {
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
    **SAMPLE_COLUMNS,
    "charted": f"whether the chart shows it: the {_MAX_BARS} with most rows, without the rows that no member memorizes",
}
_SET_COLUMNS: Final = {
    "series": "what the models are ordered by",
    "set": "rows memorized by whom, and which rows the share is of",
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "rows": "rows of the set",
    "of": "rows the share is of",
    "share": "rows / of; null where there is nothing to count",
    "share_lower": "lower end of its Wilson 95 % interval",
    "share_upper": "upper end of its Wilson 95 % interval",
    **SAMPLE_COLUMNS,
}
_CELL_TYPES: Final = {"context": pl.Int32, "continuation": pl.Int32}
_COMBINATIONS_RECIPE: Final = """\
rows = recount.memorizers(study).with_columns(pl.col("models").list.join(", "))
counts = rows.group_by("series", "context", "continuation", "members", "models", "cluster").agg(rows=pl.len())
answer = recount.with_shares(recount.out_of_all(counts, "series"), "rows", "of")"""
_SETS_RECIPE: Final = """\
cells = recount.memorizers(study).group_by("series", "context", "continuation", "cluster")
counts = [cells.agg(*counted) for counted in recount.overlap_sets(){known}]
answer = recount.with_shares(pl.concat(counts), "rows", "of")"""


@dataclass(frozen=True, slots=True)
class _Overlap:
    """What the models of a series memorize; the other fields are numbers of rows.

    counts: as `memorized_by`; by_cluster: the same in each cluster, where rows come in clusters, else `counts`.

    scored: rows scored by all models, None where only recited rows are known; by_others: rows memorized by a model
    before the last; forgotten: those of them that the last model does not memorize.
    """

    series: Series
    counts: pl.DataFrame
    by_cluster: pl.DataFrame
    scored: int | None
    by_any: int
    by_all: int
    last_only: int
    by_others: int
    forgotten: int

    @property
    def last(self) -> str:
        return self.series.models[-1]


def memorized_by(tables: Tables, models: tuple[str, ...], cell: Cell) -> pl.DataFrame:
    """The number of training rows that each combination of models memorizes, in descending order.

    Only rows scored by all models count; where only recited rows are known, those that any of the models recites.

    Returns:
        one Boolean column per model, then rows.
    """
    wide = _recited_rows(tables, models, cell)
    return wide.group_by(*models).agg(pl.len().cast(pl.Int64).alias("rows")).sort("rows", *models, descending=True)


def _recited_rows(tables: Tables, models: tuple[str, ...], cell: Cell) -> pl.DataFrame:
    wide = tables.side_by_side(models, cell, "recited")
    return wide if tables.complete else wide.filter(pl.any_horizontal(models))


def _overlap(tables: Tables, series: Series) -> _Overlap:
    counts = memorized_by(tables, series.models, tables.reference)
    by_cluster = counts
    if tables.cluster_key:
        wide = tables.with_cluster(_recited_rows(tables, series.models, tables.reference))
        by_cluster = wide.group_by(*series.models, "cluster").agg(pl.len().cast(pl.Int64).alias("rows"))
    others, last = pl.any_horizontal(series.models[:-1]), pl.col(series.models[-1])
    sets = (others | last, pl.all_horizontal(series.models), last & ~others, others, others & ~last)
    sizes = counts.select(pl.col("rows").filter(in_set).sum().alias(str(i)) for i, in_set in enumerate(sets)).row(0)
    scored = int(counts["rows"].sum()) if tables.complete else None
    return _Overlap(series, counts, by_cluster, scored, *sizes)


def _combination_table(overlaps: list[_Overlap], cell: Cell) -> pl.DataFrame:
    frames = []
    for overlap in overlaps:
        members = list(overlap.series.models)
        labels = pl.DataFrame(
            _combination_records(overlap), schema_overrides=dict.fromkeys(members, pl.Boolean), infer_schema_length=None
        )
        keys = _keys(overlap, cell)
        unit = ["cluster"] if "cluster" in overlap.by_cluster.columns else []
        shares = shares_of_all(overlap.by_cluster.select(*members, *unit, "rows")).join(labels, on=members)
        frames.append(shares.sort("rank").select(*keys, *labels.columns, "^(rows|of|share.*|clusters|design_effect)$"))
    return pl.concat(frames, how="diagonal").select(*_COMBINATION_COLUMNS)


def _combination_records(overlap: _Overlap) -> list[dict[str, Any]]:
    """One record per combination: a Boolean per model, combination, members, models, charted, rank (order)."""
    records, rank = [], 0
    for order, (*recited, _) in enumerate(overlap.counts.iter_rows()):
        models = [model for model, hit in zip(overlap.series.models, recited, strict=True) if hit]
        rank += bool(models)
        combination = {"combination": _combination_name(overlap.series, models), "members": len(models), "rank": order}
        charted = {"models": ", ".join(models), "charted": "yes" if models and rank <= _MAX_BARS else "no"}
        records.append(dict(zip(overlap.series.models, recited, strict=True)) | combination | charted)
    return records


def _keys(overlap: _Overlap, cell: Cell) -> list[pl.Expr]:
    constants = {"series": overlap.series.name, "context": cell.context, "continuation": cell.continuation}
    return [pl.lit(value, _CELL_TYPES.get(name)).alias(name) for name, value in constants.items()]


def _combination_name(series: Series, models: list[str]) -> str:
    if len(models) == len(series.models):
        return f"all {len(models)}"
    return " + ".join(series.short_name(model) for model in models) or "none"


def _set_table(overlaps: list[_Overlap], cell: Cell) -> pl.DataFrame:
    frames = []
    for overlap in overlaps:
        memorizers = overlap.by_cluster.with_columns(*memorizer_columns(overlap.series))
        sets = overlap_sets(pl.col("rows")) if overlap.scored is not None else overlap_sets(pl.col("rows"))[1:]
        for aggregation in sets:
            is_clustered = "cluster" in memorizers.columns
            counts = (
                memorizers.group_by("cluster").agg(*aggregation) if is_clustered else memorizers.select(*aggregation)
            )
            frames.append(counts.select(*_keys(overlap, cell), pl.all()))
    return with_shares(pl.concat(frames, how="diagonal"), "rows", "of").select(*_SET_COLUMNS)


def _forgotten_rows(tables: Tables, overlaps: list[_Overlap]) -> dict[int, str]:
    """Rows that the last model forgot, with the reason: first those that most models recite, then by row id."""
    rows: dict[int, str] = {}
    for overlap in overlaps:
        *others, last = overlap.series.models
        wide = tables.side_by_side(overlap.series.models, tables.reference, "recited")
        forgotten = wide.filter(pl.any_horizontal(others), ~pl.col(last))
        most_recited = forgotten.sort(pl.sum_horizontal(others), "row", descending=[True, False])
        examples = tables.one_per_text(most_recited).head(_EXAMPLE_ROWS - len(rows))
        remaining = _remaining_matches(tables, last, examples["row"])
        for row, *recited in examples.select("row", *others).iter_rows():
            reciting = [model for model, hit in zip(others, recited, strict=True) if hit]
            names = ", ".join(_model_with_short_name(overlap.series, model) for model in reciting[:3])
            more = f" and {len(reciting) - 3} more" if len(reciting) > 3 else ""
            rows.setdefault(row, f"recited by {names}{more}, forgotten by {last}{remaining.get(row, '')}")
    return rows


def _model_with_short_name(series: Series, model: str) -> str:
    short = series.short_name(model)
    return model if short == model else f"{model} ({short})"


def _remaining_matches(tables: Tables, model: str, rows: pl.Series) -> dict[int, str]:
    """How many tokens of each row the model still recites, as text; {} where M is not graded."""
    if not tables.graded:
        return {}
    length = tables.reference.continuation
    matches = tables.side_by_side((model,), tables.reference).filter(pl.col("row").is_in(rows.implode()))
    return {row: f" (which gets {hits} of {length} tokens right)" for row, hits in matches.iter_rows()}


def _claim(tables: Tables, overlap: _Overlap, sets: pl.DataFrame) -> str:
    """sets: the records of this overlap."""
    by_all, _, forgotten = sets.tail(3).iter_rows(named=True)
    among = "" if overlap.scored is None else f" of {overlap.scored:,}"
    forgotten_clause = "no other member memorizes any"
    if overlap.by_others:
        forgotten_clause = (
            f"of the {overlap.by_others:,} row{'s' * (overlap.by_others != 1)} that another member memorizes, "
            f"{overlap.last} forgot {overlap.forgotten:,} ({_format_share(forgotten)})"
        )
    return (
        f"At {tables.reference} tokens the {len(overlap.series.models)} models ({overlap.series.name}) together "
        f"memorize {overlap.by_any:,}{among} rows, {overlap.by_all:,} of them ({_format_share(by_all)}) by every model "
        f"and {overlap.last_only:,} by {overlap.last} only; {forgotten_clause}."
    )


def _headline(overlap: _Overlap, forgotten: dict[str, Any]) -> str:
    """Whether the last model forgets most of what others memorize, by the interval of that share."""
    model = f"{overlap.series.last_qualifier} model"
    if not overlap.by_others:
        return f"No model but the {model} memorizes any row"
    return by_interval(
        forgotten["share_lower"],
        forgotten["share_upper"],
        f"The {model} forgets most rows that other models memorize",
        f"The {model} keeps most rows that other models memorize",
        f"Whether the {model} keeps most rows that others memorize is unclear",
        value=0.5,
    )


def _sentence(overlap: _Overlap, sets: pl.DataFrame) -> str:
    """The share of rows memorized by every model, and the number forgotten; sets: the records of this overlap."""
    count = len(overlap.series.models)
    models = "Both models" if count == 2 else f"All {count} models"
    start = f"{models} share {format_share(sets.row(-3, named=True), 'share')} of "
    start += format_count(overlap.by_any, "memorized row")
    if not overlap.by_others:
        return f"{start}."
    return f"{start}; {overlap.last} forgot {overlap.forgotten:,} of {overlap.by_others:,} that others memorize."


def _format_share(record: dict[str, Any]) -> str:
    return f"{format_percent(record['share'])}, {format_interval(record['share_lower'], record['share_upper'])}"


def _caveats(tables: Tables, overlaps: list[_Overlap], empty: list[_Overlap]) -> Iterator[str]:
    yield "Intervals take rows as independent; repeated rows and rows of one document are not quite."
    yield "One wrong token makes a memorized row a forgotten one: see how many tokens are right in the rows shown."
    if not tables.complete:
        yield (
            "Only recited rows are known: shares are of the rows that any model recites, not of all rows, and a model "
            "without a line for a row counts as not reciting it."
        )
    elif not tables.has_control:
        yield "The study has no control rows: a floor of lucky guesses is unknown."
    yield from series_caveats(overlap.series for overlap in overlaps)
    for overlap in empty:
        reason = "memorize no row" if overlap.scored else "have no scored row in common"
        yield f"Nothing is said of the models ({overlap.series.name}): they {reason}."
    for overlap in overlaps:
        max_scored = _max_scored(tables, overlap.series)
        if overlap.scored is not None and overlap.scored < max_scored:
            yield (
                f"The models ({overlap.series.name}) scored different rows: the {overlap.scored:,} rows of all count, "
                f"of up to {max_scored:,}."
            )


def _max_scored(tables: Tables, series: Series) -> int:
    cell = tables.reference
    counts = tables.counts().filter(context=cell.context, continuation=cell.continuation, role="train")
    return max(int(counts.filter(model=model)["rows"].sum()) for model in series.models)


def _charts(series: Series) -> tuple[Chart, ...]:
    combinations = Chart(
        f"combinations-{series.slug}",
        f"Rows by the models that memorize them, and no others ({series.name})",
        "bars",
        "combinations",
        Axis("combination", "models", "nominal"),
        Axis("rows", "rows with M = 1"),
        where={"series": series.name, "charted": "yes"},
    )
    shares = Chart(
        f"shares-{series.slug}",
        f"Rows memorized by all, by one and forgotten ({series.name})",
        "bars",
        "sets",
        Axis("set", "rows memorized by", "nominal"),
        Axis("share", "share of rows", share=True),
        lower="share_lower",
        upper="share_upper",
        where={"series": series.name},
    )
    return combinations, shares


def compute(tables: Tables) -> Finding:
    """Compute which models memorize the same rows at the reference cell; the claim is on the first series."""
    cell = tables.reference
    all_overlaps = [_overlap(tables, series) for series in model_series(tables, cell)]
    overlaps = [overlap for overlap in all_overlaps if overlap.by_any]
    if not overlaps:
        return _insufficient_data(tables, max((overlap.scored or 0 for overlap in all_overlaps), default=0))
    combinations, sets = _combination_table(overlaps, cell), _set_table(overlaps, cell)
    lead = overlaps[0]
    lead_sets = sets.filter(series=lead.series.name)
    forgotten = lead_sets.row(-1, named=True)
    recipe = _SETS_RECIPE.format(known="" if tables.complete else "[1:]")
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(tables, lead, lead_sets),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(forgotten),
        control=control_sentence(memorized_shares(tables), cell) if tables.complete else None,
        tables=(
            Table(
                "combinations", "Rows by who memorizes them", combinations, _COMBINATION_COLUMNS, _COMBINATIONS_RECIPE
            ),
            Table("sets", "Rows memorized by all, by one and forgotten", sets, _SET_COLUMNS, recipe),
        ),
        charts=tuple(chart for overlap in overlaps for chart in _charts(overlap.series)),
        caveats=tuple(_caveats(tables, overlaps, [overlap for overlap in all_overlaps if not overlap.by_any])),
        rows=_forgotten_rows(tables, overlaps),
        headline=_headline(lead, forgotten),
        sentence=_sentence(lead, lead_sets),
    )


def _strength(record: dict[str, Any]) -> float | None:
    if record["share"] is None:
        return None
    return float(record["share"]) / standard_error(record["share_lower"], record["share_upper"])


def _insufficient_data(tables: Tables, scored: int) -> Finding:
    cell = tables.reference
    if scored:
        missing = f"rows that any model memorizes, of {scored:,} scored at {cell} tokens"
        remedy = "Ask for a shorter continuation or a longer context: `mematlas score ... --continuation 16`."
    else:
        missing = f"two models of the family that scored the same training rows at {cell} tokens"
        remedy = "Score more models together: `mematlas score MODEL MODEL ... --corpus PATH --study FOLDER`."
    return ANALYSIS.insufficient_data(tables, "which models memorize the same rows", missing, remedy)


ANALYSIS = Analysis(
    "overlap",
    "Which models memorize which rows",
    "our choice, after UpSet (Lex et al. 2014)",
    "two models of the family that scored the same rows",
    compute,
)
