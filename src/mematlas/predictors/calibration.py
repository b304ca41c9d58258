"""Calibration of logits to probabilities, fitted to held-out documents, weighted as rows are in the scored corpus."""

from typing import Final

import numpy as np
from scipy.special import expit

from mematlas.predictors.examples import Examples, Floats

Calibration = tuple[float, float]  # probability = expit(slope * logit + offset)
IDENTITY: Final[Calibration] = (1.0, 0.0)


def fit_calibration(logits: Floats, examples: Examples) -> Calibration:
    """Slope and offset (Platt 1999) for logits [n, L] of `examples`; IDENTITY where one class is absent."""
    from sklearn.linear_model import LogisticRegression

    has_label = examples.has_label
    labels, weights = examples.hits[has_label], np.repeat(examples.weights[:, None], has_label.shape[1], 1)[has_label]
    if len(np.unique(labels)) < 2:
        return IDENTITY
    regression = LogisticRegression().fit(logits[has_label][:, None], labels, sample_weight=weights)
    return float(regression.coef_[0, 0]), float(regression.intercept_[0])


def calibrate(logits: Floats, calibration: Calibration) -> Floats:
    """Probabilities from logits."""
    slope, offset = calibration
    return expit(slope * logits.astype(np.float64) + offset).astype(np.float32)
