"""Means over pairs of rows for many labelings of the same rows at once, such as shuffled ones."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def labeled_pair_means(matrix: ArrayLike, labels: ArrayLike, count: int) -> Floats:
    """The mean of the matrix over pairs of different rows, one of each label; shape (labelings, count, count).

    NaN where a labeling has no such pair.

    Args:
        matrix: shape (rows, rows), symmetric; rows with NaN on the diagonal are missing.
        labels: shape (labelings, rows), 0 to count - 1, other numbers for rows that are left out.
    """
    matrix, labels = np.asarray(matrix, dtype=np.float64), np.asarray(labels)
    diagonal = np.diag(matrix)
    is_labeled = (labels >= 0) & (labels < count)
    present = np.flatnonzero(np.bincount(labels[is_labeled], minlength=count))
    used = np.flatnonzero(~np.isnan(diagonal) & is_labeled.any(0))
    # [rows, labels, labelings]
    one_hot = (labels[:, used].T[:, None, :] == present[:, None]).astype(np.float64)
    flat = one_hot.reshape(len(used), len(present) * len(labels))
    row_sums = (matrix[np.ix_(used, used)] @ flat).reshape(one_hot.shape)
    sizes, own = one_hot.sum(0), np.einsum("i,ias->as", diagonal[used], one_hot)
    result = np.full((len(labels), count, count), np.nan)
    for first, label in enumerate(present):
        for second, other in enumerate(present[first:], first):
            same = first == second
            totals = np.einsum("is,is->s", one_hot[:, first], row_sums[:, second]) - same * own[first]
            pairs = sizes[first] * (sizes[second] - same)
            means = np.where(pairs > 0, totals / np.where(pairs > 0, pairs, 1), np.nan)
            result[:, label, other] = result[:, other, label] = means
    return result
