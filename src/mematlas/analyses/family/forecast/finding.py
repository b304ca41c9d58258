"""Whether a smaller model, or an earlier checkpoint, forecasts which rows a later one memorizes.

Source: K1. Label of a row: M = 1 at the reference cell. precision = P(later memorizes | earlier memorizes), recall =
P(earlier memorizes | later memorizes). A model is forecast by all smaller models of the family (at their latest
checkpoint) and by all its own earlier checkpoints. Compute is relative to the model forecast: parameters times training
step where both models have one, else parameters (our choice, after the rule 6 N D).
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.analyses.base import MORE_RECITED_ROWS, Analysis
from mematlas.analyses.family.forecast.clustering import (
    QUANTILE_COLUMNS,
    SPREAD_COLUMNS,
    clustering,
    clustering_recipe,
    max_repetitions,
)
from mematlas.analyses.family.forecast.forecasts import FORECAST_COLUMNS, Labels, forecast_table, training_labels
from mematlas.analyses.frames.proportions import format_interval, format_percent, format_share
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import by_interval, format_count
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend
from mematlas.stats.classification.forecasting import correlations
from mematlas.stats.estimates.intervals import standard_error

_CORRELATION_COLUMNS: Final = {
    "model": "label of a model",
    "other": "label of another, before it in the family",
    "rows": "rows scored by all models; null where only recited rows are known",
    "pearson": "Pearson's correlation of M over rows; null where M was not graded or does not vary",
    "phi": "the same of M = 1 (0 or 1); null where only recited rows are known",
}
_FORECASTS_RECIPE: Final = """\
cells = recount.pairs(study, "model"{common}).group_by("compute", "cluster", earlier="model", later="model_2")
answer = recount.with_forecasts(cells.agg({rows}memorized_earlier=pl.sum("recited"),
    memorized_later=pl.sum("recited_2"), memorized_both=pl.sum("both")))"""
_CORRELATIONS_RECIPE: Final = """\
cells = recount.pairs(study, "model", common=True).group_by("model", other="model_2")
phi = pl.corr(pl.col("recited").cast(int), pl.col("recited_2").cast(int)).fill_nan(None)
answer = cells.agg(rows=pl.len(), {pearson}phi=phi)"""
_PEARSON: Final = 'pearson=pl.corr("matches", "matches_2").fill_nan(None), '
_DEVIATIONS: Final = (
    "K1 counts for a checkpoint only the rows it had seen by then; here all rows count, so a row that an early "
    "checkpoint had not yet seen lowers its recall.",
    "K1 gives no intervals: precision and recall have Wilson intervals, F1 one from the overlap of both sets (ours).",
    "Compute is parameters times training step (6 N D with as many tokens a step in every model), else parameters.",
    "The spread through training order is tested against rows scattered by chance, of which the Poisson process of K1 "
    "is the limit for rare rows.",
)


def _correlations(tables: Tables, labels: Labels) -> pl.DataFrame:
    phi = correlations(labels.recited.astype(np.float64)) if tables.complete else None
    pearson = correlations(labels.values) if tables.graded else None
    records = [
        (
            labels.models[i],
            labels.models[j],
            len(labels.rows) if tables.complete else None,
            None if pearson is None else float(pearson[i, j]),
            None if phi is None else float(phi[i, j]),
        )
        for i in range(len(labels.models))
        for j in range(i)
    ]
    schema = dict(zip(_CORRELATION_COLUMNS, (pl.String, pl.String, pl.Int64, pl.Float64, pl.Float64), strict=True))
    return pl.DataFrame(records, schema=schema, orient="row").with_columns(pl.col("pearson", "phi").fill_nan(None))


# --------------------------------------------------------------------------------------------------------- the trends


def _small_models_trend(smaller: pl.DataFrame) -> Trend:
    """Test whether the precision of the smallest model's forecast of the largest exceeds its recall and the base rate.

    It exceeds recall whenever the smaller model memorizes fewer rows, whichever they are; only the comparison with the
    base rate shows that they are the same rows. One half replaces an unknown base rate (our choice).
    """
    name = ANALYSIS.trends[0]
    if not smaller.height:
        return Trend(name, "cannot tell", "the study lacks two models of different size")
    forecast = smaller.row(0, named=True)
    if forecast["precision"] is None or forecast["recall"] is None:
        return Trend(name, "cannot tell", f"{forecast['earlier']} or {forecast['later']} memorizes no row")
    if None in (forecast["precision_lower"], forecast["recall_lower"]):
        reason = f"the rows that {forecast['earlier']} or {forecast['later']} memorizes are of one document"
        return Trend(name, "cannot tell", f"{reason}, so that no interval is known")
    base, known = forecast["base_rate"], forecast["base_rate"] is not None
    threshold = "one half, as the base rate is unknown"
    if known:
        interval = format_interval(forecast["base_rate_lower"], forecast["base_rate_upper"])
        threshold = f"the base rate of {format_percent(base)} ({interval})"
    condition = f"precision is above recall, and above {threshold}, with 95 % intervals apart"
    test = f"{_format_forecast(forecast, '. In turn ')}. Shown if {condition}"
    if forecast["precision_lower"] > max(forecast["recall_upper"], forecast["base_rate_upper"] if known else 0.5):
        return Trend(name, "shows", test)
    if forecast["precision_upper"] < forecast["recall_lower"]:
        return Trend(name, "contradicts", test)
    return Trend(name, "cannot tell", test)


def _checkpoints_trend(forecasts: pl.DataFrame, target: str) -> Trend:
    """Test whether the F1 of a checkpoint is above that of a smaller model with at least as much compute.

    Of all such pairs only that of the most similar compute decides: the best of sixty pairs that forecast alike had
    intervals apart in 6 % of simulated studies. The verdict is never "contradicts": K1 counts only rows that the
    checkpoint had seen, which are not known here.
    """
    name = ANALYSIS.trends[1]
    candidates = forecasts.filter(later=target).drop_nulls(["compute", "f1_lower"])
    checkpoints = candidates.filter(kind="earlier checkpoint").to_dicts()
    smaller = candidates.filter(kind="smaller model").to_dicts()
    if not checkpoints or not smaller:
        missing = "smaller models of known size" if checkpoints else "earlier checkpoints of the largest model"
        return Trend(name, "cannot tell", f"the study lacks {missing} that memorize a row")
    pairs = [(checkpoint, model) for checkpoint in checkpoints for model in smaller]
    less_compute = [(checkpoint, model) for checkpoint, model in pairs if checkpoint["compute"] <= model["compute"]]
    more_compute = [(checkpoint, model) for checkpoint, model in pairs if checkpoint["compute"] >= model["compute"]]
    worse = [(checkpoint, model) for checkpoint, model in more_compute if checkpoint["f1_upper"] < model["f1_lower"]]
    nearest = max(
        less_compute, key=lambda pair: (pair[0]["compute"] / pair[1]["compute"], pair[1]["compute"]), default=None
    )
    better = nearest is not None and nearest[0]["f1_lower"] > nearest[1]["f1_upper"]
    test = (
        f"forecasts of {target} by F1: {_comparison(nearest)}. Shown if these 95 % intervals are apart, the first "
        f"above. No checkpoint may lose so to a smaller model of as much compute or less ({len(worse)} of "
        f"{len(more_compute)} pairs do). Rows that a checkpoint had not yet seen count against it, so that a loss "
        "contradicts nothing"
    )
    return Trend(name, "shows" if better and not worse else "cannot tell", test)


def _comparison(pair: tuple[dict[str, Any], dict[str, Any]] | None) -> str:
    """The F1 of a checkpoint and of a smaller model, as a clause."""
    if pair is None:
        return "no checkpoint has as little compute as a smaller model"
    checkpoint, model = (
        f"{forecast['earlier']} has {forecast['f1']:.3f} ({forecast['f1_lower']:.3f} to {forecast['f1_upper']:.3f}) at "
        f"{forecast['compute']:.2g} of the compute"
        for forecast in pair
    )
    return f"{checkpoint}. The smaller {model}. No pair is nearer in compute, with no more for the checkpoint"


# -------------------------------------------------------------------------------------------------------- the finding


def _format_forecast(forecast: dict[str, Any], separator: str = ", and ") -> str:
    clauses = []
    for metric, given, other in (("precision", "earlier", "later"), ("recall", "later", "earlier")):
        count = forecast[f"memorized_{given}"]
        interval = format_interval(forecast[f"{metric}_lower"], forecast[f"{metric}_upper"])
        share = f"{forecast[other]} memorizes {format_percent(forecast[metric])}"
        share += f" of the {count:,} rows that {forecast[given]} does ({metric}; {interval})"
        clauses.append(share if count else f"{forecast[given]} memorizes no row (no {metric})")
    return separator.join(clauses)


def _format_clustering(spreads: pl.DataFrame, model: str, *, one_per_cluster: bool) -> str:
    """The spread of the model's rows, as the end of the claim; "" where it was not tested."""
    spread = spreads.row(by_predicate=pl.col("model") == model, named=True)
    if spread["verdict"] is None:
        return ""
    one_each = ", the first of each document," if one_per_cluster else ""
    return (
        f"; in the order of rows{one_each} those of {model} lie {spread['verdict']} (variance "
        f"{spread['against_chance']:.2f} times that of chance over {spread['windows']:,} windows of {spread['size']} "
        "rows)"
    )


