"""How often chance gives a mean exposure (K5): exact for rows and references that were drawn alike, whatever from."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mematlas.stats.classification.membership import exposures

DRAWS: Final = 9_999


class ChanceExposure(NamedTuple):
    """at_least, at_most: p-values of a mean exposure as high, and as low, as that of the rows."""

    at_least: float
    at_most: float

    @property
    def different(self) -> float:
        """The two-sided p-value."""
        return min(1.0, 2 * min(self))


def exposure_by_chance(scores: ArrayLike, references: ArrayLike, seed: int = 0) -> ChanceExposure:
    """Compare the mean exposure of rows with that of rows drawn as the references are.

    Only ranks count, so these are drawn: rows at random places from the best to the worst score, and references between
    them. All rows are ranked among the same references, and therefore depend on each other, as they do in the draws.

    Args:
        scores: shape (rows,), at least one. references: shape (references,). None missing; ties are taken as chance.
    """
    observed = exposures(scores, references)
    rows, count = len(observed.bits), np.asarray(references).size
    generator = np.random.default_rng(seed)
    places = np.sort(generator.random((DRAWS, rows)), axis=1)
    between = np.diff(places, axis=1, prepend=0.0, append=1.0)  # of two rows that are next to each other
    above = np.cumsum(generator.multinomial(count, between), axis=1)[:, :-1]
    means = (observed.maximum - np.log2(1 + above)).mean(1)
    mean, rounding = observed.bits.mean(), 1e-9
    at_least, at_most = (means >= mean - rounding).sum(), (means <= mean + rounding).sum()
    return ChanceExposure((1 + int(at_least)) / (1 + DRAWS), (1 + int(at_most)) / (1 + DRAWS))
