"""The baselines of a predictor, fitted to the same rows: guessing, entropy, and the classifiers of scikit-learn.

At each index the classifiers read the state and inputs at that index, their means over all positions up to it, and the
index: all that the network sees except the order. States wider than 256 are reduced to their principal components.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from mematlas.predictors.bins import SAMPLED_ROWS, weighted_bins
from mematlas.predictors.examples import Examples, Floats
from mematlas.predictors.scaling import Scaling
from mematlas.study.schemas.predictions import BOOSTING, BY_POSITION, ENTROPY, LOGISTIC, MAJORITY, Sees

MAX_WIDTH: Final = 256
_PCA_POSITIONS: Final = 20_000  # that principal components are fitted to
_BINS: Final = 63  # of a feature, for boosted trees
_EPSILON: Final = 1e-6


def baseline_logits(
    fit: Examples, validation: Examples, scaling: Scaling, sees: Sees, seed: int
) -> dict[str, Callable[[Examples], Floats]]:
    """Fitted baselines: name -> (examples -> logits [n, L])."""
    logits: dict[str, Callable[[Examples], Floats]] = {MAJORITY: _fit_majority(fit), BY_POSITION: _fit_by_position(fit)}
    if "entropy" in fit.names:
        logits[ENTROPY] = lambda examples: _negative_entropy(examples, scaling, sees)
    features = _Features(fit, scaling, sees, seed)
    logits[LOGISTIC] = _fit_logistic(fit, features)
    logits[BOOSTING] = _fit_boosting(fit, validation, features, seed)
    return logits


def _fit_majority(fit: Examples) -> Callable[[Examples], Floats]:
    """The weighted share of recited tokens, the same at every index."""
    logit_of_share = _logit_of_share(fit, axis=None)
    return lambda examples: np.full(examples.hits.shape, logit_of_share, np.float32)


def _fit_by_position(fit: Examples) -> Callable[[Examples], Floats]:
    """The weighted share of recited tokens at each index."""
    has_rows = fit.has_label.any(0)  # an index without labels gets the overall share
    logits = np.where(has_rows, _logit_of_share(fit, axis=0), _logit_of_share(fit, axis=None))
    return lambda examples: np.broadcast_to(logits, examples.hits.shape).astype(np.float32)


def _logit_of_share(fit: Examples, axis: int | None) -> np.ndarray:
    weights = fit.weights[:, None] * fit.has_label
    share = (weights * (fit.hits == 1)).sum(axis) / np.maximum(weights.sum(axis), _EPSILON)
    return logit(np.clip(share, _EPSILON, 1 - _EPSILON))


def _values_at_indices(values: NDArray[Any], examples: Examples, sees: Sees) -> NDArray[Any]:
    """[n, L, ...]: the latest value visible at each index, from values at positions [n, P, ...]."""
    last = examples.context - 1
    if sees == "generated":
        return values[:, last:]
    return np.repeat(values[:, last : last + 1], examples.hits.shape[1], axis=1)


def _negative_entropy(examples: Examples, scaling: Scaling, sees: Sees) -> Floats:
    """Minus the latest visible entropy, in standard deviations."""
    column = examples.names.index("entropy")
    from_end = column - len(examples.names)  # the scaling's inputs come after states of any width
    entropy = (examples.inputs[..., column] - scaling.mean[from_end]) / scaling.deviation[from_end]
    return -np.nan_to_num(_values_at_indices(entropy, examples, sees))


class _Features:
    """The classifiers' features, [n * L, F] float32; see the module's docstring."""

    def __init__(self, fit: Examples, scaling: Scaling, sees: Sees, seed: int) -> None:
        self._scaling, self._sees, self._components = scaling, sees, None
        if fit.states.shape[2] > MAX_WIDTH:
            from sklearn.decomposition import PCA

            flat = scaling(fit.states, fit.inputs)[..., : fit.states.shape[2]].reshape(-1, fit.states.shape[2])
            sample = np.random.default_rng((3, seed)).permutation(len(flat))[:_PCA_POSITIONS]
            pca = PCA(MAX_WIDTH, svd_solver="randomized", random_state=seed).fit(flat[sample])
            self._components = pca.components_.T

    def __call__(self, examples: Examples, index: str) -> Floats:
        """index: how the index is given, as a "number", or one-hot in "columns" (for linear models)."""
        values = self._scaling(examples.states, examples.inputs)
        if self._components is not None:
            width = examples.states.shape[2]
            values = np.concatenate([values[..., :width] @ self._components, values[..., width:]], axis=2)
        counts = np.arange(1, values.shape[1] + 1, dtype=np.float32)[:, None]
        means = np.cumsum(values, axis=1, dtype=np.float32) / counts
        rows, length = examples.hits.shape
        indices = np.arange(length)[:, None] / length if index == "number" else np.eye(length)
        parts = (
            _values_at_indices(values, examples, self._sees),
            _values_at_indices(means, examples, self._sees),
            np.broadcast_to(indices.astype(np.float32), (rows, *indices.shape)),
        )
        return np.concatenate(parts, axis=2).reshape(rows * length, -1)


def _fit_logistic(fit: Examples, features: _Features) -> Callable[[Examples], Floats]:
    from sklearn.linear_model import LogisticRegression

    has_label = fit.has_label.reshape(-1)
    model = LogisticRegression(C=0.01, class_weight="balanced", max_iter=500)
    model.fit(features(fit, "columns")[has_label], fit.hits.reshape(-1)[has_label])
    return lambda examples: model.decision_function(features(examples, "columns")).reshape(examples.hits.shape)


def _fit_boosting(fit: Examples, validation: Examples, features: _Features, seed: int) -> Callable[[Examples], Floats]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.utils.class_weight import compute_sample_weight

    def labelled(examples: Examples) -> tuple[NDArray[Any], NDArray[np.int8]]:
        has_label = examples.has_label.reshape(-1)
        return features(examples, "number")[has_label], examples.hits.reshape(-1)[has_label]

    values, hits = labelled(fit)
    bins: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray
    if len(values) <= SAMPLED_ROWS:
        bins = weighted_bins(values, compute_sample_weight("balanced", hits), _BINS)
    validation_values, validation_hits = labelled(validation)
    model = HistGradientBoostingClassifier(
        max_iter=200, max_bins=_BINS, class_weight="balanced", early_stopping=True, random_state=seed
    )
    model.fit(bins(values), hits, X_val=bins(validation_values), y_val=validation_hits)
    return lambda examples: model.decision_function(bins(features(examples, "number"))).reshape(examples.hits.shape)
