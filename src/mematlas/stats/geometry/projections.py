"""Maps: rows of many dimensions as points of a plane, by principal components (P1, Fig. 5) or by UMAP."""

from importlib.util import find_spec
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
NEIGHBORS: Final = 15  # UMAP's default
UMAP_FEWEST: Final = 4 * NEIGHBORS  # our choice: fewer rows are hardly more than one neighbourhood


def principal_components(states: ArrayLike) -> tuple[Floats, Floats]:
    """Coordinates on the first two principal axes, and the share of the variance that each explains.

    The sign of an axis is free: its coordinate that is largest in size is made positive.

    Args:
        states: shape (rows, width), all measured.

    Returns:
        coordinates of shape (rows, 2), in the unit of the states, and shares of shape (2,), NaN where nothing varies;
        an axis that the states do not have is 0.
    """
    values = np.asarray(states, dtype=np.float64)
    values = values - values.mean(0)
    rows, lengths, _ = np.linalg.svd(values, full_matrices=False)
    there = min(2, len(lengths))
    found = np.zeros((len(values), 2))
    found[:, :there] = rows[:, :there] * lengths[:there]
    signs = np.sign(found[np.abs(found).argmax(0), [0, 1]])
    squares = np.zeros(2)
    squares[:there] = lengths[:there] ** 2
    total = float(np.square(values).sum())
    return found * np.where(signs == 0, 1, signs), squares / total if total > 0 else np.full(2, np.nan)


def umap_is_installed() -> bool:
    """Whether the extra is there that `umap_coordinates` needs."""
    return find_spec("umap") is not None


def umap_coordinates(states: ArrayLike, *, seed: int = 0) -> Floats:
    """Coordinates of UMAP (McInnes, Healy and Melville 2018), [rows, 2], without a unit: near points were near, and
    distances between groups mean little. 15 neighbours, minimal distance 0.1, started from the principal components.

    Args:
        states: shape (rows, width), all measured, of at least UMAP_FEWEST rows.
        seed: of the generator; the same input gives the same coordinates on one machine.

    Raises:
        ImportError: umap-learn is not installed.
    """
    import warnings

    with warnings.catch_warnings():
        # a library's own deprecations, and its word that a seed means one thread
        warnings.simplefilter("ignore")
        from umap import UMAP

        model = UMAP(n_neighbors=NEIGHBORS, min_dist=0.1, init="pca", random_state=seed, n_jobs=1)
        return np.asarray(model.fit_transform(np.asarray(states, dtype=np.float32)), dtype=np.float64)
