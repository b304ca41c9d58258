"""The negative control of profiles: the same numbers with labels shuffled among the rows of a model, 200 times.

One shuffle is a draw of luck and may differ from another as much as a small effect does. The estimate is therefore the
mean over shuffles, and the interval holds the middle 95 % of them: what rows that differ by chance alone would give.
At the border classes are shuffled, at divergence points the points (among the rows that diverge). Our choice. Where
rows come in clusters labels move in whole clusters (stats/hypotheses/label_shuffles.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mematlas.analyses.positions.profiles import Group, Values
from mematlas.stats.estimates.averages import ColumnEstimates, means
from mematlas.stats.estimates.clustered import dense_labels, sum_by_label
from mematlas.stats.hypotheses.label_shuffles import SHUFFLES, label_shuffles, mean_and_middle

SHUFFLED: Final = "shuffled"
#: Our choice: means of more rows are normal; their spread is computed, or scaled from that of so many.
MAX_ROWS: Final = 20_000
#: Our choice: so many shuffles of clusters give the spread of normal means to 10 %.
_SHUFFLES_OF_MANY: Final = 50
_MANY_ROWS: Final = 5_000
_BATCH_ROWS: Final = 200_000  # rows of values in memory at once
Indices = NDArray[np.int64]
#: Values of rows, shape (rows, columns), from their positions in the matrix of values and their columns at offset 0.
ValuesAt = Callable[[Indices, Indices], Values]
#: Rows of both classes, difference of their means, lower and upper end of its interval, clusters of all rows.
Difference = tuple[int, int, float, float, float, int]


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """The rows among which labels are shuffled.

    indices, origins: [n], see `Group`; classes: [n], the class of each; clusters: [n], None where all are independent.
    """

    indices: Indices
    origins: Indices
    classes: NDArray[np.str_]
    clusters: Indices | None


@dataclass(frozen=True, slots=True, eq=False)
class ShuffledRows:
    """(model, alignment) -> the rows among which labels are shuffled."""

    pools: dict[tuple[str, str], Pool]

    def means(self, group: Group, values_at: ValuesAt, *, fewest: int = 2) -> ColumnEstimates:
        """The means of a group (see `averages.means`); of a shuffled group mean and middle 95 % over shuffles."""
        own = means(values_at(group.indices, group.origins), fewest=fewest, clusters=group.clusters)
        if group.key["role"] != SHUFFLED:
            return own
        pool = self.pools[group.key["model"], group.key["alignment"]]
        if not group.at_boundary:
            count = min(len(group.indices), MAX_ROWS)
            if pool.clusters is None:
                centers = _means_at_shuffled_points(group.indices, pool.origins, count, values_at)
            else:
                centers, count = _means_at_points_of_clusters(group, pool, pool.clusters, values_at)
                if len(centers) == _SHUFFLES_OF_MANY:
                    scale = (count / len(group.indices)) ** 0.5
                    return _normal_estimates(centers.mean(0), centers.std(0, ddof=1) * scale, own)
            return _over_shuffles(centers, own, (count / len(group.indices)) ** 0.5)
        values = values_at(pool.indices, pool.origins)
        if len(values) > MAX_ROWS:
            return _normal_means(values, pool.classes == group.key["class"], pool.clusters, own)
        known = ~np.isnan(values)
        subsets = (
            _subsets(len(values), len(group.indices))
            if pool.clusters is None
            else _subsets_of_clusters(pool.classes == group.key["class"], pool.clusters)
        )
        with np.errstate(invalid="ignore"):
            centers = (subsets @ np.where(known, values, 0.0)) / (subsets @ known)
        return _over_shuffles(centers, own, 1.0)


def shuffled_rows(groups: Sequence[Group]) -> ShuffledRows:
    """The pools of the shuffled groups among `groups`."""
    members: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        if group.key["role"] == SHUFFLED:
            members.setdefault((group.key["model"], group.key["alignment"]), []).append(group)
    return ShuffledRows({key: _pool(pool) for key, pool in members.items()})


def _pool(groups: Sequence[Group]) -> Pool:
    indices, origins = (np.concatenate([getattr(group, name) for group in groups]) for name in ("indices", "origins"))
    classes = np.repeat([group.key["class"] for group in groups], [len(group.indices) for group in groups])
    return Pool(indices, origins, classes, dense_labels(_joined([group.clusters for group in groups]), len(indices)))


def _joined(clusters: Sequence[Indices | None]) -> Indices | None:
    """The clusters of the rows of several groups one after another; None where all rows are independent."""
    known = [part for part in clusters if part is not None]
    return np.concatenate(known) if len(known) == len(clusters) else None


# ------------------------------------------------------------------------------------------------- one shuffle a number


@lru_cache(maxsize=8)
def _subsets(rows: int, count: int) -> Values:
    """Random subsets of `count` of `rows` rows, one a shuffle: 1 for a row in it, else 0; shape (shuffles, rows)."""
    order = np.random.default_rng((0, rows, count)).random((SHUFFLES, rows)).argsort(axis=1)
    return (order < count).astype(np.float64)


def _subsets_of_clusters(member: NDArray[np.bool_], clusters: Indices) -> Values:
    """As `_subsets`: the rows that are `member` [rows] once this label is shuffled in whole clusters."""
    generator = np.random.default_rng((0, len(member), int(member.sum())))
    sources = label_shuffles(len(member), clusters, SHUFFLES, generator)
    return np.stack([member[rows] for rows in sources]).astype(np.float64)


def _means_at_shuffled_points(indices: Indices, origins: Indices, count: int, values_at: ValuesAt) -> Values:
    """Means of `count` of the rows at origins drawn from `origins`; shape (shuffles, columns)."""
    generator, batch = np.random.default_rng((1, len(origins), len(indices))), max(1, _BATCH_ROWS // count)
    parts = []
    for start in range(0, SHUFFLES, batch):
        shuffles = range(start, min(start + batch, SHUFFLES))
        points = np.stack([generator.choice(origins, count, replace=False) for _ in shuffles])
        rows = indices[:count] if count == len(indices) else generator.choice(indices, count, replace=False)
        values = values_at(np.tile(rows, len(shuffles)), points.ravel()).reshape(len(shuffles), count, -1)
        parts.append(_known_means(values))
    return np.concatenate(parts)


def _means_at_points_of_clusters(
    group: Group, pool: Pool, clusters: Indices, values_at: ValuesAt
) -> tuple[Values, int]:
    """As `_means_at_shuffled_points`, with the points of whole clusters, and the rows used: at most about MAX_ROWS."""
    generator = np.random.default_rng((1, len(pool.origins), len(group.indices)))
    member = pool.classes == group.key["class"]
    if member.sum() > MAX_ROWS:
        order = generator.permutation(int(clusters.max()) + 1)
        rows_before = np.cumsum(np.bincount(clusters, member)[order])
        chosen = order[: 1 + int(np.searchsorted(rows_before, MAX_ROWS))]
        member &= np.isin(clusters, chosen)
    rows = pool.indices[member]
    shuffles = SHUFFLES if len(rows) <= _MANY_ROWS else _SHUFFLES_OF_MANY
    sources = label_shuffles(len(member), clusters, shuffles, generator)
    centers = [_known_means(values_at(rows, pool.origins[source[member]])[None])[0] for source in sources]
    return np.stack(centers), len(rows)


def _known_means(values: Values) -> Values:
    """Means over the second axis of known values; NaN where there are none."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(1) / known.sum(1)


