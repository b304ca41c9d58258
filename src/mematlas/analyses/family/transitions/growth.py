"""Whether the number of memorized rows grows less in the upper part of the size range than in the lower.

Source: P1 (c): growth from 70M to 2.8B is larger than from 2.8B to 12B. These spans are 1.6 and 0.6 tenfolds, so that
steady growth would show it too; we compare growth per tenfold of parameters, below and above the model nearest to the
middle of the range on a log axis. A family can satisfy P1's statement and not ours: by the released counts of
deduplicated Pythia (`published.TABLES["memorized-rows"]`) 0.59 million rows per tenfold are gained below 2.8B, and 0.82
million above.

All three counts are of the same rows, so the error is that of a sum over rows.
"""

from math import log10, sqrt

import polars as pl

from mematlas.analyses.frames.model_series import BY_SIZE, model_series
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.trend_tests import Verdict
from mematlas.findings.finding import Trend

GROWTH_TREND = "growth-slows-with-size"
_MIN_DIFFERING_ROWS = 10  # rows that differ between the models; with fewer, the normal approximation is unreliable


def growth_trend(tables: Tables) -> Trend:
    """The verdict on P1's trend from the sizes of the family, at the reference cell."""
    by_size = next((each.models for each in model_series(tables, tables.reference) if each.name == BY_SIZE), ())
    if len(by_size) < 3:
        reason = "it takes three models of known and different size, scored in one cell"
        return Trend(GROWTH_TREND, "cannot tell", reason)
    log_sizes = {model: log10(tables.parameters(model) or 1) for model in by_size}
    models = _three_models(log_sizes)
    wide = tables.side_by_side(models, tables.reference, "recited")
    lower, upper = log_sizes[models[1]] - log_sizes[models[0]], log_sizes[models[2]] - log_sizes[models[1]]
    weights = (-1 / lower, 1 / lower + 1 / upper, -1 / upper)
    changes = wide.select(
        pl.sum_horizontal(pl.col(model) * weight for model, weight in zip(models, weights, strict=True)).alias("change")
    )["change"]
    if (differing := int((changes.abs() > 1e-9).sum())) < _MIN_DIFFERING_ROWS:
        return Trend(GROWTH_TREND, "cannot tell", f"too few rows ({differing}) tell {', '.join(models)} apart")
    return _trend(models, [int(wide[model].sum()) for model in models], (lower, upper), _interval(changes, tables))


def _three_models(log_sizes: dict[str, float]) -> tuple[str, str, str]:
    """The smallest model, the one nearest to the middle of the range, and the largest."""
    smallest, *others, largest = log_sizes
    middle = (log_sizes[smallest] + log_sizes[largest]) / 2
    return smallest, min(others, key=lambda model: abs(log_sizes[model] - middle)), largest


def _interval(changes: pl.Series, tables: Tables) -> tuple[float, float]:
    """The 95 % interval of the sum, from the normal distribution.

    The squared mean is not subtracted from the variance where the number of all rows is unknown.
    """
    total = float(changes.sum())
    variance = float((changes**2).sum()) - (total * total / len(changes) if tables.complete else 0.0)
    return total - 1.96 * sqrt(variance), total + 1.96 * sqrt(variance)


def _trend(
    models: tuple[str, ...], memorized: list[int], spans: tuple[float, float], interval: tuple[float, float]
) -> Trend:
    below = (memorized[1] - memorized[0]) / spans[0]
    above = (memorized[2] - memorized[1]) / spans[1]
    test = (
        f"rows memorized: {memorized[0]:,} by {models[0]}, {memorized[1]:,} by {models[1]}, {memorized[2]:,} by "
        f"{models[2]}; per tenfold of parameters {below:+,.1f} in the lower part and {above:+,.1f} in the upper, "
        f"{below - above:+,.1f} apart (95 % interval {interval[0]:+,.1f} to {interval[1]:+,.1f}); a direction is shown "
        "if the interval leaves out 0, and shown as published only if the number grows in the lower part"
    )
    verdict: Verdict = "shows" if interval[0] > 0 and below > 0 else "contradicts" if interval[1] < 0 else "cannot tell"
    return Trend(GROWTH_TREND, verdict, test)
