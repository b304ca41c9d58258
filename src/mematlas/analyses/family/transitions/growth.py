"""Whether the number of memorized rows grows less in the upper part of the size range than in the lower.

Source: P1 (c): growth from 70M to 2.8B is larger than from 2.8B to 12B. These spans are 1.6 and 0.6 tenfolds, so that
steady growth would show it too. It is tested as published, by the counts of models of these sizes, and cannot be tested
in other families. Our own trend compares growth per tenfold of parameters, below and above the model nearest to the
middle of the range on a log axis. A family can satisfy P1's statement and not ours: by the released counts of
deduplicated Pythia (`published.TABLES["memorized-rows"]`) 0.94 million rows are gained up to 2.8B and 0.52 million from
there on, which are 0.59 and 0.82 million per tenfold.

All three counts are of the same rows, so the error is that of a sum over rows, or over the clusters they come in.
"""

from math import log10, sqrt
from typing import Final

import polars as pl
from scipy.stats import t as student_t

from mematlas.analyses.frames.model_series import BY_SIZE, model_series
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.trend_tests import Verdict
from mematlas.findings.finding import Trend
from mematlas.stats.estimates.intervals import Z

GROWTH_TREND: Final = "growth-slows-with-size"
TENFOLD_TREND: Final = "growth-per-tenfold-slows-with-size"
PUBLISHED_SIZES: Final = {"70M": 7.0e7, "2.8B": 2.8e9, "12B": 1.2e10}  # P1; parameters
_SIZE_TOLERANCE: Final = 1.15  # our choice: a model is of a size if its parameters are within this factor of it
_MIN_DIFFERING_ROWS: Final = (
    10  # rows that differ between the models; with fewer, the normal approximation is unreliable
)
_NO_SIZES: Final = "it takes three models of known and different size, scored in one cell"

Models = tuple[str, str, str]


def growth_trends(tables: Tables) -> tuple[Trend, Trend]:
    """The verdicts on P1's trend and on ours, from the sizes of the family, at the reference cell."""
    by_size = next((each.models for each in model_series(tables, tables.reference) if each.name == BY_SIZE), ())
    sizes = {model: float(tables.parameters(model) or 1) for model in by_size}
    return _published_trend(tables, sizes), _tenfold_trend(tables, sizes)


def _published_trend(tables: Tables, sizes: dict[str, float]) -> Trend:
    """P1's statement, of models of its three sizes."""
    models = _models_of_published_sizes(sizes)
    if models is None:
        reason = (
            f"P1 compares models of {', '.join(PUBLISHED_SIZES)} parameters, which are not all among the models of "
            "this study scored in one cell. Growth per tenfold of parameters is a trend of our own"
        )
        return Trend(GROWTH_TREND, "cannot tell", reason)
    return _trend(GROWTH_TREND, tables, models, (1.0, 1.0))


def _models_of_published_sizes(sizes: dict[str, float]) -> Models | None:
    """The model nearest to each of PUBLISHED_SIZES; None if one is further off than _SIZE_TOLERANCE."""
    models = []
    for published in PUBLISHED_SIZES.values():
        factors = {model: max(size / published, published / size) for model, size in sizes.items()}
        nearest = min(factors, key=lambda model: factors[model], default=None)
        if nearest is None or factors[nearest] > _SIZE_TOLERANCE:
            return None
        models.append(nearest)
    return models[0], models[1], models[2]


def _tenfold_trend(tables: Tables, sizes: dict[str, float]) -> Trend:
    """Our statement: growth per tenfold of parameters, in the lower and in the upper part of the range of sizes."""
    if len(sizes) < 3:
        return Trend(TENFOLD_TREND, "cannot tell", _NO_SIZES)
    log_sizes = {model: log10(size) for model, size in sizes.items()}
    models = _three_models(log_sizes)
    spans = log_sizes[models[1]] - log_sizes[models[0]], log_sizes[models[2]] - log_sizes[models[1]]
    return _trend(TENFOLD_TREND, tables, models, spans)


def _three_models(log_sizes: dict[str, float]) -> Models:
    """The smallest model, the one nearest to the middle of the range, and the largest."""
    smallest, *others, largest = log_sizes
    middle = (log_sizes[smallest] + log_sizes[largest]) / 2
    return smallest, min(others, key=lambda model: abs(log_sizes[model] - middle)), largest


def _trend(name: str, tables: Tables, models: Models, spans: tuple[float, float]) -> Trend:
    """Growth from the first to the second model against that from the second to the third, each divided by its span."""
    wide = tables.with_cluster(tables.side_by_side(models, tables.reference, "recited"))
    weights = (-1 / spans[0], 1 / spans[0] + 1 / spans[1], -1 / spans[1])
    change = pl.sum_horizontal(pl.col(model) * weight for model, weight in zip(models, weights, strict=True))
    wide = wide.with_columns(change.alias("change"))
    changes = wide["change"]
    if (differing := int((changes.abs() > 1e-9).sum())) < _MIN_DIFFERING_ROWS:
        return Trend(name, "cannot tell", f"too few rows ({differing}) tell {', '.join(models)} apart")
    interval = _interval(wide, complete=tables.complete)
    memorized = [int(wide[model].sum()) for model in models]
    below, above = (memorized[1] - memorized[0]) / spans[0], (memorized[2] - memorized[1]) / spans[1]
    unit = "Per tenfold of parameters " if name == TENFOLD_TREND else "Growth "
    test = (
        f"rows memorized: {memorized[0]:,} by {models[0]}, {memorized[1]:,} by {models[1]}, {memorized[2]:,} by "
        f"{models[2]}. {unit}{below:+,.1f} in the lower part and {above:+,.1f} in the upper, "
        f"{below - above:+,.1f} apart (95 % interval {interval[0]:+,.1f} to {interval[1]:+,.1f}). A direction is shown "
        "if the interval leaves out 0, and shown as stated only if the number grows in the lower part"
    )
    verdict: Verdict = "shows" if interval[0] > 0 and below > 0 else "contradicts" if interval[1] < 0 else "cannot tell"
    return Trend(name, verdict, test)


def _interval(rows: pl.DataFrame, *, complete: bool) -> tuple[float, float]:
    """The 95 % interval of the sum of changes: Student's t over clusters, or the normal one over independent rows.

    The squared mean is not subtracted from the variance where the number of all rows is unknown.

    Args:
        rows: change, and cluster where rows come in clusters.
    """
    total = float(rows["change"].sum())
    if "cluster" not in rows.columns:
        variance = float((rows["change"] ** 2).sum()) - (total * total / rows.height if complete else 0.0)
        return total - Z * sqrt(variance), total + Z * sqrt(variance)
    mean = total / rows.height if complete else 0.0
    sums = rows.group_by("cluster").agg((pl.col("change") - mean).sum())["change"]
    variance = len(sums) / max(1, len(sums) - 1) * float((sums**2).sum())
    half_width = float(student_t.ppf(0.975, max(1, len(sums) - 1))) * sqrt(variance)
    return total - half_width, total + half_width
