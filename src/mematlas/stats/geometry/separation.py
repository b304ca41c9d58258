"""How well groups of rows are separated, from their distances: silhouette and nearest-neighbor purity.

Sources: Rousseeuw (1987) for silhouettes; purity is the share of rows whose nearest other row is of their group (the
leave-one-out accuracy of the 1-nearest-neighbor rule, Cover and Hart 1967). The null distribution permutes the labels.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mematlas.stats.hypotheses.label_shuffles import label_shuffles

PERMUTATIONS: Final = 499  # our choice
_BATCH_SIZE: Final = 100  # permutations computed at once
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Separation:
    """A measure of separation, with its mean, 2.5 % and 97.5 % quantile under permuted groups and its p-value.

    p: one-sided, (1 + permutations with at least this value) / (1 + permutations), which is never 0 (Phipson and Smyth
    2010).
    """

    estimate: float
    null_mean: float
    null_lower: float
    null_upper: float
    p: float


def separation(
    distances: ArrayLike,
    groups: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> dict[str, Separation]:
    """The mean silhouette ("silhouette", -1 to 1) and nearest-neighbor purity ("purity", 0 to 1), each with its null.

    A row that is alone in its group has silhouette 0; tied nearest rows count equally. If groups make no difference,
    the silhouette is about 0 and the purity about the sum of the squared shares of the groups.

    Args:
        distances: shape (rows, rows), symmetric, none missing.
        groups: shape (rows,), any whole numbers, at least two groups.
        clusters: shape (rows,), any numbers; rows of one number are not independent, and their groups are permuted in
            whole clusters (`hypotheses.label_shuffles`). None: all rows are independent.
        seed: of the random generator; the same input gives the same numbers.

    Raises:
        ValueError: shapes differ, a distance is missing, there are not two groups, or permutations is below 1.
    """
    distances, groups = np.asarray(distances, dtype=np.float64), np.asarray(groups)
    if groups.ndim != 1 or distances.shape != (len(groups), len(groups)) or np.isnan(distances).any():
        raise ValueError("distances must be of shape (rows, rows), none missing, and groups of shape (rows,)")
    distinct, labels = np.unique(groups, return_inverse=True)
    if len(distinct) < 2 or permutations < 1:
        raise ValueError(f"at least two groups and one permutation are needed, not {len(distinct)} and {permutations}")
    nearest_weights = _nearest_weights(distances)
    generator = np.random.default_rng(seed)
    orders = [labels[rows] for rows in label_shuffles(len(labels), clusters, permutations, generator)]
    batches = [
        _silhouette_and_purity(distances, nearest_weights, np.stack(orders[start : start + _BATCH_SIZE]), len(distinct))
        for start in range(0, permutations, _BATCH_SIZE)
    ]
    observed = _silhouette_and_purity(distances, nearest_weights, labels[None], len(distinct))[:, 0]
    null = np.concatenate(batches, axis=1)
    return {name: _with_null(observed[i], null[i]) for i, name in enumerate(("silhouette", "purity"))}


def _with_null(estimate: float, null: Floats) -> Separation:
    # rounding must not make permutations with the same value differ
    at_least_as_high = int((null >= estimate - 1e-9).sum())
    lower, upper = np.quantile(null, (0.025, 0.975))
    # by rounding, the mean of a skewed null that hardly varies can be outside of the quantiles
    mean = float(np.clip(null.mean(), null.min(), null.max()))
    p = (1 + at_least_as_high) / (1 + len(null))
    return Separation(float(estimate), mean, min(float(lower), mean), max(float(upper), mean), p)


def _nearest_weights(distances: Floats) -> Floats:
    """[rows, rows]: 1 at each row's nearest other row; equal fractions where several are tied."""
    others = distances.copy()
    np.fill_diagonal(others, np.inf)
    is_nearest = others <= others.min(1, keepdims=True) * (1 + 1e-9)
    return is_nearest / is_nearest.sum(1, keepdims=True)


def _silhouette_and_purity(
    distances: Floats, nearest_weights: Floats, labels: NDArray[np.int64], groups: int
) -> Floats:
    """Mean silhouette and purity, [2, permutations]. labels: [permutations, rows], from 0 to groups - 1."""
    one_hot = (labels[:, :, None] == np.arange(groups)).astype(np.float64)  # [permutations, rows, groups]
    flat = one_hot.transpose(1, 0, 2).reshape(len(distances), -1)
    shape = (len(distances), len(labels), groups)
    sums, nearest_sums = ((matrix @ flat).reshape(shape).transpose(1, 0, 2) for matrix in (distances, nearest_weights))
    sizes = one_hot.sum(1)
    own_size = np.take_along_axis(sizes, labels, axis=1)
    own_distance = (sums * one_hot).sum(2) / np.maximum(own_size - 1, 1)
    # a group may have no row left where groups are permuted in whole clusters
    means = sums / np.maximum(sizes, 1)[:, None]
    other_distance = np.where((one_hot > 0) | (sizes == 0)[:, None], np.inf, means).min(2)
    larger = np.maximum(own_distance, other_distance)
    known = (own_size > 1) & (larger > 0) & np.isfinite(larger)
    silhouette = np.zeros_like(larger)
    silhouette[known] = (other_distance[known] - own_distance[known]) / larger[known]
    return np.stack([silhouette.mean(1), (nearest_sums * one_hot).sum(2).mean(1)])
