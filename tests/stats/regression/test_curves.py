import numpy as np
import pytest
from scipy.stats import linregress

from mematlas.stats.regression.curves import compare, fit_line


def read_only(*values):
    array = np.array(values, float)
    array.flags.writeable = False
    return array


SIZES = read_only(1.25e8, 1.3e9, 2.7e9, 6e9)


def test_a_planted_log_linear_law_is_found_exactly():
    line = fit_line(SIZES, -1.4 + 0.19 * np.log10(SIZES))
    assert line.slope == pytest.approx(0.19, abs=1e-12)
    assert line.intercept == pytest.approx(-1.4, abs=1e-10)
    assert line.r2 == pytest.approx(1, abs=1e-12)
    assert line.residuals == pytest.approx(np.zeros(4), abs=1e-12)
    assert line.lower == pytest.approx(line.upper, abs=1e-6)


def test_the_numbers_are_those_of_scipy():
    y = read_only(0.11, 0.31, 0.33, 0.47)
    line, other = fit_line(SIZES, y), linregress(np.log10(SIZES), y)
    assert (line.slope, line.intercept) == pytest.approx((other.slope, other.intercept))
    assert line.error == pytest.approx(other.stderr)
    assert line.r2 == pytest.approx(other.rvalue**2)
    assert line.upper - line.slope == pytest.approx(4.302652729911275 * other.stderr)  # t of 2 degrees of freedom


def test_a_weight_counts_as_so_many_points():
    weighted = fit_line(read_only(1, 10, 100), read_only(0.1, 0.5, 0.4), read_only(1, 1, 2))
    repeated = fit_line(read_only(1, 10, 100, 100), read_only(0.1, 0.5, 0.4, 0.4))
    assert weighted.slope == pytest.approx(repeated.slope)
    assert weighted.intercept == pytest.approx(repeated.intercept)
    assert weighted.r2 == pytest.approx(repeated.r2)


def test_the_interval_holds_the_true_slope_95_times_in_100():
    rng = np.random.default_rng(1)
    x = 10.0 ** np.arange(5)
    lines = [fit_line(x, 0.1 + 0.07 * np.arange(5) + rng.normal(0, 0.02, 5)) for _ in range(1000)]
    assert 0.93 <= np.mean([line.lower <= 0.07 <= line.upper for line in lines]) <= 0.97


def test_too_few_points_leave_null_what_they_do_not_determine():
    two = fit_line(read_only(1, 100), read_only(0.2, 0.6))
    assert two.slope == pytest.approx(0.2)
    assert (two.lower, two.upper, two.error, two.r2) == (None, None, None, None)
    assert fit_line(read_only(5), read_only(0.2)).slope is None
    assert fit_line(read_only(5, 5, 5), read_only(0.2, 0.3, 0.4)).slope is None
    assert fit_line(read_only(), read_only()).slope is None


def test_points_of_one_height_have_a_slope_and_no_interval():
    line = fit_line(SIZES, read_only(0, 0, 0, 0))
    assert (line.slope, line.lower, line.r2) == (0, None, None)


@pytest.mark.parametrize(
    ("x", "y"), [((0, 1), (0, 1)), ((1, 2), (0, np.nan)), ((1, 2, 3), (0, 1)), ((-1, 2), (0, 1)), ((np.inf, 2), (0, 1))]
)
def test_what_has_no_logarithm_is_refused(x, y):
    with pytest.raises(ValueError, match="must be"):
        fit_line(read_only(*x), read_only(*y))


def test_each_law_is_preferred_where_it_is_the_true_one():
    x = 2.0 ** np.arange(10)
    straight = compare(x, 0.05 + 0.1 * np.log2(x) / 4)
    assert straight.better == "log-linear"
    assert straight.line == pytest.approx(0, abs=1e-12)
    level = compare(x, x**2 / (20**2 + x**2))
    assert level.better == "saturating"
    assert level.saturating == pytest.approx(0, abs=1e-6)
    assert level.line > 0.05


def test_the_error_is_that_of_points_left_out():
    x, y = read_only(1, 10, 100, 1000), read_only(0.1, 0.2, 0.3, 0.8)
    left_out = []
    for at in range(4):
        kept = [other for other in range(4) if other != at]
        slope, intercept = np.polyfit(np.log10(x[kept]), y[kept], 1)
        left_out.append(y[at] - intercept - slope * np.log10(x[at]))
    assert compare(x, y).line == pytest.approx(np.sqrt(np.mean(np.square(left_out))))


def test_below_four_points_nothing_is_left_out():
    found = compare(read_only(1, 10, 100), read_only(0.1, 0.2, 0.4))
    assert (found.line, found.saturating, found.better) == (None, None, None)
    assert found.reason == "leaving one out needs 4 points"


@pytest.mark.parametrize("y", [np.zeros(8), np.ones(8), np.repeat([0.0, 1.0], 4)])
def test_shares_of_nothing_of_all_and_a_step_are_compared_without_a_warning(y, recwarn):
    found = compare(2.0 ** np.arange(8), y)
    assert 0 <= found.saturating < 0.6
    assert np.isfinite(found.line)
    assert not recwarn.list
