"""Does a smaller model, or an earlier checkpoint, foretell which rows a later one memorizes?

Source: K1. Label of a row: M = 1 at the reference cell. precision = P(later memorizes | earlier memorizes), recall =
P(earlier memorizes | later memorizes). Forecasters are all smaller models of the family (at their latest checkpoint),
and all earlier checkpoints of the same model. Compute, our choice after the rule 6 N D: parameters times training
step where both models have one, else parameters, relative to the model forecast.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.base import Analysis
from mematlas.analyses.family.forecast.clustering import QUANTILES, SPREADS, most_repetitions, ordering, ordering_recipe
from mematlas.analyses.frames.proportions import between, percent
from mematlas.analyses.frames.score_lines import compute
from mematlas.analyses.frames.study_tables import Tables
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend
from mematlas.stats.classification.forecasting import correlations, forecast, joint_counts
from mematlas.stats.estimates.intervals import Share, standard_error

_FORECASTS: Final = {
    "earlier": "the model that forecasts",
    "later": "the model that is forecast",
    "kind": "smaller model, earlier checkpoint, or listed before (sizes unknown)",
    "compute": "compute of the earlier model / of the later one; null where sizes are unknown",
    "rows": "rows scored by all models; null where only recited rows are known",
    "memorized_earlier": "rows the earlier model memorizes (M = 1)",
    "memorized_later": "rows the later model memorizes",
    "memorized_both": "rows both memorize",
    "precision": "memorized_both / memorized_earlier: P(later memorizes | earlier memorizes)",
    "precision_lower": "lower end of its Wilson 95 % interval",
    "precision_upper": "upper end of it",
    "recall": "memorized_both / memorized_later: P(earlier memorizes | later memorizes)",
    "recall_lower": "lower end of its Wilson 95 % interval",
    "recall_upper": "upper end of it",
    "f1": "harmonic mean of precision and recall",
    "f1_lower": "lower end of its 95 % interval, from the Wilson interval of both / either",
    "f1_upper": "upper end of it",
    "base_rate": "memorized_later / rows: the precision of a forecast that knows nothing",
}
_CORRELATIONS: Final = {
    "model": "label of a model",
    "other": "label of another, before it in the family",
    "rows": "rows scored by all models; null where only recited rows are known",
    "pearson": "Pearson's correlation of M over rows; null where M was not graded or does not vary",
    "phi": "the same of M = 1 (0 or 1); null where only recited rows are known",
}
_FORECASTS_RECIPE: Final = """\
cells = recount.pairs(study, "model"{common}).group_by("compute", earlier="model", later="model_2")
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


@dataclass(frozen=True, slots=True)
class _Labels:
    """Training rows of the reference cell: values[rows, models], M's matches if graded, else whether recited."""

    models: tuple[str, ...]
    rows: NDArray[np.int64]
    values: NDArray[np.float64]
    recited: NDArray[np.bool_]


def _labels(tables: Tables) -> _Labels:
    cell = tables.reference
    counts = tables.counts().filter(role="train", context=cell.context, continuation=cell.continuation)
    models = tuple(model for model in tables.family if model in set(counts["model"]))
    value = "matches" if tables.graded else "recited"
    wide = tables.side_by_side(models, cell, value) if models else pl.DataFrame({"row": []}, schema={"row": pl.Int64})
    values = wide.select(models).cast(pl.Float64).to_numpy() if models else np.empty((0, 0))
    recited = values == (cell.continuation if tables.graded else 1)
    return _Labels(models, wide["row"].to_numpy(), values, recited)


# ------------------------------------------------------------------------------------------------------ the forecasts


