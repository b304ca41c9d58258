"""Permutation test of a stratified difference: does the group differ from the others by more than chance explains?

Source: Fisher (1935), The Design of Experiments; labels are permuted within strata, so that differences between
strata do not contribute. p = (1 + permutations with at least this difference) / (1 + permutations), which is never 0
and keeps its level (Phipson and Smyth 2010).

Rows of a cluster (documents, or copies of one text) are not independent, and a cluster may have rows of both groups, so
that labels cannot be permuted between clusters of different size. With clusters the difference is written as a sum of
one term a cluster, (label - share of the group) * (value - mean) over its rows, whose signs are flipped at random:
without an effect a term is as likely to be positive as negative (a wild bootstrap of the score, Kline and Santos 2012,
with Rademacher weights).
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mematlas.stats.estimates.clustered import dense_labels, sum_by_label
from mematlas.stats.estimates.contrasts import Strata, strata_with_both_groups

PERMUTATIONS: Final = 999
_MAX_RANDOM_NUMBERS: Final = 2_000_000  # random numbers in memory at once


def permutation_p_values(
    values: ArrayLike,
    member: ArrayLike,
    stratum: ArrayLike | None = None,
    *,
    clusters: ArrayLike | None = None,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Two-sided p-value of the stratified difference (`contrasts.stratified_difference`) of each column.

    All columns share the same permutations.

    Args:
        values: shape (rows, columns), none missing. member: shape (rows,), whether a row belongs to the group.
        stratum: shape (rows,), any numbers; None means one stratum.
        clusters: shape (rows,), any numbers; rows of one number are not independent. None: all rows are.
        seed: of the random generator; the same input gives the same p-values.

    Returns:
        shape (columns,); NaN if no stratum contains both groups.

    Raises:
        ValueError: shapes differ, a value is missing, or permutations is below 1.
    """
    values = np.asarray(values, dtype=np.float64)
    strata = strata_with_both_groups(member, stratum)
    if values.ndim != 2 or len(values) != len(np.asarray(member)) or np.isnan(values).any():
        raise ValueError("values must be of shape (rows, columns), with no value missing")
    if permutations < 1:
        raise ValueError(f"permutations must be at least 1, not {permutations}")
    if not len(strata.rows):
        return np.full(values.shape[1], np.nan)
    generator = np.random.default_rng(seed)
    labels = dense_labels(None if clusters is None else np.asarray(clusters)[strata.rows], len(strata.rows))
    if labels is None:
        observed, permuted = _permuted_labels(values, strata, permutations, generator)
    else:
        observed, permuted = _flipped_signs(values, strata, labels, permutations, generator)
    # rounding must not make permutations with the same difference differ
    tolerance = 1e-9 * np.abs(values).max(0)
    at_least_as_far = (np.abs(permuted) >= np.abs(observed) - tolerance).sum(0)
    return (1 + at_least_as_far) / (1 + permutations)


def _permuted_labels(
    values: NDArray[np.float64], strata: Strata, permutations: int, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The difference of each column, and those with labels permuted within strata, [permutations, columns]."""
    observed = np.zeros(values.shape[1])
    permuted = np.zeros((permutations, values.shape[1]))
    for index, weight in enumerate(strata.weights):
        rows = strata.rows[strata.stratum == index]
        in_group = strata.member[strata.stratum == index]
        # only the difference of the group's sum from its expectation depends on the labels
        centered = values[rows] - values[rows].mean(0)
        factor = weight * (1 / in_group.sum() + 1 / (~in_group).sum())
        observed += factor * centered[in_group].sum(0)
        permuted += factor * _random_sums(centered, int(in_group.sum()), permutations, generator)
    return observed, permuted


def _flipped_signs(
    values: NDArray[np.float64],
    strata: Strata,
    labels: NDArray[np.int64],
    permutations: int,
    generator: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As `_permuted_labels`, with the signs of the clusters' terms flipped; labels: the clusters of strata.rows."""
    terms = np.zeros((len(labels), values.shape[1]))
    for index, weight in enumerate(strata.weights):
        in_stratum = np.flatnonzero(strata.stratum == index)
        in_group = strata.member[in_stratum]
        stratum_values = values[strata.rows[in_stratum]]
        factor = weight * (1 / in_group.sum() + 1 / (~in_group).sum())
        label = (in_group - in_group.mean())[:, None]
        terms[in_stratum] = factor * label * (stratum_values - stratum_values.mean(0))
    totals = sum_by_label(labels, terms)
    batch, flipped = max(1, _MAX_RANDOM_NUMBERS // len(totals)), []
    for start in range(0, permutations, batch):
        signs = generator.integers(0, 2, (min(batch, permutations - start), len(totals))) * 2.0 - 1
        flipped.append(signs @ totals)
    return totals.sum(0), np.concatenate(flipped)


def _random_sums(
    values: NDArray[np.float64], size: int, permutations: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Sums of `size` random rows, drawn without replacement; shape (permutations, columns)."""
    batch = max(1, _MAX_RANDOM_NUMBERS // len(values))
    sums = []
    for start in range(0, permutations, batch):
        keys = generator.random((min(batch, permutations - start), len(values)))
        largest_selected = np.partition(keys, size - 1, axis=1)[:, size - 1 : size]
        sums.append((keys <= largest_selected).astype(np.float64) @ values)
    return np.concatenate(sums)
