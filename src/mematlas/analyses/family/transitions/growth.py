"""Whether the number of memorized rows grows less in the upper part of the size range than in the lower.

Source: P1 (c): growth from 70M to 2.8B is larger than from 2.8B to 12B. These spans are 1.6 and 0.6 tenfolds, so that
steady growth would show it too; we compare growth per tenfold of parameters, below and above the model nearest to the
middle of the range on a log axis. A family can bear P1's sentence out and not ours: by the released counts of
deduplicated Pythia (`published.TABLES["memorized-rows"]`) 0.59 million rows a tenfold are gained below 2.8B, and 0.82
million above.

The same rows stand behind all three counts, so the error is that of a sum over rows.
"""

from math import log10, sqrt

import polars as pl

from mematlas.analyses.frames.model_series import BY_SIZE, series
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.trend_tests import Verdict
from mematlas.findings.finding import Trend

TREND = "growth-slows-with-size"
_FEWEST = 10  # rows that differ between the models: below, the normal distribution is no guide to the error


def growth_trend(tables: Tables) -> Trend:
    """What the sizes of the family say of P1's trend, at the reference cell."""
    members = next((one.members for one in series(tables, tables.reference) if one.name == BY_SIZE), ())
    if len(members) < 3:
        return Trend(TREND, "cannot tell", "it takes three models of known and different size, scored in one cell")
    axis = {model: log10(tables.parameters(model) or 1) for model in members}
    models = _three(axis)
    wide = tables.side_by_side(models, tables.reference, "recited")
    lower, upper = axis[models[1]] - axis[models[0]], axis[models[2]] - axis[models[1]]
    weights = (-1 / lower, 1 / lower + 1 / upper, -1 / upper)
    changes = wide.select(
        pl.sum_horizontal(pl.col(model) * weight for model, weight in zip(models, weights, strict=True)).alias("change")
    )["change"]
    if (differing := int((changes.abs() > 1e-9).sum())) < _FEWEST:
        return Trend(TREND, "cannot tell", f"too few rows ({differing}) tell {', '.join(models)} apart")
    return _verdict(models, [int(wide[model].sum()) for model in models], (lower, upper), _interval(changes, tables))


def _three(axis: dict[str, float]) -> tuple[str, str, str]:
    """The smallest, the one nearest to the middle, and the largest."""
    smallest, *between, largest = axis
    middle = (axis[smallest] + axis[largest]) / 2
    return smallest, min(between, key=lambda model: abs(axis[model] - middle)), largest


def _interval(changes: pl.Series, tables: Tables) -> tuple[float, float]:
    """95 % of the normal distribution around the sum; nothing is taken off where the number of all rows is unknown."""
    total = float(changes.sum())
    spread = float((changes**2).sum()) - (total * total / len(changes) if tables.complete else 0.0)
    return total - 1.96 * sqrt(spread), total + 1.96 * sqrt(spread)


def _verdict(
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
    return Trend(TREND, verdict, test)
