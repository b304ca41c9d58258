"""The jackknife: the interval of any estimate, from what it becomes without each of several separate parts of the data.

Source: Tukey (1958).
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student_t


def jackknife_half_width(left_out: ArrayLike) -> float | None:
    """Half the width of the 95 % interval (Student's t at n - 1 degrees of freedom) of an estimate.

    Args:
        left_out: shape (n,), the estimate without each of n parts; NaN where it does not exist.

    Returns:
        None for fewer than two parts, or if the estimate does not exist without one of them.
    """
    values = np.asarray(left_out, float)
    n = len(values)
    if n < 2 or np.isnan(values).any():
        return None
    variance = (n - 1) / n * float(np.square(values - values.mean()).sum())
    return float(student_t.ppf(0.975, n - 1)) * variance**0.5
