import warnings

import numpy as np
import pytest
from scipy.stats import chi2, linregress
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.families.links import Identity
from statsmodels.genmod.generalized_linear_model import GLM, DomainWarning
from statsmodels.tools.tools import add_constant

from mematlas.stats.regression.curves import compare_curves, fit_log_linear, lack_of_fit


def read_only(*values):
    array = np.array(values, float)
    array.flags.writeable = False
    return array


SIZES = read_only(1.25e8, 1.3e9, 2.7e9, 6e9)


def test_a_planted_log_linear_curve_is_recovered_exactly():
    fit = fit_log_linear(SIZES, -1.4 + 0.19 * np.log10(SIZES))
    assert fit.slope == pytest.approx(0.19, abs=1e-12)
    assert fit.intercept == pytest.approx(-1.4, abs=1e-10)
    assert fit.r2 == pytest.approx(1, abs=1e-12)
    assert fit.residuals == pytest.approx(np.zeros(4), abs=1e-12)
    assert fit.lower == pytest.approx(fit.upper, abs=1e-6)


def test_the_numbers_are_those_of_scipy():
    y = read_only(0.11, 0.31, 0.33, 0.47)
    fit, reference = fit_log_linear(SIZES, y), linregress(np.log10(SIZES), y)
    assert (fit.slope, fit.intercept) == pytest.approx((reference.slope, reference.intercept))
    assert fit.standard_error == pytest.approx(reference.stderr)
    assert fit.r2 == pytest.approx(reference.rvalue**2)
    assert fit.upper - fit.slope == pytest.approx(4.302652729911275 * reference.stderr)  # t of 2 degrees of freedom


def test_an_integer_weight_equals_repeated_points():
    weighted = fit_log_linear(read_only(1, 10, 100), read_only(0.1, 0.5, 0.4), read_only(1, 1, 2))
    repeated = fit_log_linear(read_only(1, 10, 100, 100), read_only(0.1, 0.5, 0.4, 0.4))
    assert weighted.slope == pytest.approx(repeated.slope)
    assert weighted.intercept == pytest.approx(repeated.intercept)
    assert weighted.r2 == pytest.approx(repeated.r2)


def test_the_interval_has_its_nominal_coverage():
    rng = np.random.default_rng(1)
    x = 10.0 ** np.arange(5)
    fits = [fit_log_linear(x, 0.1 + 0.07 * np.arange(5) + rng.normal(0, 0.02, 5)) for _ in range(1000)]
    assert 0.93 <= np.mean([fit.lower <= 0.07 <= fit.upper for fit in fits]) <= 0.97


def test_too_few_points_give_none_for_what_they_do_not_determine():
    two = fit_log_linear(read_only(1, 100), read_only(0.2, 0.6))
    assert two.slope == pytest.approx(0.2)
    assert (two.lower, two.upper, two.standard_error, two.r2) == (None, None, None, None)
    assert fit_log_linear(read_only(5), read_only(0.2)).slope is None
    assert fit_log_linear(read_only(5, 5, 5), read_only(0.2, 0.3, 0.4)).slope is None
    assert fit_log_linear(read_only(), read_only()).slope is None


def test_points_of_equal_y_have_a_slope_and_no_interval():
    fit = fit_log_linear(SIZES, read_only(0, 0, 0, 0))
    assert (fit.slope, fit.lower, fit.r2) == (0, None, None)


@pytest.mark.parametrize(
    ("x", "y"), [((0, 1), (0, 1)), ((1, 2), (0, np.nan)), ((1, 2, 3), (0, 1)), ((-1, 2), (0, 1)), ((np.inf, 2), (0, 1))]
)
def test_invalid_points_are_refused(x, y):
    with pytest.raises(ValueError, match="must be"):
        fit_log_linear(read_only(*x), read_only(*y))