def _over_shuffles(centers: Values, own: ColumnEstimates, scale: float) -> ColumnEstimates:
    """`mean_and_middle` of the shuffles; own: the means of the rows that have the label, for their numbers."""
    return _estimates(*mean_and_middle(centers, scale), own)


def _estimates(estimate: Values, lower: Values, upper: Values, own: ColumnEstimates) -> ColumnEstimates:
    unknown, interval = np.full(len(estimate), np.nan), f"middle 95 % of {SHUFFLES} shuffles"
    return ColumnEstimates(estimate, lower, upper, own.count, own.clusters, unknown, interval)


# ---------------------------------------------------------------------------------------------------- of very many rows


def _normal_means(
    pool: Values, member: NDArray[np.bool_], clusters: Indices | None, own: ColumnEstimates
) -> ColumnEstimates:
    """What infinitely many shuffles give where means are normal: as many of the rows of `pool` as are `member`."""
    center, count = means(pool).estimate, int(member.sum())
    if clusters is None:
        deviation = np.nanstd(pool, axis=0, ddof=1) * ((1 - count / len(pool)) / count) ** 0.5
    else:
        deviation = _deviation_over_clusters(pool, member, clusters) / np.maximum(own.count, 1)
    return _normal_estimates(center, deviation, own)


def _normal_estimates(center: Values, deviation: Values, own: ColumnEstimates) -> ColumnEstimates:
    spread = np.where(deviation > 0, 1.96 * deviation, np.nan)
    return _estimates(center, center - spread, center + spread, own)


