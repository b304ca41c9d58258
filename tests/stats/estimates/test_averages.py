import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS

from mematlas.stats.estimates.averages import FEWEST_COUNTS, means, medians

NAN = np.nan


def columns(*values: list[float]) -> np.ndarray:
    """Columns of values, shorter ones padded with NaN; read-only, because functions must not change their inputs."""
    padded = np.full((max(map(len, values)), len(values)), NAN)
    for i, column in enumerate(values):
        padded[: len(column), i] = column
    padded.flags.writeable = False
    return padded


def test_the_mean_and_its_interval_are_those_of_the_textbook():
    sample = [3.0, 1.0, 4.0, 1.0, 5.0]
    result = means(columns(sample, [10.0, 20.0]))
    lower, upper = stats.t.interval(0.95, 4, np.mean(sample), stats.sem(sample))
    assert (result.estimate[0], result.lower[0], result.upper[0]) == pytest.approx((2.8, lower, upper))
    assert result.estimate[1] == 15.0
    assert result.upper[1] - 15 == pytest.approx(5 * 12.7062, rel=1e-5)  # half the range, t at one degree of freedom
    assert result.count.tolist() == [5, 2]


def test_one_value_or_equal_values_have_no_interval():
    result = means(columns([7.0], [0.1] * 7, [], [1.0, 2.0]))
    assert np.isnan(result.lower).tolist() == np.isnan(result.upper).tolist() == [True, True, True, False]
    assert result.estimate[:2] == pytest.approx([7.0, 0.1])
    assert np.isnan(result.estimate[2])
    assert result.count.tolist() == [1, 7, 0, 2]


def test_a_column_of_large_values_keeps_its_precision():
    result = means(columns([1e12, 1e12 + 2, 1e12 + 4]))
    assert result.estimate[0] == 1e12 + 2
    assert result.upper[0] - result.estimate[0] == pytest.approx(4.30265 * 2 / 3**0.5, rel=1e-4)


def test_the_interval_of_the_median_is_between_order_statistics():
    # of ten values the 2nd and the 9th: 1 - 2 P(B <= 1) = 0.979; of nine the 2nd and the 8th: 0.961
    result = medians(columns([10.0, 9, 8, 7, 6, 5, 4, 3, 2, 1], [9.0, 1, 8, 2, 7, 3, 60, 4, 5]))
    assert result.estimate.tolist() == [5.5, 5.0]
    assert (result.lower.tolist(), result.upper.tolist()) == ([2, 2], [9, 9])
    assert medians(columns([9.0, 1, 8, 2, 7, 3, 60, 4, 5])).upper[0] == 9  # the 8th of nine, not the largest


def test_fewer_than_six_values_have_no_interval_of_the_median():
    result = medians(columns([1.0, 2, 30, 4, 5], [1.0, 2, 3, 4, 5, 6], []))
    assert result.estimate[:2].tolist() == [4.0, 3.5]
    assert np.isnan(result.lower).tolist() == [True, False, True]
    assert (result.lower[1], result.upper[1]) == (1.0, 6.0)
    assert np.isnan(result.estimate[2])


@pytest.mark.parametrize(("center", "truth"), [(means, np.exp(0.5)), (medians, 1.0)])
def test_intervals_have_their_nominal_coverage(center, truth):
    sample = np.random.default_rng(0).lognormal(size=(400, 2000))
    result = center(sample)
    covered = ((result.lower <= truth) & (truth <= result.upper)).mean()
    assert 0.93 <= covered <= 0.97


def test_values_must_have_two_dimensions():
    with pytest.raises(ValueError, match=r"\(rows, columns\), not \(3,\)"):
        means(np.zeros(3))


def test_few_heavy_tailed_counts_have_no_interval():
    values = np.random.default_rng(0).lognormal(0, 2, (FEWEST_COUNTS, 2))
    values[0, 1] = np.nan
    result = means(values, fewest=FEWEST_COUNTS)
    assert np.isfinite(result.estimate).all()
    assert np.isfinite(result.lower).tolist() == np.isfinite(result.upper).tolist() == [True, False]
    assert np.isfinite(means(values, fewest=(2, 2)).lower).all()


