"""Correlations against scipy, their p-values under the null hypothesis, and what is not defined."""

import numpy as np
import pytest
from scipy import stats

from mematlas.stats.hypotheses.correlation import correlation


@pytest.mark.parametrize(("kind", "expected"), [("spearman", stats.spearmanr), ("pearson", stats.pearsonr)])
def test_the_coefficient_is_scipys_with_ties(kind, expected):
    random = np.random.default_rng(0)
    x, y = random.integers(0, 6, 80).astype(float), random.integers(0, 2, 80) + 0.0
    found = correlation(x, y, kind)
    assert found.estimate == pytest.approx(expected(x, y).statistic)
    assert found.p == pytest.approx(expected(x, y).pvalue, abs=0.03)
    assert found.lower < found.estimate < found.upper
    assert found == correlation(x, y, kind)


def test_p_values_of_unrelated_columns_are_even():
    p_values = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        p_values.append(correlation(random.random(15), random.random(15), "spearman", permutations=99, seed=seed).p)
    assert 0.01 <= np.mean(np.array(p_values) <= 0.05) <= 0.11
    assert correlation(np.arange(15.0), np.arange(15.0), "spearman").p < 0.001


def test_what_is_not_defined_says_why():
    assert correlation([1, 2, 3], [1, 2, 3], "pearson").reason == "fewer than 4 pairs"
    assert correlation([1, 2, 3, 4], [1, 1, 1, 1], "pearson").reason == "one side does not vary"
    assert correlation([1, 2, 3, 4], [1, 1, 1, 1], "pearson").estimate is None
    with pytest.raises(ValueError, match="same shape"):
        correlation([1, 2, 3, 4], [1, 2, 3, np.nan], "pearson")