def _charts(forecasts: pl.DataFrame, correlated: pl.DataFrame, quantiles: pl.DataFrame) -> tuple[Chart, ...]:
    charts = []
    if forecasts["compute"].is_not_null().any():
        x = Axis("compute", "compute, relative to the model forecast", "log")
        color = Axis("later", "model forecast", "nominal")
        for name in ("precision", "recall", "f1"):
            y_title = "F1" if name == "f1" else name
            title = f"{y_title[0].upper()}{y_title[1:]} of a forecast by compute"
            y, bounds = Axis(name, y_title, share=True), (f"{name}_lower", f"{name}_upper")
            charts.append(Chart(name, title, "lines", "forecasts", x, y, color, *bounds, dash="kind"))
    coefficient = "pearson" if correlated["pearson"].is_not_null().any() else "phi"
    if correlated[coefficient].is_not_null().any():
        x, y = Axis("model", "model", "nominal"), Axis("other", "model before it", "nominal")
        color = Axis(coefficient, "Pearson's correlation of M" if coefficient == "pearson" else "phi of M = 1")
        charts.append(Chart("correlation", "Correlation between models", "matrix", "correlations", x, y, color))
    if quantiles.height:
        x = Axis("chance", "memorized rows a window expected by chance")
        y = Axis("observed", "memorized rows a window, observed")
        color = Axis("model", "model", "nominal")
        title = "Memorized rows through the order of rows"
        charts.append(Chart("order", title, "points", "quantiles", x, y, color, diagonal="as by chance"))
    return tuple(charts)


