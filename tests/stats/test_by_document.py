"""Permutation tests by document: exact small cases, their level for dependent rows, and Holm by hand."""

from itertools import combinations, product

import numpy as np
import pytest

from mematlas.stats.hypotheses.by_document import holm, p_of_higher_in_members, p_of_positive_mean


def test_members_against_all_divisions_of_few_documents():
    values = np.array([5.0, 1, 4, 4, 3, 0, 2, 1, 0, 1])
    clusters = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    member = np.isin(clusters, [0, 1])
    sums = np.bincount(clusters, values)

    def difference(chosen):
        inside = sum(sums[i] for i in chosen)
        return inside / (2 * len(chosen)) - (sums.sum() - inside) / (2 * (5 - len(chosen)))

    observed = difference((0, 1))
    exact = np.mean([difference(chosen) >= observed - 1e-9 for chosen in combinations(range(5), 2)])
    assert p_of_higher_in_members(values, member, clusters) == pytest.approx(exact, abs=0.02)
    assert p_of_higher_in_members(-values, member, clusters) > 0.8, "the test has one side"


def test_paired_differences_against_all_signs():
    differences, clusters = np.array([1.0, 2, -1, 3, 2, 1]), np.array([0, 0, 1, 2, 3, 4])
    sums = np.bincount(clusters, differences)
    exact = np.mean([np.dot(signs, sums) >= sums.sum() for signs in product((-1, 1), repeat=5)])
    assert p_of_positive_mean(differences, clusters) == pytest.approx(exact, abs=0.02)


def test_dependent_rows_give_no_false_alarms_and_real_differences_are_found():
    random, false_alarms, alarms_of_rows, found = np.random.default_rng(0), 0, 0, 0
    clusters = np.repeat(np.arange(30), 10)
    member = clusters < 15
    for _ in range(300):
        effects = random.normal(size=30)[clusters]
        values = effects + 0.1 * random.normal(size=300)
        false_alarms += p_of_higher_in_members(values, member, clusters, permutations=199) <= 0.05
        alarms_of_rows += p_of_higher_in_members(values, member, np.arange(300), permutations=199) <= 0.05
        found += p_of_higher_in_members(values + 1.5 * member, member, clusters, permutations=199) <= 0.05
    assert false_alarms <= 27, "5 % of 300, and three standard errors"
    assert alarms_of_rows > 60, "the negative control: rows taken as independent give false alarms"
    assert found > 270


def test_a_document_on_both_sides_is_refused_and_nothing_is_not_a_number():
    with pytest.raises(ValueError, match="both sides"):
        p_of_higher_in_members([1.0, 2.0], [True, False], [0, 0])
    assert np.isnan(p_of_higher_in_members([1.0, 2.0], [True, True], [0, 1]))
    assert np.isnan(p_of_positive_mean([], []))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(holm([np.nan, 0.02])[0])
    assert holm([np.nan, 0.02])[1] == pytest.approx(0.02), "what was not tested does not count"
