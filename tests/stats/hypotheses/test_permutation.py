from itertools import combinations

import numpy as np
import pytest

from mematlas.stats.hypotheses.permutation import permutation_p


def exact(values: list[float], size: int) -> float:
    """Share of all ways to call `size` of the values the group that put it at least as far from the others."""
    total = sum(values)

    def apart(chosen: tuple[float, ...]) -> float:
        return abs(sum(chosen) / size - (total - sum(chosen)) / (len(values) - size))

    every = [apart(chosen) for chosen in combinations(values, size)]
    return float(np.mean([found >= apart(tuple(values[:size])) - 1e-9 for found in every]))


@pytest.mark.parametrize(
    ("values", "size"),
    [([10, 11, 12, 1, 2, 3], 3), ([1, 7, 2, 8, 9, 4, 5], 2), ([5, 1, 1, 1, 1], 1), ([0.1, 0.2, 0.3, 0.1, 0.2], 2)],
)
def test_p_is_that_of_all_arrangements(values, size):
    member = [True] * size + [False] * (len(values) - size)
    given = np.array(values, float)[:, None]
    given.flags.writeable = False
    found = permutation_p(given, member, permutations=20_000)[0]
    assert found == pytest.approx(exact(values, size), abs=0.012)


def test_the_smallest_p_is_that_of_the_observed_one_alone():
    values, member = np.arange(40.0)[:, None], np.arange(40) >= 20
    assert permutation_p(values, member, permutations=99)[0] == 1 / 100


def test_equal_values_have_a_p_of_one():
    assert permutation_p([[0.1]] * 7, [True, True, False, False, True, False, False])[0] == 1


def test_columns_share_permutations_and_do_not_change_each_other():
    values = np.random.default_rng(1).normal(size=(30, 3))
    member = np.arange(30) < 11
    together = permutation_p(values, member, seed=4)
    assert together[1] == permutation_p(values[:, 1:2], member, seed=4)[0]
    assert not np.array_equal(together, permutation_p(values, member, seed=5))


def test_labels_move_within_strata_only():
    """Within each stratum nothing differs but by its own value: no arrangement is other than the one observed."""
    stratum = np.repeat([0, 1], 50)
    member = np.arange(100) % 10 < np.where(stratum, 8, 2)
    values = stratum[:, None] * 1.0
    assert permutation_p(values, member)[0] < 0.01
    assert permutation_p(values, member, stratum)[0] == 1


def test_two_strata_against_all_arrangements():
    # {4 | 1, 2} and {7, 9 | 3}: 3 x 3 arrangements, weights 1/2 each
    values, member, stratum = [[4.0], [1.0], [2.0], [7.0], [9.0], [3.0]], [1, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1]
    first = [4 - 1.5, 1 - 3, 2 - 2.5]
    second = [8 - 3, 6 - 7, 5 - 9]
    every = np.array([(one + other) / 2 for one in first for other in second])
    truth = (np.abs(every) >= abs(every[0]) - 1e-9).mean()
    assert permutation_p(values, member, stratum, permutations=20_000)[0] == pytest.approx(truth, abs=0.012)


def test_random_labels_are_found_apart_as_often_as_the_level_says():
    generator = np.random.default_rng(0)
    values = generator.lognormal(sigma=2, size=(60, 400))
    found = permutation_p(values, np.arange(60) < 20, permutations=199)
    assert 0.02 <= (found <= 0.05).mean() <= 0.09


def test_no_stratum_with_both_gives_no_p():
    assert np.isnan(permutation_p([[1.0], [2.0]], [True, False], [1, 2])).all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least 1, not 0"):
        permutation_p([[1.0], [2.0]], [True, False], permutations=0)
    with pytest.raises(ValueError, match="no value missing"):
        permutation_p([[1.0], [np.nan]], [True, False])
