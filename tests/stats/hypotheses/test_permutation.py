from itertools import combinations

import numpy as np
import pytest

from mematlas.stats.hypotheses.permutation import permutation_p_values


def exact(values: list[float], size: int) -> float:
    """The exact p-value, from all ways to choose a group of `size` values."""
    total = sum(values)

    def difference(chosen: tuple[float, ...]) -> float:
        return abs(sum(chosen) / size - (total - sum(chosen)) / (len(values) - size))

    differences = [difference(chosen) for chosen in combinations(values, size)]
    return float(np.mean([p >= difference(tuple(values[:size])) - 1e-9 for p in differences]))


@pytest.mark.parametrize(
    ("values", "size"),
    [([10, 11, 12, 1, 2, 3], 3), ([1, 7, 2, 8, 9, 4, 5], 2), ([5, 1, 1, 1, 1], 1), ([0.1, 0.2, 0.3, 0.1, 0.2], 2)],
)
def test_p_agrees_with_all_arrangements(values, size):
    member = [True] * size + [False] * (len(values) - size)
    column = np.array(values, float)[:, None]
    column.flags.writeable = False
    p = permutation_p_values(column, member, permutations=20_000)[0]
    assert p == pytest.approx(exact(values, size), abs=0.012)


def test_the_smallest_p_counts_only_the_observed_arrangement():
    values, member = np.arange(40.0)[:, None], np.arange(40) >= 20
    assert permutation_p_values(values, member, permutations=99)[0] == 1 / 100


def test_equal_values_have_a_p_of_one():
    assert permutation_p_values([[0.1]] * 7, [True, True, False, False, True, False, False])[0] == 1


def test_columns_share_permutations_and_do_not_change_each_other():
    values = np.random.default_rng(1).normal(size=(30, 3))
    member = np.arange(30) < 11
    all_columns = permutation_p_values(values, member, seed=4)
    assert all_columns[1] == permutation_p_values(values[:, 1:2], member, seed=4)[0]
    assert not np.array_equal(all_columns, permutation_p_values(values, member, seed=5))


def test_labels_move_within_strata_only():
    """Within each stratum all values are equal, so that all arrangements give the observed difference."""
    stratum = np.repeat([0, 1], 50)
    member = np.arange(100) % 10 < np.where(stratum, 8, 2)
    values = stratum[:, None] * 1.0
    assert permutation_p_values(values, member)[0] < 0.01
    assert permutation_p_values(values, member, stratum)[0] == 1


def test_two_strata_against_all_arrangements():
    # {4 | 1, 2} and {7, 9 | 3}: 3 x 3 arrangements, weights 1/2 each
    values, member, stratum = [[4.0], [1.0], [2.0], [7.0], [9.0], [3.0]], [1, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1]
    first = [4 - 1.5, 1 - 3, 2 - 2.5]
    second = [8 - 3, 6 - 7, 5 - 9]
    differences = np.array([(one + other) / 2 for one in first for other in second])
    truth = (np.abs(differences) >= abs(differences[0]) - 1e-9).mean()
    assert permutation_p_values(values, member, stratum, permutations=20_000)[0] == pytest.approx(truth, abs=0.012)


def test_random_labels_are_rejected_at_the_nominal_level():
    generator = np.random.default_rng(0)
    values = generator.lognormal(sigma=2, size=(60, 400))
    p = permutation_p_values(values, np.arange(60) < 20, permutations=199)
    assert 0.02 <= (p <= 0.05).mean() <= 0.09


def test_no_stratum_with_both_gives_no_p():
    assert np.isnan(permutation_p_values([[1.0], [2.0]], [True, False], [1, 2])).all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least 1, not 0"):
        permutation_p_values([[1.0], [2.0]], [True, False], permutations=0)
    with pytest.raises(ValueError, match="no value missing"):
        permutation_p_values([[1.0], [np.nan]], [True, False])
