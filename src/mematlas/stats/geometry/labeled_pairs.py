"""Means over pairs of rows for many labelings of the same rows at once, such as shuffled ones."""

from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
_BLOCKS: Final = 4  # of rows: more save less than their smaller matrices cost


class Labelings:
    """Labelings of the same rows, for the means of several matrices over pairs of their labels.

    Args:
        labels: shape (labelings, rows), 0 to count - 1, other numbers for rows that are left out.
        count: number of labels.
    """

    def __init__(self, labels: ArrayLike, count: int) -> None:
        self._labels, self._count = np.asarray(labels), count
        is_labeled = (self._labels >= 0) & (self._labels < count)
        self._present = np.flatnonzero(np.bincount(self._labels[is_labeled], minlength=count))
        self._is_used = is_labeled.any(0)
        self._members = lru_cache(1)(self._members_of)  # most matrices lack the same rows

    def pair_means(self, matrix: ArrayLike) -> Floats:
        """The mean of the matrix over pairs of different rows, one of each label; shape (labelings, count, count).

        NaN where a labeling has no such pair.

        Args:
            matrix: shape (rows, rows), symmetric; rows with NaN on the diagonal are missing.
        """
        matrix = np.asarray(matrix, dtype=np.float64)
        used = np.flatnonzero(~np.isnan(np.diag(matrix)) & self._is_used)
        result = np.full((len(self._labels), self._count, self._count), np.nan)
        if not len(used):
            return result
        members, values = self._members(used.tobytes()), matrix[np.ix_(used, used)]
        center = values.mean()
        np.fill_diagonal(values, center)  # a row is no pair with itself
        totals = _pair_sums((values - center).astype(np.float32), members)
        sizes = members.sum(2, dtype=np.float64)
        pairs = sizes[:, :, None] * (sizes[:, None, :] - np.eye(len(self._present)))
        means = np.where(pairs > 0, center + totals / np.where(pairs > 0, pairs, 1), np.nan)
        result[:, self._present[:, None], self._present] = means
        return result

    def _members_of(self, used: bytes) -> Singles:
        """Membership 0 or 1 in the labels that occur, [labelings, labels, used rows]; used: their numbers, int64."""
        labels = self._labels[:, np.frombuffer(used, np.int64)]
        return (labels[:, None, :] == self._present[:, None]).astype(np.float32)


def _pair_sums(matrix: Singles, members: Singles) -> Floats:
    """The sums of a symmetric matrix over pairs of rows, one of each label, [labelings, labels, labels].

    Only blocks of the upper triangle are multiplied, those on the diagonal halved; the rest is their transpose. In
    float32, since the values are centered: the error of a mean is below a millionth of what single pairs differ by.
    """
    labelings, labels, rows = members.shape
    flat = members.reshape(labelings * labels, rows)
    products = np.empty_like(flat)
    ends = np.linspace(0, rows, min(_BLOCKS, rows) + 1).astype(int)
    for start, end in pairwise(ends):
        block = matrix[:end, start:end].copy()
        block[start:] /= 2
        np.matmul(flat[:, :end], block, out=products[:, start:end])
    half = (products.reshape(members.shape) @ members.transpose(0, 2, 1)).astype(np.float64)
    return half + half.transpose(0, 2, 1)