def _caveats(tables: Tables, labels: Labels, clustering_caveats: Sequence[str]) -> tuple[str, ...]:
    cell = tables.reference
    counts = tables.counts().filter(role="train", context=cell.context, continuation=cell.continuation)
    max_scored = max(counts.group_by("model").agg(pl.col("rows").sum())["rows"], default=0)
    left_out = [model for model in tables.family if model not in labels.models]
    caveats = [*clustering_caveats]
    if left_out:
        caveats.append(f"Without training rows at {cell}, and left out: {', '.join(left_out)}.")
    if tables.complete and len(labels.rows) < max_scored:
        caveats.append(f"Only the {len(labels.rows):,} rows that all models scored are compared, of {max_scored:,}.")
    if not tables.complete:
        caveats.append(
            "Only recited rows are known: no base rate and no correlation; a row that one model was never asked "
            "for counts as not memorized by it."
        )
    if any(tables.parameters(model) is None for model in tables.by_size):
        caveats.append(
            "The sizes of some models are unknown: models are taken in the order listed, without a compute axis."
        )
    return tuple(caveats)


def _insufficient_data(tables: Tables, labels: Labels, forecasts: pl.DataFrame) -> Finding | None:
    question = "whether a smaller model or an earlier checkpoint forecasts what a later one memorizes"
    if not forecasts.height:
        remedy = "Score more models together: `mematlas score MODEL MODEL ... --corpus PATH --study FOLDER`."
        missing = f"two models, one smaller or earlier, with rows at {tables.reference} tokens"
    elif not len(labels.rows):
        remedy = "Score the same rows with all models: `mematlas score MODEL MODEL ... --corpus PATH --study FOLDER`."
        missing = "rows that all models scored"
    elif not labels.recited.any():
        remedy = MORE_RECITED_ROWS
        missing = f"memorized rows (none of {format_count(len(labels.rows))} is recited by any model)"
    else:
        return None
    return ANALYSIS.insufficient_data(tables, question, missing, remedy)


def _tables(
    tables: Tables, forecasts: pl.DataFrame, correlated: pl.DataFrame, spreads: pl.DataFrame, quantiles: pl.DataFrame
) -> tuple[Table, ...]:
    parts = {"common": ", common=True", "rows": "rows=pl.len(), "} if tables.complete else {"common": "", "rows": ""}
    forecasts_recipe, spread_title = _FORECASTS_RECIPE.format(**parts), "Memorized rows through the order of rows"
    correlations_recipe = None
    if tables.complete:
        correlations_recipe = _CORRELATIONS_RECIPE.format(pearson=_PEARSON if tables.graded else "")
    spread_recipe, quantiles_recipe = (clustering_recipe(tables, name) for name in ("spreads", "spread_quantiles"))
    quantiles_title = "Memorized rows a window: expected and observed"
    return (
        Table("forecasts", "Forecasts of later models", forecasts, FORECAST_COLUMNS, forecasts_recipe),
        Table("correlations", "Correlation between models", correlated, _CORRELATION_COLUMNS, correlations_recipe),
        Table("spread", spread_title, spreads, SPREAD_COLUMNS, spread_recipe),
        Table("quantiles", quantiles_title, quantiles, QUANTILE_COLUMNS, quantiles_recipe),
    )