def test_each_curve_is_preferred_where_it_is_the_true_one():
    x = 2.0 ** np.arange(10)
    straight = compare_curves(x, 0.05 + 0.1 * np.log2(x) / 4)
    assert straight.better == "log-linear"
    assert straight.log_linear == pytest.approx(0, abs=1e-12)
    level = compare_curves(x, x**2 / (20**2 + x**2))
    assert level.better == "saturating"
    assert level.saturating == pytest.approx(0, abs=1e-6)
    assert level.log_linear > 0.05


def test_the_error_is_that_of_points_left_out():
    x, y = read_only(1, 10, 100, 1000), read_only(0.1, 0.2, 0.3, 0.8)
    left_out = []
    for i in range(4):
        others = [j for j in range(4) if j != i]
        slope, intercept = np.polyfit(np.log10(x[others]), y[others], 1)
        left_out.append(y[i] - intercept - slope * np.log10(x[i]))
    assert compare_curves(x, y).log_linear == pytest.approx(np.sqrt(np.mean(np.square(left_out))))


def test_below_four_points_nothing_is_left_out():
    comparison = compare_curves(read_only(1, 10, 100), read_only(0.1, 0.2, 0.4))
    assert (comparison.log_linear, comparison.saturating, comparison.better) == (None, None, None)
    assert comparison.reason == "leaving one out needs 4 points"


@pytest.mark.parametrize("y", [np.zeros(8), np.ones(8), np.repeat([0.0, 1.0], 4)])
def test_shares_of_nothing_of_all_and_a_step_are_compared_without_a_warning(y, recwarn):
    comparison = compare_curves(2.0 ** np.arange(8), y)
    assert 0 <= comparison.saturating < 0.6
    assert np.isfinite(comparison.log_linear)
    assert not recwarn.list


# ---------------------------------------------------------------------------------------------------------- lack of fit


def test_the_lack_of_fit_is_that_of_a_binomial_model_with_identity_link():
    x, hits, rows = read_only(1, 10, 100, 1000), read_only(20, 61, 55, 80), read_only(100, 120, 100, 110)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DomainWarning)
        family = Binomial(Identity())
        model = GLM(np.column_stack([hits, rows - hits]), add_constant(np.arange(4)), family=family).fit()
    assert lack_of_fit(x, hits / rows, rows) == pytest.approx(chi2.sf(model.pearson_chi2, 2), rel=1e-5)


def test_a_step_is_off_the_line():
    x = 2.0 ** np.arange(8)
    assert lack_of_fit(x, read_only(0, 0, 0, 11 / 48, 42 / 48, 1, 1, 1), np.full(8, 48)) < 1e-12
    assert lack_of_fit(x, 0.05 + 0.1 * np.arange(8), np.full(8, 48)) == pytest.approx(1)


@pytest.mark.parametrize("rows", [48, 1000])
@pytest.mark.parametrize("ends", [(0.3, 0.6), (0.05, 0.95), (0.005, 0.2), (0.3, 0.3)])
@pytest.mark.parametrize("points", [4, 8])
def test_a_true_line_is_rejected_in_at_most_seven_percent_of_samples(rows, ends, points):
    rng, x, shares = np.random.default_rng(0), 2.0 ** np.arange(points), np.linspace(*ends, points)
    p = [lack_of_fit(x, rng.binomial(rows, shares) / rows, np.full(points, rows)) for _ in range(600)]
    assert np.mean(np.array(p) < 0.05) <= 0.07


def test_two_points_leave_nothing_to_test():
    assert lack_of_fit(read_only(1, 10), read_only(0.2, 0.3), read_only(9, 9)) is None
    assert lack_of_fit(read_only(1, 10, 10), read_only(0.2, 0.3, 0.4), read_only(9, 9, 9)) is None


def test_points_without_any_share_lie_on_their_line():
    assert lack_of_fit(SIZES, np.zeros(4), np.full(4, 30)) == pytest.approx(1)
    assert lack_of_fit(SIZES, np.ones(4), np.full(4, 1)) == pytest.approx(1)


def test_a_share_above_one_is_refused():
    with pytest.raises(ValueError, match="shares must be between 0 and 1"):
        lack_of_fit(SIZES, read_only(0, 0.1, 0.2, 1.1), np.full(4, 30))
