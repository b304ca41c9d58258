"""Logistic regression against planted coefficients, statsmodels and a general optimizer; and cases without a fit."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import t as student_t
from statsmodels.discrete.discrete_model import Logit

from mematlas.stats.regression.logistic import (
    MAX_JACKKNIFED,
    fit_logistic,
    held_out_rows,
    likelihood_ratio_test,
    log_likelihood,
    standardize,
    wald_test,
)

TRUE = np.array([-1.0, 0.8, -0.5, 0.0])


def random_data(rows=400, seed=0, coefficients=TRUE):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, len(coefficients) - 1))
    y = generator.uniform(size=rows) < expit(coefficients[0] + x @ coefficients[1:])
    x.flags.writeable = y.flags.writeable = False
    return x, y


def test_planted_coefficients_are_recovered_within_their_intervals():
    x, y = random_data(rows=20_000)
    model = fit_logistic(x, y)
    ends = wald_test(model)
    assert model.converged
    assert model.coefficients == pytest.approx(TRUE, abs=0.06)
    assert ((ends.lower < TRUE) & (ends.upper > TRUE)).all()
    assert (ends.p[:3] < 1e-10).all()
    assert ends.p[3] > 0.05


def test_wald_intervals_have_their_nominal_coverage():
    covered = []
    for seed in range(300):
        ends = wald_test(fit_logistic(*random_data(rows=300, seed=seed)))
        covered.append((ends.lower < TRUE) & (ends.upper > TRUE))
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_maximum_likelihood_agrees_with_statsmodels():
    x, y = random_data()
    expected = Logit(y.astype(float), np.column_stack([np.ones(len(x)), x])).fit(disp=0, tol=1e-10)
    model = fit_logistic(x, y)
    assert model.coefficients == pytest.approx(expected.params, abs=1e-6)
    assert model.standard_errors == pytest.approx(expected.bse, abs=1e-6)
    assert model.log_likelihood == pytest.approx(expected.llf)
    assert wald_test(model).p == pytest.approx(expected.pvalues, abs=1e-6)


def test_penalty_and_class_weights_are_as_in_k2():
    x, y = random_data()
    weights = np.where(y, len(y) / (2 * y.sum()), len(y) / (2 * (~y).sum()))

    def loss(coefficients):
        odds = coefficients[0] + x @ coefficients[1:]
        return weights @ np.logaddexp(0, np.where(y, -odds, odds)) + coefficients[1:] @ coefficients[1:] / 2

    model = fit_logistic(x, y, penalty=1.0, balanced=True)
    assert model.coefficients == pytest.approx(minimize(loss, np.zeros(4), tol=1e-10).x, abs=1e-4)
    assert np.average(model.probabilities(x), weights=weights) == pytest.approx(0.5)
    assert model.standard_errors is None
    assert wald_test(model) is None


def test_no_features_give_the_share():
    _, y = random_data()
    model = fit_logistic(np.empty((len(y), 0)), y)
    assert model.probabilities(np.empty((2, 0))) == pytest.approx([y.mean()] * 2)
    assert model.log_likelihood == pytest.approx(log_likelihood(np.full(len(y), y.mean()), y))


def test_separated_classes_and_repeated_features_have_a_reason_and_no_error():
    x = np.arange(-10, 10)[:, None] / 5
    separated = fit_logistic(x, x[:, 0] > 0)
    assert not separated.converged
    assert (
        separated.reason == "the features separate the classes, or some rows of them: the coefficients grow without end"
    )
    assert wald_test(separated) is None
    assert fit_logistic(x, x[:, 0] > 0, penalty=1.0).converged
    x, y = random_data()
    rare = np.zeros(len(x))
    rare[np.flatnonzero(~y)[:2]] = 1
    partly_separated, _ = standardize(np.column_stack([x, rare]), np.ones(len(x), dtype=bool))
    assert fit_logistic(partly_separated, y).reason == separated.reason
    collinear = fit_logistic(np.column_stack([x, x[:, 0] - x[:, 1]]), y)
    assert collinear.reason == "features are linear combinations of one another"
    assert collinear.standard_errors is None


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((3, 1)), np.ones(2, bool), r"not \(3, 1\), \(2,\)"),
        (np.zeros((3, 1)), np.ones(3, bool), "both classes"),
        (np.full((2, 1), np.nan), np.array([True, False]), "finite"),
    ],
)
def test_what_cannot_be_fitted_is_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        fit_logistic(x, y)
    with pytest.raises(ValueError, match="not -1"):
        fit_logistic(np.zeros((2, 1)), np.array([True, False]), penalty=-1)


def test_the_likelihood_ratio_of_a_feature_without_effect_is_uniform():
    p_values = []
    for seed in range(300):
        x, y = random_data(rows=200, seed=seed)
        smaller, larger = fit_logistic(x[:, :2], y), fit_logistic(x, y)
        p_values.append(likelihood_ratio_test(smaller.log_likelihood, larger.log_likelihood, 1).p)
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.06)


def test_the_likelihood_ratio_by_hand():
    test = likelihood_ratio_test(-10.0, -8.0, 2)
    assert (test.statistic, test.freedom, test.p) == (4.0, 2, pytest.approx(np.exp(-2)))
    assert likelihood_ratio_test(-8.0, -10.0, 1).p == 1.0
    with pytest.raises(ValueError, match="not 0"):
        likelihood_ratio_test(-8.0, -10.0, 0)


def test_standardizing_uses_only_the_training_rows():
    x = np.array([[1.0, 5, 7], [3, 5, 9], [100, 6, 8]])
    scaled, varies = standardize(x, np.array([True, True, False]))
    assert varies.tolist() == [True, False, True]
    assert scaled == pytest.approx(np.array([[-1.0, -1], [1, 1], [98, 0]]))


def test_a_fifth_of_each_class_is_held_out_the_same_each_time():
    y = np.arange(1000) < 100
    test = held_out_rows(y)
    assert (test[y].sum(), test[~y].sum()) == (20, 180)
    assert (held_out_rows(y) == test).all()
    assert (held_out_rows(y, seed=7) != test).any()


def test_no_group_is_in_both_parts():
    groups = np.random.default_rng(0).integers(0, 60, size=500)
    test = held_out_rows(np.arange(500) < 50, groups)
    assert not set(groups[test]) & set(groups[~test])
    assert 70 <= test.sum() <= 130
    assert not held_out_rows(np.ones(5, bool), np.zeros(5)).any()


# ------------------------------------------------------------------------------------------------------------ clusters


def test_errors_over_many_clusters_are_those_of_statsmodels():
    x, y = random_data(rows=4000)
    clusters = MAX_JACKKNIFED + 1
    labels = np.append(np.arange(clusters), np.random.default_rng(1).integers(0, clusters, len(y) - clusters))
    model = fit_logistic(x, y, clusters=labels)
    options = {"cov_type": "cluster", "cov_kwds": {"groups": labels, "use_correction": False}}
    expected = Logit(y, np.column_stack([np.ones(len(x)), x])).fit(disp=False, **options)
    assert model.clusters == clusters
    # statsmodels without its correction lacks the factor m / (m - 1) of the m clusters
    assert model.standard_errors == pytest.approx(np.sqrt(clusters / (clusters - 1)) * expected.bse, rel=1e-5)
    ends = wald_test(model)
    half_width = student_t.ppf(0.975, clusters - 1) * model.standard_errors
    assert ends.upper == pytest.approx(model.coefficients + half_width)
    assert ends.p == pytest.approx(2 * student_t.sf(np.abs(model.coefficients) / model.standard_errors, clusters - 1))


def test_errors_over_few_clusters_are_those_of_models_without_one():
    """The jackknife by hand: 23 models, each without the rows of one cluster."""
    x, y = random_data()
    labels = np.random.default_rng(1).integers(0, 23, len(y))
    model = fit_logistic(x, y, clusters=labels)
    without = [fit_logistic(x[labels != each], y[labels != each]).coefficients for each in range(23)]
    jackknife = np.sqrt(22 / 23 * np.square(np.array(without) - model.coefficients).sum(0))
    assert model.standard_errors == pytest.approx(jackknife, rel=0.03)
    options = {"cov_type": "cluster", "cov_kwds": {"groups": labels, "use_correction": False}}
    by_scores = Logit(y, np.column_stack([np.ones(len(x)), x])).fit(disp=False, **options).bse
    assert (model.standard_errors / by_scores > 1).all()
    assert (model.standard_errors / by_scores < 1.2).all()


def test_no_errors_where_a_single_cluster_determines_a_coefficient():
    x, y = random_data()
    labels = np.arange(400) // 20
    only = np.where(labels == 3, x[:, 0], 0.0)[:, None]
    assert fit_logistic(only, y, clusters=labels).standard_errors is None
    assert fit_logistic(only, y).standard_errors is not None


def test_one_row_per_cluster_is_the_model_of_independent_rows():
    x, y = random_data()
    expected, result = fit_logistic(x, y), fit_logistic(x, y, clusters=np.arange(len(y)))
    assert result.clusters is None
    assert result.standard_errors.tolist() == expected.standard_errors.tolist()


def test_copies_of_every_row_leave_the_errors_over_clusters_as_they_were():
    x, y = random_data(rows=2000)
    rows = np.arange(2000).repeat(6)
    expected, by_rows = fit_logistic(x, y), fit_logistic(x[rows], y[rows])
    result = fit_logistic(x[rows], y[rows], clusters=rows)
    assert result.coefficients == pytest.approx(expected.coefficients, abs=1e-6)
    # of a true model the variance of the scores is the information
    assert result.standard_errors == pytest.approx(expected.standard_errors, rel=0.05)
    assert by_rows.standard_errors == pytest.approx(expected.standard_errors / 6**0.5)


def test_no_errors_where_there_are_no_more_clusters_than_coefficients():
    x, y = random_data()
    assert fit_logistic(x, y, clusters=np.arange(400) % 4).standard_errors is None
    assert fit_logistic(x, y, clusters=np.arange(400) % 5).standard_errors is not None
