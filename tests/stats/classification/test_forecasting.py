import numpy as np
import pytest
from scipy.stats import pearsonr

from mematlas.stats.classification.forecasting import correlations


def test_correlations_are_pearsons_and_undefined_without_variation():
    values = np.column_stack([np.arange(10.0), np.arange(10.0) ** 2, np.full(10, 3.0)])
    values.flags.writeable = False
    result = correlations(values)
    assert result[0, 1] == pytest.approx(pearsonr(values[:, 0], values[:, 1]).statistic)
    assert np.isnan(result[0, 2])
    assert np.isnan(correlations(np.empty((0, 2)))).all()
