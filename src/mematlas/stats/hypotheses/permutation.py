"""Permutation test of a stratified difference: does the group differ from the others by more than chance explains?

Source: Fisher (1935), The Design of Experiments; labels are permuted within strata, so that differences between
strata do not contribute. p = (1 + permutations with at least this difference) / (1 + permutations), which is never 0
and keeps its level (Phipson and Smyth 2010).
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mematlas.stats.estimates.contrasts import strata_with_both_groups

PERMUTATIONS: Final = 999
_MAX_RANDOM_NUMBERS: Final = 2_000_000  # random numbers in memory at once


def permutation_p_values(
    values: ArrayLike,
    member: ArrayLike,
    stratum: ArrayLike | None = None,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Two-sided p-value of the stratified difference (`contrasts.stratified_difference`) of each column.

    All columns share the same permutations.

    Args:
        values: shape (rows, columns), none missing. member: shape (rows,), whether a row belongs to the group.
        stratum: shape (rows,), any numbers; None means one stratum.
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
    # rounding must not make permutations with the same difference differ
    tolerance = 1e-9 * np.abs(values).max(0)
    at_least_as_far = (np.abs(permuted) >= np.abs(observed) - tolerance).sum(0)
    return (1 + at_least_as_far) / (1 + permutations)


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
