"""Two-dimensional projections of rows, by principal components (P1, Fig. 5) or by UMAP."""

from importlib.util import find_spec
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
NEIGHBORS: Final = 15  # UMAP's default
UMAP_MIN_ROWS: Final = 4 * NEIGHBORS  # our choice: fewer rows are little more than one neighborhood


def principal_components(states: ArrayLike) -> tuple[Floats, Floats]:
    """Coordinates on the first two principal axes, and the share of the variance that each explains.

    The sign of an axis is arbitrary: the coordinate of largest absolute value is made positive.

    Args:
        states: shape (rows, width), none missing.

    Returns:
        coordinates of shape (rows, 2), in the unit of the states, and shares of shape (2,), NaN if nothing varies. If
        there is only one axis, the second coordinate is 0.
    """
    values = np.asarray(states, dtype=np.float64)
    values = values - values.mean(0)
    left_vectors, singular_values, _ = np.linalg.svd(values, full_matrices=False)
    axes = min(2, len(singular_values))
    coordinates = np.zeros((len(values), 2))
    coordinates[:, :axes] = left_vectors[:, :axes] * singular_values[:axes]
    signs = np.sign(coordinates[np.abs(coordinates).argmax(0), [0, 1]])
    variances = np.zeros(2)
    variances[:axes] = singular_values[:axes] ** 2
    total = float(np.square(values).sum())
    return coordinates * np.where(signs == 0, 1, signs), variances / total if total > 0 else np.full(2, np.nan)


def umap_is_installed() -> bool:
    """Whether umap-learn, which `umap_coordinates` needs, is installed."""
    return find_spec("umap") is not None


def umap_coordinates(states: ArrayLike, *, seed: int = 0) -> Floats:
    """Coordinates of UMAP (McInnes, Healy and Melville 2018), [rows, 2], without a unit.

    Neighbors stay close, but distances between groups mean little. 15 neighbors, minimal distance 0.1, initialized with
    the principal components.

    Args:
        states: shape (rows, width), none missing, at least UMAP_MIN_ROWS rows.
        seed: of the random generator; the same input gives the same coordinates on one machine.

    Raises:
        ImportError: umap-learn is not installed.
    """
    import warnings

    with warnings.catch_warnings():
        # deprecation warnings of the library, and its warning that a seed means a single thread
        warnings.simplefilter("ignore")
        from umap import UMAP

        model = UMAP(n_neighbors=NEIGHBORS, min_dist=0.1, init="pca", random_state=seed, n_jobs=1)
        return np.asarray(model.fit_transform(np.asarray(states, dtype=np.float32)), dtype=np.float64)
