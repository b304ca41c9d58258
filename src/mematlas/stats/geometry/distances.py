"""Distances and cosine similarities of all pairs of rows; their means are in group_pairs.py.

Source: P1, Fig. 5 (Euclidean distance and cosine similarity between rows).
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
_TOLERANCE: Final = 1e-12  # smaller squared distances, relative to the squared lengths, are rounding errors


def standardize(states: ArrayLike) -> Floats:
    """Standardize each dimension over the rows, then multiply all by 1 / sqrt(2 width).

    The mean squared distance of two rows is then 1 (n / (n - 1) over n rows), whatever the width. Our choice.

    Args:
        states: shape (rows, width); a row with a value that is not finite counts as missing and becomes NaN.

    Returns:
        shape (rows, dimensions that are not constant); the width is 0 if all are constant.
    """
    values, measured = _without_missing(states)
    if not measured.any():
        return np.empty((len(values), 0))
    present = values[measured]
    deviations = present.std(0)
    # the mean of a constant column may differ from its values by rounding
    varying = deviations > 1e-9 * np.abs(present).max(0)
    result = np.full((len(values), int(varying.sum())), np.nan)
    result[measured] = (present - present.mean(0))[:, varying] / deviations[varying]
    return result / np.sqrt(2 * max(1, result.shape[1]))


def euclidean_distances(states: ArrayLike) -> Floats:
    """Euclidean distances of all pairs, [rows, rows], in the unit of the states.

    Distances below a millionth of the rows' lengths (after centering) are rounding errors and set to 0.

    Args:
        states: shape (rows, width); rows that are not finite have NaN distances; so have all rows if the width is 0.
    """
    values, measured = _without_missing(states)
    if measured.any():
        values = values - values[measured].mean(0)
    values[~measured] = 0
    products = values @ values.T
    lengths = np.diag(products)[:, None] + np.diag(products)
    squares = np.subtract(lengths, np.multiply(products, 2, out=products), out=products)
    lengths *= _TOLERANCE
    squares[squares < lengths] = 0
    return _mask_missing(np.sqrt(squares, out=squares), measured & np.full(len(measured), values.shape[1] > 0))


def cosine_similarities(states: ArrayLike) -> Floats:
    """Cosine similarities of all pairs, [rows, rows], -1 to 1; NaN for rows of length 0. See `euclidean_distances`."""
    values, measured = _without_missing(states)
    lengths = np.linalg.norm(values, axis=1)
    measured = measured & (lengths > 0)
    values = values / np.where(measured, lengths, 1)[:, None]
    values[~measured] = 0
    products = values @ values.T
    return _mask_missing(np.clip(products, -1, 1, out=products), measured)


def _without_missing(states: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """A copy in which missing rows are 0, and a mask of the rows that are not missing."""
    values = np.array(states, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"states must be of shape (rows, width), not {values.shape}")
    measured = np.asarray(np.isfinite(values).all(1), dtype=bool)
    values[~measured] = 0
    return values, measured


def _mask_missing(matrix: Floats, measured: NDArray[np.bool_]) -> Floats:
    """Set the rows and columns of missing rows to NaN, in place."""
    if not measured.all():
        matrix[~measured], matrix[:, ~measured] = np.nan, np.nan
    return matrix
