"""One-sided permutation tests whose unit is the document: is a number higher in training rows, or in one model?

Rows of a document (a cluster) stay together, so that they need not be independent. p = (1 + permutations with at least
this statistic) / (1 + permutations), which is never 0 and keeps its level (Phipson and Smyth 2010).
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

PERMUTATIONS: Final = 9_999
_MAX_RANDOM_NUMBERS: Final = 2_000_000  # random numbers in memory at once

Floats = NDArray[np.float64]


def p_of_higher_in_members(
    values: ArrayLike, member: ArrayLike, clusters: ArrayLike, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> float:
    """Whether the mean over rows is higher in members than in others; labels are permuted between whole clusters.

    Args:
        values: shape (rows,). member: shape (rows,). clusters: shape (rows,), any numbers.

    Returns:
        the p-value; NaN without clusters on both sides.

    Raises:
        ValueError: a cluster has rows on both sides.
    """
    sums, rows, labels = _by_cluster(values, clusters)
    inside = np.bincount(labels, np.asarray(member, bool), minlength=len(rows))
    if ((inside > 0) & (inside < rows)).any():
        raise ValueError("a cluster has rows on both sides")
    is_member = inside > 0
    if is_member.all() or not is_member.any():
        return float("nan")
    generator = np.random.default_rng(seed)
    observed = _difference(is_member[None].astype(float), sums, rows)[0]
    members, batch, at_least = int(is_member.sum()), max(1, _MAX_RANDOM_NUMBERS // len(rows)), 0
    for start in range(0, permutations, batch):
        keys = generator.random((min(batch, permutations - start), len(rows)))
        drawn = np.argpartition(keys, members - 1, axis=1)[:, :members]
        labels_drawn = np.zeros(keys.shape)
        np.put_along_axis(labels_drawn, drawn, 1.0, axis=1)
        at_least += int((_difference(labels_drawn, sums, rows) >= observed - _tolerance(sums)).sum())
    return (1 + at_least) / (1 + permutations)


def p_of_positive_mean(
    differences: ArrayLike, clusters: ArrayLike, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> float:
    """Whether paired differences are positive on average; the signs of whole clusters are flipped.

    Args:
        differences: shape (rows,). clusters: shape (rows,), any numbers.

    Returns:
        the p-value; NaN without rows.
    """
    sums, rows, _ = _by_cluster(differences, clusters)
    if not len(rows):
        return float("nan")
    generator = np.random.default_rng(seed)
    observed, batch, at_least = sums.sum(), max(1, _MAX_RANDOM_NUMBERS // len(sums)), 0
    for start in range(0, permutations, batch):
        signs = generator.integers(0, 2, (min(batch, permutations - start), len(sums))) * 2.0 - 1
        at_least += int((signs @ sums >= observed - _tolerance(sums)).sum())
    return (1 + at_least) / (1 + permutations)


def holm(p_values: ArrayLike) -> Floats:
    """p-values adjusted for their number (Holm 1979); NaN stays NaN and does not count."""
    p = np.asarray(p_values, np.float64)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted = np.full(p.shape, np.nan)
    scaled = p[order] * (len(order) - np.arange(len(order)))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def _by_cluster(values: ArrayLike, clusters: ArrayLike) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Sums and numbers of rows of every cluster, and the cluster of every row."""
    array = np.asarray(values, np.float64)
    _, labels = np.unique(np.asarray(clusters), return_inverse=True)
    labels = labels.reshape(-1).astype(np.int64)
    if array.shape != labels.shape or np.isnan(array).any():
        raise ValueError(f"values {array.shape} and clusters {labels.shape} are of the same rows, none missing")
    count = int(labels.max()) + 1 if len(labels) else 0
    sums = np.bincount(labels, array, minlength=count).astype(np.float64)
    return sums, np.bincount(labels, minlength=count).astype(np.float64), labels


def _difference(is_member: Floats, sums: Floats, rows: Floats) -> Floats:
    """Mean over rows of members minus that of the others, for every line of `is_member` [lines, clusters]."""
    inside, rows_inside = is_member @ sums, is_member @ rows
    return np.asarray(inside / rows_inside - (sums.sum() - inside) / (rows.sum() - rows_inside))


def _tolerance(sums: Floats) -> float:
    """Rounding must not make permutations with the same statistic differ."""
    return 1e-9 * float(np.abs(sums).max(initial=0.0))
