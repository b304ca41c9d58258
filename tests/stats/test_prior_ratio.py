"""The ratio of a probability to its prior, and a quantile with its interval: known answers and coverage."""

import numpy as np
import pytest

from mematlas.stats.estimates.quantiles import quantile
from mematlas.stats.prior_ratio import prior_ratio


def test_a_text_that_does_not_depend_on_its_prompt_has_ratio_0_exactly():
    logs = np.array([-3.7, -250.1])
    ratio = prior_ratio(logs, np.repeat(logs[:, None], 7, axis=1))
    assert ratio.log_ratio.tolist() == [0, 0]
    assert ratio.effective.tolist() == [7, 7]
    np.testing.assert_allclose(ratio.lower, 0, atol=1e-12)


def test_the_own_prompt_among_impossible_ones_gives_the_log_of_their_number():
    ratio = prior_ratio([-0.5], [[-0.5, *[-np.inf] * 15]])
    assert ratio.log_ratio[0] == pytest.approx(np.log(16))
    assert ratio.effective[0] == 1
    assert np.isnan([ratio.lower[0], ratio.upper[0], ratio.mean_log_ratio[0]]).all()
    nothing = prior_ratio([-0.5], [[-np.inf] * 4])
    assert np.isnan([nothing.log_prior[0], nothing.log_ratio[0], nothing.effective[0]]).all()


def test_by_hand_and_below_the_mean_of_logs():
    ratio = prior_ratio([np.log(0.5)], [np.log([0.1, 0.2, 0.3])])
    assert ratio.log_ratio[0] == pytest.approx(np.log(0.5 / 0.2))
    assert ratio.effective[0] == pytest.approx(0.6**2 / 0.14)
    error = np.std([0.1, 0.2, 0.3], ddof=1) / np.sqrt(3) / 0.2
    assert ratio.upper[0] - ratio.log_ratio[0] == pytest.approx(4.302653 * error)
    logs = np.random.default_rng(0).normal(-30, 10, (500, 8))
    many = prior_ratio(logs[:, 0], logs[:, 1:])
    assert (many.mean_log_ratio >= many.log_ratio).all(), "Jensen"
    assert (np.isnan(many.lower) == (many.effective < 2)).all()
    assert np.isnan(many.lower).mean() > 0.5, "few prompts carry the mean on the scale of logs"


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="2 or more"):
        prior_ratio([0.0], [[0.0]])
    with pytest.raises(ValueError, match=r"not \(2,\)"):
        prior_ratio([0.0, 0.0], [[0.0, 0.0]])


def test_a_quantile_and_its_interval():
    found = quantile(np.arange(100.0), 0.95)
    assert found.estimate == pytest.approx(94.05)
    assert (found.lower, found.upper) == (89, 99)
    assert quantile(np.arange(20.0), 0.95).upper is None
    assert quantile(np.arange(19.0), 0.95).estimate is None
    with pytest.raises(ValueError, match="probability between 0 and 1"):
        quantile([1.0], 1.0)


def test_the_interval_of_a_quantile_covers_it():
    random, truth = np.random.default_rng(0), -np.log(0.05)
    found = [quantile(random.exponential(size=200), 0.95) for _ in range(1000)]
    covered = np.mean([f.lower <= truth <= f.upper for f in found])
    assert 0.94 < covered < 0.985
