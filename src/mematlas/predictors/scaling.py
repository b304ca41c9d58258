"""Standardisation of states and inputs for networks and baselines, over the rows that they are fitted to."""

from dataclasses import dataclass

import numpy as np

from mematlas.predictors.examples import Examples, Floats

_BLOCK_ROWS = 256  # processed at a time, so that wide states are never in memory twice


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """Mean and standard deviation [width + F] over rows and positions; the deviation is 1 where nothing varies."""

    mean: Floats
    deviation: Floats

    def __call__(self, states: np.ndarray, inputs: Floats) -> Floats:
        """[n, positions, width + F] float32; 0, which is the mean, where a value is unknown."""
        joined = np.concatenate([states.astype(np.float32), inputs], axis=2)
        joined -= self.mean
        joined /= self.deviation
        return np.nan_to_num(joined, copy=False, posinf=0, neginf=0)


def fit_scaling(examples: Examples, positions: int) -> Scaling:
    """Fit the scaling to the first `positions` positions of `examples`."""
    width = examples.states.shape[2] + examples.inputs.shape[2]
    count, total, squares = np.zeros(width), np.zeros(width), np.zeros(width)
    for start in range(0, len(examples.rows), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        parts = (examples.states[block, :positions], examples.inputs[block, :positions])
        values = np.concatenate([part.astype(np.float64) for part in parts], axis=2).reshape(-1, width)
        values[~np.isfinite(values)] = np.nan  # float16 overflow counts as unknown, too
        count += np.isfinite(values).sum(0)
        total += np.nansum(values, 0)
        squares += np.nansum(values**2, 0)
    mean = total / np.maximum(count, 1)
    variance = squares / np.maximum(count, 1) - mean**2
    varies = variance > 1e-9 * (squares / np.maximum(count, 1))  # smaller variances are rounding errors
    deviation = np.sqrt(np.where(varies, variance, 1))
    return Scaling(mean.astype(np.float32), deviation.astype(np.float32))
