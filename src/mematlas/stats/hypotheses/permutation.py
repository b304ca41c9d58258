"""Permutation test of a stratified difference: is the group apart from the others by more than chance would put it?

Source: Fisher (1935), The Design of Experiments; labels are permuted within strata, so that what the strata hold fixed
explains nothing of it. p = (1 + permutations at least as far apart) / (1 + permutations), which is never 0 and keeps
its level (Phipson and Smyth 2010).
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mematlas.stats.estimates.contrasts import with_both

PERMUTATIONS: Final = 999
_AT_ONCE: Final = 2_000_000  # random numbers held at once


def permutation_p(
    values: ArrayLike,
    member: ArrayLike,
    stratum: ArrayLike | None = None,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Two-sided p of the stratified difference (`contrasts.stratified_difference`) of each column.

    All columns share the same permutations.

    Args:
        values: shape (rows, columns), all measured. member: shape (rows,), whether a row is of the group.
        stratum: shape (rows,), any numbers; one stratum where None.
        seed: of the generator; the same input gives the same p.

    Returns:
        shape (columns,); NaN where no stratum holds both groups.

    Raises:
        ValueError: shapes differ, a value is missing, or permutations is below 1.
    """
    values = np.asarray(values, dtype=np.float64)
    strata = with_both(member, stratum)
    if values.ndim != 2 or len(values) != len(np.asarray(member)) or np.isnan(values).any():
        raise ValueError("values must be of shape (rows, columns), with no value missing")
    if permutations < 1:
        raise ValueError(f"permutations must be at least 1, not {permutations}")
    if not len(strata.rows):
        return np.full(values.shape[1], np.nan)
    generator = np.random.default_rng(seed)
    observed = np.zeros(values.shape[1])
    drawn = np.zeros((permutations, values.shape[1]))
    for number, weight in enumerate(strata.weights):
        here = strata.rows[strata.stratum == number]
        mine = strata.member[strata.stratum == number]
        # only how the group's sum differs from what is expected depends on the labels
        centred = values[here] - values[here].mean(0)
        factor = weight * (1 / mine.sum() + 1 / (~mine).sum())
        observed += factor * centred[mine].sum(0)
        drawn += factor * _sums(centred, int(mine.sum()), permutations, generator)
    # permutations that give the same difference must not be told apart by rounding
    slack = 1e-9 * np.abs(values).max(0)
    further = (np.abs(drawn) >= np.abs(observed) - slack).sum(0)
    return (1 + further) / (1 + permutations)


def _sums(
    values: NDArray[np.float64], size: int, permutations: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Sums of `size` rows drawn without replacement, shape (permutations, columns)."""
    step = max(1, _AT_ONCE // len(values))
    found = []
    for start in range(0, permutations, step):
        keys = generator.random((min(step, permutations - start), len(values)))
        last = np.partition(keys, size - 1, axis=1)[:, size - 1 : size]
        found.append((keys <= last).astype(np.float64) @ values)
    return np.concatenate(found)
