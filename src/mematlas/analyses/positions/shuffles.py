"""The negative control of profiles: the same numbers with labels shuffled among the rows of a model, 200 times.

One shuffle is a draw of luck and may differ from another as much as a small effect does. The estimate is therefore the
mean over shuffles, and the interval holds the middle 95 % of them: what rows that differ by chance alone would give.
At the border classes are shuffled, at divergence points the points (among the rows that diverge). Our choice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mematlas.analyses.positions.profiles import Group, Values
from mematlas.stats.estimates.averages import ColumnEstimates, means

SHUFFLED: Final = "shuffled"
SHUFFLES: Final = 200
#: Our choice: means of more rows are normal; their spread is computed, or scaled from that of so many.
MAX_ROWS: Final = 20_000
_BATCH_ROWS: Final = 200_000  # rows of values in memory at once
_ENDS: Final = (0.025, 0.975)
Indices = NDArray[np.int64]
#: Values of rows, shape (rows, columns), from their positions in the matrix of values and their columns at offset 0.
ValuesAt = Callable[[Indices, Indices], Values]


@dataclass(frozen=True, slots=True, eq=False)
class ShuffledRows:
    """The rows among which labels are shuffled: (model, alignment) -> their indices and origins, see `Group`."""

    pools: dict[tuple[str, str], tuple[Indices, Indices]]

    def means(self, group: Group, values_at: ValuesAt, *, fewest: int = 2) -> ColumnEstimates:
        """The means of a group (see `averages.means`); of a shuffled group mean and middle 95 % over shuffles."""
        own = means(values_at(group.indices, group.origins), fewest=fewest)
        if group.key["role"] != SHUFFLED:
            return own
        indices, origins = self.pools[group.key["model"], group.key["alignment"]]
        if not group.at_boundary:
            count = min(len(group.indices), MAX_ROWS)
            centers = _means_at_shuffled_points(group.indices, origins, count, values_at)
            return _over_shuffles(centers, own.count, (count / len(group.indices)) ** 0.5)
        pool = values_at(indices, origins)
        if len(pool) > MAX_ROWS:
            return _normal_means(pool, len(group.indices), own.count)
        known, subsets = ~np.isnan(pool), _subsets(len(pool), len(group.indices))
        with np.errstate(invalid="ignore"):
            centers = (subsets @ np.where(known, pool, 0.0)) / (subsets @ known)
        return _over_shuffles(centers, own.count, 1.0)


@lru_cache(maxsize=8)
def _subsets(rows: int, count: int) -> Values:
    """Random subsets of `count` of `rows` rows, one a shuffle: 1 for a row in it, else 0; shape (shuffles, rows)."""
    order = np.random.default_rng((0, rows, count)).random((SHUFFLES, rows)).argsort(axis=1)
    return (order < count).astype(np.float64)


def _means_at_shuffled_points(indices: Indices, origins: Indices, count: int, values_at: ValuesAt) -> Values:
    """Means of `count` of the rows at origins drawn from `origins`; shape (shuffles, columns)."""
    generator, batch = np.random.default_rng((1, len(origins), len(indices))), max(1, _BATCH_ROWS // count)
    parts = []
    for start in range(0, SHUFFLES, batch):
        shuffles = range(start, min(start + batch, SHUFFLES))
        points = np.stack([generator.choice(origins, count, replace=False) for _ in shuffles])
        rows = indices[:count] if count == len(indices) else generator.choice(indices, count, replace=False)
        values = values_at(np.tile(rows, len(shuffles)), points.ravel()).reshape(len(shuffles), count, -1)
        known = ~np.isnan(values)
        with np.errstate(invalid="ignore"):
            parts.append(np.where(known, values, 0.0).sum(1) / known.sum(1))
    return np.concatenate(parts)


def _normal_means(pool: Values, count: int, known: NDArray[np.int64]) -> ColumnEstimates:
    """What infinitely many shuffles give where means are normal: `count` of the rows of `pool`, without replacement."""
    center = means(pool)
    deviation = np.nanstd(pool, axis=0, ddof=1) * ((1 - count / len(pool)) / count) ** 0.5
    spread = np.where(deviation > 0, 1.96 * deviation, np.nan)
    interval = f"middle 95 % of {SHUFFLES} shuffles"
    lower, upper = center.estimate - spread, center.estimate + spread
    return ColumnEstimates(center.estimate, lower, upper, known, center.clusters, center.design_effect, interval)


def shuffled_rows(groups: Sequence[Group]) -> ShuffledRows:
    """The pools of the shuffled groups among `groups`."""
    members: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        if group.key["role"] == SHUFFLED:
            members.setdefault((group.key["model"], group.key["alignment"]), []).append(group)
    return ShuffledRows(
        {
            key: (np.concatenate([group.indices for group in pool]), np.concatenate([group.origins for group in pool]))
            for key, pool in members.items()
        }
    )


def shuffled_difference(values: Values, other_values: Values) -> tuple[int, int, float, float, float] | None:
    """`boundary_step.welch_difference` with the labels of both groups shuffled: its mean and middle 95 %.

    Args, Returns: as `welch_difference`.
    """
    known, other_known = values[~np.isnan(values)], other_values[~np.isnan(other_values)]
    if not len(known) or not len(other_known):
        return None
    pool, generator = np.concatenate([known, other_known]), np.random.default_rng((0, len(known), len(other_known)))
    differences = np.empty((SHUFFLES, 1))
    for shuffle in range(SHUFFLES):
        permuted = generator.permutation(pool)
        differences[shuffle] = permuted[: len(known)].mean() - permuted[len(known) :].mean()
    result = _over_shuffles(differences, np.zeros(1, np.int64), 1.0)
    numbers = result.estimate[0], result.lower[0], result.upper[0]
    return len(known), len(other_known), *numbers


def _over_shuffles(centers: Values, count: NDArray[np.int64], scale: float) -> ColumnEstimates:
    """Mean and quantiles of each column of (shuffles, columns); NaN where all shuffles are, or all are the same."""
    estimates = np.full((3, centers.shape[1]), np.nan)
    for column in np.flatnonzero(~np.isnan(centers).all(0)):
        known = centers[~np.isnan(centers[:, column]), column]
        mean = known.mean()
        estimates[0, column] = mean
        if np.ptp(known) > 1e-12 * np.abs(known).max():
            lower, upper = scale * (np.quantile(known, _ENDS) - mean)
            # the mean of a few rows with one far above all others may be outside of the middle 95 %
            estimates[1:, column] = mean + min(lower, 0.0), mean + max(upper, 0.0)
    interval, unknown = f"middle 95 % of {SHUFFLES} shuffles", np.full(len(count), np.nan)
    return ColumnEstimates(estimates[0], estimates[1], estimates[2], count, count, unknown, interval)
