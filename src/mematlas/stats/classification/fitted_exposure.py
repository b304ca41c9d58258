"""Exposure beyond the number of references: by the tail of a skew-normal distribution fitted to them.

Carlini et al. 2019, 1802.08232, section 4.3: among n references no rank is better than 1, so that exposure ends at
log2(n + 1) bits. The scores of random secrets follow a skew-normal distribution closely, and its tail goes on.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kstest, skewnorm

Floats = NDArray[np.float64]
_FAR: Final = 1e-9  # below, the tail is integrated relative to its density, since probabilities lose their digits
_NODES, _WEIGHTS = np.polynomial.laguerre.laggauss(40)


@dataclass(frozen=True, slots=True, eq=False)
class FittedExposures:
    """bits: [rows]; fit_p: of the Kolmogorov-Smirnov test of the references against the fitted distribution: a small
    one means that it does not describe them, a large one is no proof, as it was fitted to them."""

    bits: Floats
    fit_p: float


def fitted_exposures(scores: ArrayLike, references: ArrayLike, size: float) -> FittedExposures:
    """Exposure of each row: -log2 of the chance that a reference scores at least as high, by the fitted distribution.

    Args:
        scores: shape (rows,); references: shape (references,), of rows outside the training data; higher scores are
            likelier to be known; none missing.
        size: number of possible values; no exposure is above its log2.

    Raises:
        ValueError: the references are fewer than 3, or all equal.
    """
    losses, known = -np.asarray(scores, float), -np.asarray(references, float)
    if len(known) < 3 or np.ptp(known) == 0:
        raise ValueError("a distribution is fitted to at least 3 references that are not all equal")
    shape, location, scale = (float(value) for value in skewnorm.fit(known))
    bits = np.array([-_log_cdf((loss - location) / scale, shape) / np.log(2) for loss in losses])
    return FittedExposures(
        np.clip(bits, 0.0, np.log2(size)), float(kstest(known, skewnorm(shape, location, scale).cdf).pvalue)
    )


def _log_cdf(z: float, shape: float) -> float:
    """log P(Z <= z) of the standard skew-normal distribution, right to the last digits also far out."""
    probability = float(skewnorm.cdf(z, shape))
    if probability > _FAR:
        return float(np.log(min(1.0, probability)))
    density = float(skewnorm.logpdf(z, shape))
    rate = abs(z) * (1 + max(shape, 0.0) ** 2)  # at which the density falls there, as exp(-rate * x)
    terms = _NODES + skewnorm.logpdf(z - _NODES / rate, shape) - density
    return density + float(np.log(_WEIGHTS @ np.exp(terms) / rate))
