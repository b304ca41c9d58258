"""Memorization in bits: how much shorter a model's code for a sequence is than that of a reference (K12).

Source: Morris et al. 2025. With the probabilities that a model and a reference give a whole sequence x, the unintended
memorization is mem(x) = -log2 p_ref(x) + log2 max(p(x), p_ref(x)): never below 0, since the better of the two codes is
taken. The reference knows the language, but not x. Of uniform random sequences it is known exactly: log2 of the number
of symbols for each token.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def unintended_bits(log_probabilities: ArrayLike, references: ArrayLike) -> Floats:
    """mem(x) in bits, shape as the input; NaN where either is NaN.

    Args:
        log_probabilities: of each sequence under the model, in nats; references: under the reference.
    """
    return np.maximum(0.0, code_difference(log_probabilities, references))


def code_difference(log_probabilities: ArrayLike, references: ArrayLike) -> Floats:
    """log2 p(x) - log2 p_ref(x) in bits, which is below 0 where the reference has the better code."""
    difference = np.asarray(log_probabilities, np.float64) - np.asarray(references, np.float64)
    return np.asarray(difference / np.log(2))


def uniform_log_probability(tokens: int, symbols: int) -> float:
    """The log-probability, in nats, of a sequence of uniformly drawn tokens: the negative entropy of its source."""
    return -tokens * float(np.log(symbols))
