import numpy as np
import pytest
from scipy.stats import pearsonr

from mematlas.stats.classification.forecasting import correlations, forecast_scores, joint_counts
from mematlas.stats.estimates.intervals import wilson

# labels of a smaller and of a larger model, row by row
SMALL = np.array([1, 1, 0, 0, 0, 0, 1, 0, 0, 0], bool)
LARGE = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0, 0], bool)


def test_hand_made_labels_give_exact_precision_and_recall():
    joint = joint_counts(np.column_stack([SMALL, LARGE]))
    assert joint.tolist() == [[3, 2], [2, 5]]
    result = forecast_scores(earlier=joint[0, 0], later=joint[1, 1], both=joint[0, 1])
    assert result.precision == wilson(2, 3)
    assert result.recall == wilson(2, 5)
    assert result.f1.estimate == pytest.approx(2 * (2 / 3) * (2 / 5) / (2 / 3 + 2 / 5))
    assert result.f1.count == 6


def test_swapped_models_give_other_numbers():
    result = forecast_scores(earlier=5, later=3, both=2)
    assert (result.precision.estimate, result.recall.estimate) == pytest.approx((2 / 5, 2 / 3))


def test_empty_counts_give_none():
    empty = forecast_scores(earlier=0, later=0, both=0)
    assert (empty.precision.estimate, empty.recall.lower, empty.f1.upper) == (None, None, None)
    no_forecast = forecast_scores(earlier=0, later=4, both=0)
    assert (no_forecast.precision.estimate, no_forecast.recall.estimate, no_forecast.f1.estimate) == (None, 0, 0)


@pytest.mark.parametrize("counts", [(3, 5, 4), (3, 5, -1)])
def test_impossible_counts_are_refused(counts):
    earlier, later, both = counts
    with pytest.raises(ValueError, match="both must be between"):
        forecast_scores(earlier=earlier, later=later, both=both)


def test_the_interval_of_f1_covers_the_true_one_95_times_in_100():
    # of 400 rows, shares of 0.2 have both labels, 0.05 only the earlier, 0.3 only the later
    counts = np.random.default_rng(0).multinomial(400, [0.2, 0.05, 0.3, 0.45], 2000)
    true = 2 * 0.2 / (2 * 0.2 + 0.05 + 0.3)
    estimates = [forecast_scores(earlier=a + b, later=a + c, both=a).f1 for a, b, c, _ in counts.tolist()]
    assert 0.93 <= np.mean([f1.lower <= true <= f1.upper for f1 in estimates]) <= 0.97


def test_correlations_are_pearsons_and_undefined_without_variation():
    values = np.column_stack([np.arange(10.0), np.arange(10.0) ** 2, np.full(10, 3.0)])
    values.flags.writeable = False
    result = correlations(values)
    assert result[0, 1] == pytest.approx(pearsonr(values[:, 0], values[:, 1]).statistic)
    assert np.isnan(result[0, 2])
    assert np.isnan(correlations(np.empty((0, 2)))).all()
