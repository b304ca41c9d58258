"""Logits made probabilities: fitted to documents that were held out, weighted as rows stand in the scored corpus."""

from typing import Final

import numpy as np
from scipy.special import expit

from mematlas.predictors.examples import Examples, Floats

Line = tuple[float, float]  # probability = expit(slope * logit + offset)
AS_THEY_ARE: Final[Line] = (1.0, 0.0)


def fit_calibration(logits: Floats, examples: Examples) -> Line:
    """Slope and offset (Platt 1999) of logits [n, L] of `examples`; as they are where one class is absent."""
    from sklearn.linear_model import LogisticRegression

    known = examples.known
    labels, weights = examples.hits[known], np.repeat(examples.weights[:, None], known.shape[1], 1)[known]
    if len(np.unique(labels)) < 2:
        return AS_THEY_ARE
    fitted = LogisticRegression().fit(logits[known][:, None], labels, sample_weight=weights)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def calibrated(logits: Floats, line: Line) -> Floats:
    slope, offset = line
    return expit(slope * logits.astype(np.float64) + offset).astype(np.float32)