def _deviation_over_clusters(pool: Values, member: NDArray[np.bool_], clusters: Indices) -> Values:
    """Standard deviation of a group's sum where labels tell nothing, per column: root of the sum of squared totals.

    They are those of (label - share of the group) * (value - mean) over the rows of each cluster, as in
    `hypotheses.permutation`.
    """
    known = ~np.isnan(pool)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (known & member[:, None]).sum(0) / known.sum(0)
    terms = np.where(known, (member[:, None] - share) * (pool - _known_means(pool[None])[0]), 0.0)
    return np.sqrt(np.square(sum_by_label(clusters, terms)).sum(0))


# ------------------------------------------------------------------------------------------------------ the difference


def known_values(
    values: Values, other_values: Values, clusters: Indices | None, other_clusters: Indices | None
) -> tuple[Values, NDArray[np.bool_], Indices | None]:
    """The known values of two groups one after another, whether each is of the first, and their clusters."""
    all_values, labels = np.concatenate([values, other_values]), _joined([clusters, other_clusters])
    known = ~np.isnan(all_values)
    is_first = np.arange(len(all_values)) < len(values)
    return all_values[known], is_first[known], None if labels is None else labels[known]


def shuffled_difference(
    values: Values, other_values: Values, clusters: Indices | None = None, other_clusters: Indices | None = None
) -> Difference | None:
    """`boundary_step.welch_difference` with the labels of both groups shuffled: its mean and middle 95 %.

    Args, Returns: as `welch_difference`.
    """
    pool, is_first, numbers = known_values(values, other_values, clusters, other_clusters)
    first, second = int(is_first.sum()), int((~is_first).sum())
    if not first or not second:
        return None
    labels = dense_labels(numbers, len(pool))
    if labels is not None and len(pool) > MAX_ROWS:
        deviation = float(_deviation_over_clusters(pool[:, None], is_first, labels)[0]) * (1 / first + 1 / second)
        spread = 1.96 * deviation if deviation > 0 else np.nan
        return first, second, 0.0, -spread, spread, int(labels.max()) + 1
    generator, differences = np.random.default_rng((0, first, second)), np.full((SHUFFLES, 1), np.nan)
    for shuffle, sources in enumerate(label_shuffles(len(pool), labels, SHUFFLES, generator)):
        # of independent rows the values are shuffled, which is the same
        shuffled, member = (pool[sources], is_first) if labels is None else (pool, is_first[sources])
        if member.any() and not member.all():
            differences[shuffle] = shuffled[member].mean() - shuffled[~member].mean()
    estimate, lower, upper = (float(numbers[0]) for numbers in mean_and_middle(differences))
    return first, second, estimate, lower, upper, len(pool) if labels is None else int(labels.max()) + 1