@pytest.mark.parametrize(("rows", "least", "most"), [(30, 0.5, 0.75), (400, 0.75, 0.85), (FEWEST_COUNTS, 0.91, 0.97)])
def test_students_interval_of_few_heavy_tailed_counts_is_too_narrow_which_is_why(rows, least, most):
    """The mean of exp(2 z) is exp(2)."""
    random = np.random.default_rng(0)
    samples = [means(random.lognormal(0, 2, (rows, 20))) for _ in range(20)]
    covered = [(each.lower <= np.exp(2)) & (np.exp(2) <= each.upper) for each in samples]
    assert least <= np.mean(covered) <= most


# ------------------------------------------------------------------------------------------------------------ clusters


def test_one_row_per_cluster_is_the_interval_of_independent_rows():
    sample = np.random.default_rng(3).lognormal(size=(30, 3))
    sample[4, 1] = NAN
    labels = np.random.default_rng(4).permutation(30) * 7
    for center in (means, medians):
        for expected, result in zip(*(_numbers(center(sample, clusters=each)) for each in (None, labels)), strict=True):
            assert result.tolist() == expected.tolist()


def _numbers(result):
    return result.estimate, result.lower, result.upper, result.clusters, result.design_effect


def test_the_clustered_mean_is_that_of_a_ratio_by_hand():
    """Clusters {1, 3}, {8}, {2, 6, 4}: mean 4, residual totals -4, 4, 0; variance 3/2 * 32 / 36 over 3 clusters."""
    result = means(columns([1.0, 3, 8, 2, 6, 4]), clusters=[5, 5, 1, 9, 9, 9])
    assert result.estimate[0] == 4
    assert result.clusters[0] == 3
    half_width = stats.t.ppf(0.975, 2) * np.sqrt(3 / 2 * 32 / 36)
    assert (result.lower[0], result.upper[0]) == pytest.approx((4 - half_width, 4 + half_width))
    assert result.design_effect[0] == pytest.approx((3 / 2 * 32 / 36) / (34 / 5 / 6))


def test_the_clustered_mean_has_the_error_of_statsmodels():
    random = np.random.default_rng(5)
    labels, values = random.integers(0, 14, 90), random.normal(size=90)
    values += random.normal(size=14)[labels]
    fit = OLS(values, np.ones(90)).fit(cov_type="cluster", cov_kwds={"groups": labels, "use_correction": False})
    half_width = stats.t.ppf(0.975, 13) * fit.bse[0] * np.sqrt(14 / 13)
    result = means(values[:, None], clusters=labels)
    assert result.upper[0] - result.estimate[0] == pytest.approx(half_width)


@pytest.mark.parametrize("copies", [2, 10])
def test_copies_of_every_row_leave_the_median_and_its_interval_as_they_were(copies):
    """The interval is by Woodruff's method, which is not exactly that of independent rows: a rank more or less."""
    values = np.random.default_rng(6).permutation(60.0 + np.arange(60))[:, None]
    expected = medians(values)
    result = medians(values.repeat(copies, axis=0), np.arange(60).repeat(copies))
    assert result.estimate == expected.estimate
    assert (result.clusters[0], result.count[0]) == (60, 60 * copies)
    assert result.lower[0] == pytest.approx(expected.lower[0], abs=1.5)
    assert result.upper[0] == pytest.approx(expected.upper[0], abs=1.5)
    assert result.design_effect[0] == pytest.approx(copies, rel=0.03)


def test_fewer_than_six_clusters_have_no_interval_of_the_median():
    values = np.arange(50.0)[:, None]
    assert np.isnan(medians(values, np.arange(50) // 10).lower[0])
    assert np.isfinite(medians(values, np.arange(50) // 8).lower[0])