def _pairs(tables: Tables, models: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """(earlier, later, kind) for all that can foretell one another."""
    sized = all(tables.parameters(model) is not None for model in tables.by_size)
    chains = [(tables.by_size, "smaller model" if sized else "listed before")]
    chains += [(series, "earlier checkpoint") for series in tables.by_step]
    pairs = {
        (earlier, later): kind
        for chain, kind in chains
        for at, later in enumerate(chain)
        for earlier in chain[:at]
        if earlier in models and later in models
    }
    return [(*pair, kind) for pair, kind in pairs.items()]


def _forecasts(tables: Tables, labels: _Labels) -> pl.DataFrame:
    joint, pairs = joint_counts(labels.recited), _pairs(tables, labels.models)
    at = {model: place for place, model in enumerate(labels.models)}
    frame = pl.DataFrame(pairs, schema=dict.fromkeys(("earlier", "later", "kind"), pl.String), orient="row")
    size = tables.models.select("model", "parameters", "training_step")
    frame = frame.join(size, left_on="earlier", right_on="model", how="left", maintain_order="left")
    frame = frame.join(size, left_on="later", right_on="model", how="left", maintain_order="left", suffix="_2")
    counts = {
        "memorized_earlier": [joint[at[earlier], at[earlier]] for earlier, _, _ in pairs],
        "memorized_later": [joint[at[later], at[later]] for _, later, _ in pairs],
        "memorized_both": [joint[at[earlier], at[later]] for earlier, later, _ in pairs],
    }
    frame = frame.with_columns(pl.Series(name, values, dtype=pl.Int64) for name, values in counts.items())
    rows = pl.lit(len(labels.rows) if tables.complete else None, pl.Int64).alias("rows")
    return with_forecasts(frame.with_columns(compute(), rows)).select(*_FORECASTS)


def with_forecasts(counts: pl.DataFrame) -> pl.DataFrame:
    """Add precision, recall and F1 with their 95 % intervals, and base_rate where there are `rows`; see _FORECASTS.

    Args:
        counts: memorized_earlier, memorized_later, memorized_both; rows, where these are known.
    """
    lines: list[dict[str, float | None]] = []
    for line in counts.iter_rows(named=True):
        earlier, later, both = (line[f"memorized_{name}"] for name in ("earlier", "later", "both"))
        found, rows = forecast(earlier=earlier, later=later, both=both), line.get("rows")
        shares = (_ends(name, getattr(found, name)) for name in ("precision", "recall", "f1"))
        ends = {name: value for share in shares for name, value in share.items()}
        lines.append(ends | {"base_rate": later / rows if rows else None})
    schema = {name: pl.Float64 for name in _FORECASTS if name.startswith(("precision", "recall", "f1", "base_rate"))}
    return counts.hstack(pl.DataFrame(lines, schema=schema))


def _ends(name: str, share: Share) -> dict[str, float | None]:
    return {name: share.estimate, f"{name}_lower": share.lower, f"{name}_upper": share.upper}


def _correlations(tables: Tables, labels: _Labels) -> pl.DataFrame:
    phi = correlations(labels.recited.astype(np.float64)) if tables.complete else None
    pearson = correlations(labels.values) if tables.graded else None
    lines = [
        (
            labels.models[at],
            labels.models[other],
            len(labels.rows) if tables.complete else None,
            None if pearson is None else float(pearson[at, other]),
            None if phi is None else float(phi[at, other]),
        )
        for at in range(len(labels.models))
        for other in range(at)
    ]
    schema = dict(zip(_CORRELATIONS, (pl.String, pl.String, pl.Int64, pl.Float64, pl.Float64), strict=True))
    return pl.DataFrame(lines, schema=schema, orient="row").with_columns(pl.col("pearson", "phi").fill_nan(None))


# --------------------------------------------------------------------------------------------------------- the trends


def _small_models(smaller: pl.DataFrame) -> Trend:
    """Precision of the smallest model as a forecast of the largest, above its recall and above the base rate.

    Above recall alone it is whenever the smaller memorizes fewer rows, whichever they are; the base rate tells whether
    they are the same rows. Where it is unknown, one half stands in for it (our choice).
    """
    name = ANALYSIS.trends[0]
    if not smaller.height:
        return Trend(name, "cannot tell", "the study lacks two models of different size")
    line = smaller.row(0, named=True)
    if line["precision"] is None or line["recall"] is None:
        return Trend(name, "cannot tell", f"{line['earlier']} or {line['later']} memorizes no row")
    base, known = line["base_rate"], line["base_rate"] is not None
    above = f"the base rate of {percent(base)}" if known else "one half, as the base rate is unknown"
    test = f"{_told(line)}; shown if precision is above recall, and above {above}, with 95 % intervals apart"
    if line["precision_lower"] > max(line["recall_upper"], base if known else 0.5):
        return Trend(name, "shows", test)
    if line["precision_upper"] < line["recall_lower"]:
        return Trend(name, "contradicts", test)
    return Trend(name, "cannot tell", test)


def _checkpoints(forecasts: pl.DataFrame, target: str) -> Trend:
    """Is F1 of a checkpoint above that of a smaller model of as much compute or more, or below one of less?

    Never "contradicts": K1 counts only rows that the checkpoint had seen, and which those are is not known here.
    """
    name = ANALYSIS.trends[1]
    here = forecasts.filter(later=target).drop_nulls(["compute", "f1"])
    checkpoints = here.filter(kind="earlier checkpoint").to_dicts()
    smaller = here.filter(kind="smaller model").to_dicts()
    if not checkpoints or not smaller:
        what = "smaller models of known size" if checkpoints else "earlier checkpoints of the largest model"
        return Trend(name, "cannot tell", f"the study lacks {what} that memorize a row")
    pairs = [(step, model) for step in checkpoints for model in smaller]
    above = [(step, model) for step, model in pairs if step["compute"] <= model["compute"]]
    below = [(step, model) for step, model in pairs if step["compute"] >= model["compute"]]
    better = [(step, model) for step, model in above if step["f1_lower"] > model["f1_upper"]]
    worse = [(step, model) for step, model in below if step["f1_upper"] < model["f1_lower"]]
    test = (
        f"forecasts of {target} by F1, 95 % intervals apart: a checkpoint beats a smaller model of as much compute or "
        f"more in {len(better)} of {len(above)} pairs, and loses to one of as much or less in {len(worse)} of "
        f"{len(below)}{_example([*better, *worse])}; rows that a checkpoint had not yet seen count against it, so that "
        "a loss contradicts nothing"
    )
    return Trend(name, "shows" if better and not worse else "cannot tell", test)


def _example(pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    if not pairs:
        return ""
    words = (f"{line['earlier']} {line['f1']:.3f} at {line['compute']:.2g} of the compute" for line in pairs[0])
    return f" (e.g. F1 {', '.join(words)})"


# -------------------------------------------------------------------------------------------------------- the finding


def _told(line: dict[str, Any]) -> str:
    parts = []
    for name, one, other in (("precision", "earlier", "later"), ("recall", "later", "earlier")):
        count, ends = line[f"memorized_{one}"], between(line[f"{name}_lower"], line[f"{name}_upper"])
        share = f"{line[other]} memorizes {percent(line[name])} of the {count:,} rows that {line[one]} does"
        parts.append(f"{share} ({name}; {ends})" if count else f"{line[one]} memorizes no row (no {name})")
    return ", and ".join(parts)


def _lying(spreads: pl.DataFrame, model: str) -> str:
    """The spread of the model's rows, as the end of the claim; nothing where it was not tested."""
    line = spreads.row(by_predicate=pl.col("model") == model, named=True)
    if line["verdict"] is None:
        return ""
    return (
        f"; in the order of rows those of {model} lie {line['verdict']} (variance {line['against_chance']:.2f} times "
        f"that of chance over {line['windows']:,} windows of {line['size']} rows)"
    )


def _charts(forecasts: pl.DataFrame, correlated: pl.DataFrame, quantiles: pl.DataFrame) -> tuple[Chart, ...]:
    charts = []
    if forecasts["compute"].is_not_null().any():
        x = Axis("compute", "compute, relative to the model forecast", "log")
        color = Axis("later", "model forecast", "nominal")
        for name in ("precision", "recall", "f1"):
            title = "F1" if name == "f1" else name
            heading = f"{title[0].upper()}{title[1:]} of a forecast by compute"
            y, band = Axis(name, title, share=True), (f"{name}_lower", f"{name}_upper")
            charts.append(Chart(name, heading, "lines", "forecasts", x, y, color, *band, dash="kind"))
    value = "pearson" if correlated["pearson"].is_not_null().any() else "phi"
    if correlated[value].is_not_null().any():
        x, y = Axis("model", "model", "nominal"), Axis("other", "model before it", "nominal")
        color = Axis(value, "Pearson's correlation of M" if value == "pearson" else "phi of M = 1")
        charts.append(Chart("correlation", "Correlation between models", "matrix", "correlations", x, y, color))
    if quantiles.height:
        x = Axis("chance", "memorized rows a window expected by chance")
        y = Axis("observed", "memorized rows a window, observed")
        color = Axis("model", "model", "nominal")
        charts.append(Chart("order", "Memorized rows through the order of rows", "points", "quantiles", x, y, color))
    return tuple(charts)


def _caveats(tables: Tables, labels: _Labels, ordered: Sequence[str]) -> tuple[str, ...]:
    cell = tables.reference
    counts = tables.counts().filter(role="train", context=cell.context, continuation=cell.continuation)
    most = max(counts.group_by("model").agg(pl.col("rows").sum())["rows"], default=0)
    left_out = [model for model in tables.family if model not in labels.models]
    caveats = [*ordered]
    if left_out:
        caveats.append(f"Without training rows at {cell}, and left out: {', '.join(left_out)}.")
    if tables.complete and len(labels.rows) < most:
        caveats.append(f"Only the {len(labels.rows):,} rows that all models scored are compared, of {most:,}.")
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


def _lacking(tables: Tables, labels: _Labels, forecasts: pl.DataFrame) -> Finding | None:
    question = "whether a smaller model or an earlier checkpoint forecasts what a later one memorizes"
    if not forecasts.height:
        remedy = "Score more models together: `mematlas score MODEL MODEL ... --corpus PATH --study FOLDER`."
        what = f"two models, one smaller or earlier, with rows at {tables.reference} tokens"
    elif not len(labels.rows):
        remedy = "Score the same rows with all models: `mematlas score MODEL MODEL ... --corpus PATH --study FOLDER`."
        what = "rows that all models scored"
    elif not labels.recited.any():
        remedy = "Score larger models, rows that occur more often, or shorter continuations."
        what = f"memorized rows (none of {len(labels.rows):,} rows is recited by any model)"
    else:
        return None
    return ANALYSIS.lacking(tables, question, what, remedy)


def _tables(
    tables: Tables, forecasts: pl.DataFrame, correlated: pl.DataFrame, spreads: pl.DataFrame, quantiles: pl.DataFrame
) -> tuple[Table, ...]:
    known = {"common": ", common=True", "rows": "rows=pl.len(), "} if tables.complete else {"common": "", "rows": ""}
    pearson = _PEARSON if tables.graded else ""
    words = ("Memorized rows through the order of rows", "Memorized rows a window: expected and observed")
    correlations = _CORRELATIONS_RECIPE.format(pearson=pearson) if tables.complete else None
    return (
        Table("forecasts", "Forecasts of later models", forecasts, _FORECASTS, _FORECASTS_RECIPE.format(**known)),
        Table("correlations", "Correlation between models", correlated, _CORRELATIONS, correlations),
        Table("spread", words[0], spreads, SPREADS, ordering_recipe(tables, "spreads")),
        Table("quantiles", words[1], quantiles, QUANTILES, ordering_recipe(tables, "spread_quantiles")),
    )


def answer(tables: Tables) -> Finding:
    """Precision, recall and F1 of every forecast, correlations, and how memorized rows lie in training order."""
    labels = _labels(tables)
    forecasts = _forecasts(tables, labels)
    if lacking := _lacking(tables, labels, forecasts):
        return lacking
    correlated = _correlations(tables, labels)
    spreads, quantiles, ordered = ordering(tables, labels.models, labels.rows, labels.recited)
    target = tables.by_size[-1] if tables.by_size[-1] in labels.models else forecasts["later"][-1]
    at_target = forecasts.filter(later=target) if target in forecasts["later"] else forecasts
    smaller = at_target.filter(kind="smaller model")
    line = at_target.row(0, named=True)
    lying = _lying(spreads, line["later"]) if most_repetitions(tables) == 1 else ""
    kept = _tables(tables, forecasts, correlated, spreads, quantiles)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        f"At {tables.reference} tokens {_told(line)}{lying}.",
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(line),
        control=_control(line),
        tables=tuple(table for table in kept if table.frame.height),
        charts=_charts(forecasts, correlated, quantiles),
        trends=(_small_models(smaller), _checkpoints(forecasts, target)),
        caveats=_caveats(tables, labels, ordered),
        deviations=_DEVIATIONS,
    )


def _strength(line: dict[str, Any]) -> float | None:
    """precision - recall over its standard error, taken from the intervals."""
    if line["precision"] is None or line["recall"] is None:
        return None
    errors = [standard_error(line[f"{name}_lower"], line[f"{name}_upper"]) for name in ("precision", "recall")]
    return abs(line["precision"] - line["recall"]) / max(1e-9, sum(error**2 for error in errors) ** 0.5)


def _control(line: dict[str, Any]) -> str | None:
    if line["base_rate"] is None:
        return None
    return f"By chance {line['later']} memorizes {percent(line['base_rate'])} of any {line['rows']:,} rows (base rate)."


ANALYSIS = Analysis(
    "forecast",
    "Forecasting memorization",
    "K1",
    "two models, one smaller or earlier",
    answer,
    ("small-models-forecast-precisely-but-miss-most", "checkpoints-forecast-better-than-small-models"),
)
