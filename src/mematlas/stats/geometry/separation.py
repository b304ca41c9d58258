"""How well the groups of rows are apart from each other, by their distances: silhouette and nearest-neighbour purity.

Sources: Rousseeuw (1987) for silhouettes; purity is the share of rows whose nearest other row is of their group (the
leave-one-out accuracy of the 1-nearest-neighbour rule, Cover and Hart 1967). The null permutes the groups among rows.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

PERMUTATIONS: Final = 499  # our choice
_AT_ONCE: Final = 100  # permutations held at once
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Separation:
    """A number with what permuted groups give: mean, 2.5 and 97.5 % quantile, and the one-sided p = (1 + permutations
    at least as far apart) / (1 + permutations), which is never 0 (Phipson and Smyth 2010)."""

    estimate: float
    null: float
    lower: float
    upper: float
    p: float


def separation(
    distances: ArrayLike, groups: ArrayLike, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> dict[str, Separation]:
    """The mean silhouette ("silhouette", -1 to 1) and nearest-neighbour purity ("purity", 0 to 1), each with its null.

    A row of a group of its own has silhouette 0; of several nearest rows (ties) each counts its part. Without groups
    behind the numbers the silhouette is about 0 and the purity about the sum of the groups' squared shares.

    Args:
        distances: shape (rows, rows), symmetric, all measured.
        groups: shape (rows,), any whole numbers, of two groups at least.
        seed: of the generator; the same input gives the same numbers.

    Raises:
        ValueError: shapes differ, a distance is missing, there are not two groups, or permutations is below 1.
    """
    distances, groups = np.asarray(distances, dtype=np.float64), np.asarray(groups)
    if groups.ndim != 1 or distances.shape != (len(groups), len(groups)) or np.isnan(distances).any():
        raise ValueError("distances must be of shape (rows, rows), with none missing, and groups of shape (rows,)")
    sizes = np.unique(groups, return_counts=True)[1]
    if len(sizes) < 2 or permutations < 1:
        raise ValueError(f"two groups and one permutation are needed, not {len(sizes)} and {permutations}")
    number = np.unique(groups, return_inverse=True)[1]
    nearest = _nearest(distances)
    generator = np.random.default_rng(seed)
    drawn = []
    for start in range(0, permutations, _AT_ONCE):
        orders = [generator.permutation(number) for _ in range(min(_AT_ONCE, permutations - start))]
        drawn.append(_measures(distances, nearest, np.stack(orders), sizes))
    observed = _measures(distances, nearest, number[None], sizes)[:, 0]
    null = np.concatenate(drawn, axis=1)
    return {name: _beside(observed[at], null[at]) for at, name in enumerate(("silhouette", "purity"))}


def _beside(estimate: float, null: Floats) -> Separation:
    # permutations that give the same number must not be told apart by rounding
    further = int((null >= estimate - 1e-9).sum())
    lower, upper = np.quantile(null, (0.025, 0.975))
    # the mean of a skew null that hardly varies may lie beyond a quantile by rounding
    mean = float(np.clip(null.mean(), null.min(), null.max()))
    return Separation(
        float(estimate), mean, min(float(lower), mean), max(float(upper), mean), (1 + further) / (1 + len(null))
    )


def _nearest(distances: Floats) -> Floats:
    """[rows, rows]: 1 at each row's nearest other row, parts of 1 where several are equally near."""
    others = distances.copy()
    np.fill_diagonal(others, np.inf)
    near = others <= others.min(1, keepdims=True) * (1 + 1e-9)
    return near / near.sum(1, keepdims=True)


def _measures(distances: Floats, nearest: Floats, numbers: NDArray[np.int64], sizes: NDArray[np.int64]) -> Floats:
    """Mean silhouette and purity, [2, permutations]. numbers: [permutations, rows], from 0."""
    belongs = (numbers[:, :, None] == np.arange(len(sizes))).astype(np.float64)  # [permutations, rows, groups]
    flat = belongs.transpose(1, 0, 2).reshape(len(distances), -1)
    shape = (len(distances), len(numbers), len(sizes))
    sums, near = ((matrix @ flat).reshape(shape).transpose(1, 0, 2) for matrix in (distances, nearest))
    own_size = sizes[numbers]
    own = (sums * belongs).sum(2) / np.maximum(own_size - 1, 1)
    other = np.where(belongs > 0, np.inf, sums / sizes).min(2)
    most = np.maximum(own, other)
    wide = np.where((own_size > 1) & (most > 0), (other - own) / np.where(most > 0, most, 1), 0)
    return np.stack([wide.mean(1), (near * belongs).sum(2).mean(1)])
