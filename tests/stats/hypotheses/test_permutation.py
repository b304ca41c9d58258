from itertools import combinations, product

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


# ------------------------------------------------------------------------------------------------------------ clusters


def exact_by_signs(values, member, stratum, clusters) -> float:
    """The exact p-value from all signs of the clusters' terms, one by one, as the formula says."""
    terms: dict[int, float] = {}
    for each in set(stratum):
        rows = [i for i in range(len(values)) if stratum[i] == each]
        size, members = len(rows), sum(member[i] for i in rows)
        mean = sum(values[i] for i in rows) / size
        for i in rows:
            weight = size / len(values) * (1 / members + 1 / (size - members))
            term = weight * (member[i] - members / size) * (values[i] - mean)
            terms[clusters[i]] = terms.get(clusters[i], 0.0) + term
    observed = abs(sum(terms.values()))
    sums = [abs(sum(np.multiply(signs, list(terms.values())))) for signs in product((-1, 1), repeat=len(terms))]
    return float(np.mean([total >= observed - 1e-9 for total in sums]))


@pytest.mark.parametrize("seed", range(4))
def test_with_clusters_p_agrees_with_all_signs(seed):
    random = np.random.default_rng(seed)
    clusters, stratum = random.integers(0, 8, 40), np.arange(40) % 2
    member = random.random(40) < 0.5
    values = random.normal(size=40) + 0.4 * member + random.normal(size=8)[clusters]
    p = permutation_p_values(values[:, None], member, stratum, clusters=clusters, permutations=20_000)[0]
    truth = exact_by_signs(values.tolist(), member.tolist(), stratum.tolist(), clusters.tolist())
    assert p == pytest.approx(truth, abs=0.012)


def test_the_sum_of_the_clusters_terms_is_the_difference_of_the_groups():
    """So that the observed statistic is that of the test by labels; all signs alike give the smallest p."""
    values = np.array([9.0, 8, 1, 2, 7, 6, 1, 0])[:, None]
    member, clusters = [True, True, False, False] * 2, [0, 1, 2, 3] * 2
    assert permutation_p_values(values, member, clusters=clusters, permutations=20_000)[0] == pytest.approx(
        2 / 16, abs=0.012
    )


def test_one_row_per_cluster_permutes_labels():
    values, member = np.random.default_rng(2).normal(size=(30, 2)), np.arange(30) < 12
    expected = permutation_p_values(values, member)
    assert permutation_p_values(values, member, clusters=np.arange(30)[::-1]).tolist() == expected.tolist()


def test_copies_of_every_row_do_not_make_the_p_smaller():
    random = np.random.default_rng(3)
    rows, member = np.arange(40).repeat(10), np.arange(40) < 20
    values = random.normal(size=(40, 200))
    clustered = permutation_p_values(values[rows], member[rows], clusters=rows, permutations=199)
    by_rows = permutation_p_values(values[rows], member[rows], permutations=199)
    assert 0.01 <= (clustered <= 0.05).mean() <= 0.09
    assert (by_rows <= 0.05).mean() > 0.4  # what the clusters are for