def compute(tables: Tables) -> Finding:
    """Compute precision, recall and F1 of every forecast, correlations, and the clustering of memorized rows."""
    labels = training_labels(tables)
    forecasts = forecast_table(tables, labels)
    if insufficient := _insufficient_data(tables, labels, forecasts):
        return insufficient
    correlated = _correlations(tables, labels)
    spreads, quantiles, clustering_caveats = clustering(
        tables, labels.models, labels.rows, labels.recited, labels.clusters
    )
    target = tables.by_size[-1] if tables.by_size[-1] in labels.models else forecasts["later"][-1]
    target_forecasts = forecasts.filter(later=target) if target in forecasts["later"] else forecasts
    smaller = target_forecasts.filter(kind="smaller model")
    lead = target_forecasts.row(0, named=True)
    clustering_clause = ""
    if max_repetitions(tables) == 1:
        clustering_clause = _format_clustering(spreads, lead["later"], one_per_cluster=labels.clusters is not None)
    all_tables = _tables(tables, forecasts, correlated, spreads, quantiles)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        f"At {tables.reference} tokens {_format_forecast(lead)}{clustering_clause}.",
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(lead),
        control=_control(lead),
        tables=tuple(table for table in all_tables if table.frame.height),
        charts=_charts(forecasts, correlated, quantiles),
        trends=(_small_models_trend(smaller), _checkpoints_trend(forecasts, target)),
        caveats=_caveats(tables, labels, clustering_caveats),
        deviations=_DEVIATIONS,
        headline=_headline(lead),
        sentence=_sentence(lead),
    )


def _headline(forecast: dict[str, Any]) -> str:
    """Whether precision is above the base rate, and recall below one half, by their intervals."""
    earlier, later = forecast["earlier"], forecast["later"]
    if not forecast["memorized_earlier"]:
        return f"{earlier} memorizes no row, so that it forecasts nothing"
    lower, upper = forecast["precision_lower"], forecast["precision_upper"]
    unclear = f"Whether {earlier} forecasts what {later} memorizes is unclear"
    if forecast["base_rate"] is None:
        most, few = (
            f"{later} memorizes most rows that {earlier} does",
            f"{later} forgets most rows that {earlier} memorizes",
        )
        return by_interval(lower, upper, most, few, unclear, value=0.5)
    base = forecast["base_rate_lower"], forecast["base_rate_upper"]
    if lower is None or base[0] is None:
        return unclear
    if lower > base[1]:
        misses = (forecast["recall_upper"] or 1) < 0.5
        return f"{earlier} forecasts what {later} memorizes{', but misses most of it' if misses else ''}"
    return f"{earlier} forecasts worse than chance what {later} memorizes" if upper < base[0] else unclear


def _sentence(forecast: dict[str, Any]) -> str:
    """Precision and recall, or whichever is known, and the base rate."""
    earlier, later = forecast["earlier"], forecast["later"]
    parts = []
    if forecast["memorized_earlier"]:
        of = f"{format_count(forecast['memorized_earlier'])} that {earlier} does"
        parts.append(f"{later} memorizes {format_share(forecast, 'precision')} of {of}")
    else:
        parts.append(f"{later} memorizes {format_count(forecast['memorized_later'])}")
    if forecast["memorized_earlier"] and forecast["memorized_later"]:
        parts.append(f"recall {format_share(forecast, 'recall')}")
    if forecast["base_rate"] is not None:
        parts.append(f"base rate {format_percent(forecast['base_rate'])}")
    return f"{'; '.join(parts)}."


def _strength(forecast: dict[str, Any]) -> float | None:
    """The difference of precision and recall over its standard error, which is derived from the intervals."""
    if forecast["precision_lower"] is None or forecast["recall_lower"] is None:
        return None
    errors = [standard_error(forecast[f"{name}_lower"], forecast[f"{name}_upper"]) for name in ("precision", "recall")]
    return abs(forecast["precision"] - forecast["recall"]) / max(1e-9, sum(error**2 for error in errors) ** 0.5)


def _control(forecast: dict[str, Any]) -> str | None:
    if forecast["base_rate"] is None:
        return None
    base_rate = format_percent(forecast["base_rate"])
    return f"By chance {forecast['later']} memorizes {base_rate} of any {forecast['rows']:,} rows (base rate)."


ANALYSIS = Analysis(
    "forecast",
    "Forecasting memorization",
    "K1",
    "two models, one smaller or earlier",
    compute,
    ("small-models-forecast-precisely-but-miss-most", "checkpoints-forecast-better-than-small-models"),
)
