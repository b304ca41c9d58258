"""How alike the labels of rows (memorized by a model) or their scores are, between models."""

import numpy as np
from numpy.typing import NDArray


def correlations(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson correlation of every pair of columns (phi for Booleans); NaN where a column is constant.

    Args:
        values: shape (rows, models).

    Returns:
        shape (models, models), symmetric.
    """
    centered = values - (values.mean(axis=0) if len(values) else 0)
    scale = np.sqrt((centered**2).sum(axis=0))
    scale[scale < 1e-9] = np.nan
    return (centered.T @ centered) / np.outer(scale, scale)
