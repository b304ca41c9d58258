"""What a predictor must beat, fitted to the same rows: guessing, entropy, and the classifiers of scikit-learn.

The classifiers read, at each index, the state and inputs there and their means over all positions seen so far, and the
index: what the network sees, but for the order. States wider than 256 are reduced to their principal components.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from mematlas.predictors.examples import Examples, Floats
from mematlas.predictors.scaling import Scaling
from mematlas.study.schemas.predictions import BOOSTING, BY_POSITION, ENTROPY, LOGISTIC, MAJORITY, Sees

WIDEST: Final = 256
_POSITIONS: Final = 20_000  # from which principal components are found
_SURE: Final = 1e-6


def baseline_logits(
    fit: Examples, validation: Examples, scaling: Scaling, sees: Sees, seed: int
) -> dict[str, Callable[[Examples], Floats]]:
    """Fitted baselines: name -> (examples -> logits [n, L])."""
    found: dict[str, Callable[[Examples], Floats]] = {MAJORITY: _majority(fit), BY_POSITION: _by_position(fit)}
    if "entropy" in fit.names:
        found[ENTROPY] = lambda examples: _sureness(examples, scaling, sees)
    features = _Features(fit, scaling, sees, seed)
    found[LOGISTIC] = _logistic(fit, features)
    found[BOOSTING] = _boosting(fit, validation, features, seed)
    return found


def _majority(fit: Examples) -> Callable[[Examples], Floats]:
    """The share of recited tokens, rows weighted, everywhere."""
    share = _share(fit, fit.known, axis=None)
    return lambda examples: np.full(examples.hits.shape, share, np.float32)


def _by_position(fit: Examples) -> Callable[[Examples], Floats]:
    there = fit.known.any(0)  # an index that no row has is guessed as the others are
    shares = np.where(there, _share(fit, fit.known, axis=0), _share(fit, fit.known, axis=None))
    return lambda examples: np.broadcast_to(shares, examples.hits.shape).astype(np.float32)


def _share(fit: Examples, known: np.ndarray, axis: int | None) -> np.ndarray:
    weights = fit.weights[:, None] * known
    share = (weights * (fit.hits == 1)).sum(axis) / np.maximum(weights.sum(axis), _SURE)
    return logit(np.clip(share, _SURE, 1 - _SURE))


def _at_indices(values: NDArray[Any], examples: Examples, sees: Sees) -> NDArray[Any]:
    """[n, L, ...]: what is known at each index, of values at positions."""
    last = examples.context - 1
    if sees == "generated":
        return values[:, last:]
    return np.repeat(values[:, last : last + 1], examples.hits.shape[1], axis=1)


def _sureness(examples: Examples, scaling: Scaling, sees: Sees) -> Floats:
    """Minus the entropy at hand, in deviations; that of the first token before anything is generated."""
    column = examples.names.index("entropy")
    behind = column - len(examples.names)  # counted from the end: states of any width stand before
    entropy = (examples.inputs[..., column] - scaling.mean[behind]) / scaling.deviation[behind]
    return -np.nan_to_num(_at_indices(entropy, examples, sees))


class _Features:
    """[n * L, F] float32: see the module."""

    def __init__(self, fit: Examples, scaling: Scaling, sees: Sees, seed: int) -> None:
        self._scaling, self._sees, self._components = scaling, sees, None
        if fit.states.shape[2] > WIDEST:
            from sklearn.decomposition import PCA

            flat = scaling(fit.states, fit.inputs)[..., : fit.states.shape[2]].reshape(-1, fit.states.shape[2])
            some = np.random.default_rng((3, seed)).permutation(len(flat))[:_POSITIONS]
            self._components = PCA(WIDEST, svd_solver="randomized", random_state=seed).fit(flat[some]).components_.T

    def __call__(self, examples: Examples, index: str) -> Floats:
        """index: "number", or "columns" (one an index), for what is linear."""
        read = self._scaling(examples.states, examples.inputs)
        if self._components is not None:
            width = examples.states.shape[2]
            read = np.concatenate([read[..., :width] @ self._components, read[..., width:]], axis=2)
        means = np.cumsum(read, axis=1, dtype=np.float32) / np.arange(1, read.shape[1] + 1, dtype=np.float32)[:, None]
        rows, length = examples.hits.shape
        places = np.arange(length)[:, None] / length if index == "number" else np.eye(length)
        parts = (
            _at_indices(read, examples, self._sees),
            _at_indices(means, examples, self._sees),
            np.broadcast_to(places.astype(np.float32), (rows, *places.shape)),
        )
        return np.concatenate(parts, axis=2).reshape(rows * length, -1)


def _logistic(fit: Examples, features: _Features) -> Callable[[Examples], Floats]:
    from sklearn.linear_model import LogisticRegression

    known = fit.known.reshape(-1)
    model = LogisticRegression(C=0.01, class_weight="balanced", max_iter=500)
    model.fit(features(fit, "columns")[known], fit.hits.reshape(-1)[known])
    return lambda examples: model.decision_function(features(examples, "columns")).reshape(examples.hits.shape)


def _boosting(fit: Examples, validation: Examples, features: _Features, seed: int) -> Callable[[Examples], Floats]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    known, other = fit.known.reshape(-1), validation.known.reshape(-1)
    model = HistGradientBoostingClassifier(
        max_iter=200, max_bins=63, class_weight="balanced", early_stopping=True, random_state=seed
    )
    model.fit(
        features(fit, "number")[known],
        fit.hits.reshape(-1)[known],
        X_val=features(validation, "number")[other],
        y_val=validation.hits.reshape(-1)[other],
    )
    return lambda examples: model.decision_function(features(examples, "number")).reshape(examples.hits.shape)
