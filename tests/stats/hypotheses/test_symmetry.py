import warnings
from itertools import product

import numpy as np
import pytest
from scipy.stats import chi2, f
from statsmodels.stats.contingency_tables import SquareTable

from mematlas.stats.hypotheses.symmetry import (
    MAX_FLIPPED,
    bowker,
    clustered_bowker,
    clustered_stuart_maxwell,
    stuart_maxwell,
)

#: Asymmetric, without an empty cell: vision of 7,477 women, right eye (rows) and left eye (Stuart 1955).
EYES = np.array([[1520, 266, 124, 66], [234, 1512, 432, 78], [117, 362, 1772, 205], [36, 82, 179, 492]])
EYES.flags.writeable = False


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_the_textbook_example():
    result = bowker(EYES)
    by_hand = sum((EYES[a, b] - EYES[b, a]) ** 2 / (EYES[a, b] + EYES[b, a]) for a in range(4) for b in range(a))
    assert result.statistic == pytest.approx(by_hand)
    assert (result.name, result.freedom, result.reason, result.sparse) == ("Bowker", 6, None, False)
    assert result.p == pytest.approx(chi2.sf(by_hand, 6))
    margins = stuart_maxwell(EYES)
    assert margins.statistic == pytest.approx(11.957, abs=5e-4)  # as published: 11.957 with 3 degrees of freedom
    assert (margins.name, margins.freedom) == ("Stuart-Maxwell", 3)
    assert margins.p == pytest.approx(0.00753, abs=1e-5)


@pytest.mark.parametrize("test", [bowker, stuart_maxwell])
def test_two_categories_are_mcnemars_test(test):
    result = test([[50, 21], [9, 0]])
    assert result.statistic == pytest.approx((21 - 9) ** 2 / (21 + 9))
    assert result.freedom == 1


@pytest.mark.parametrize("test", [bowker, stuart_maxwell])
def test_the_diagonal_and_the_direction_do_not_matter(test):
    emptied = EYES - np.diag(np.diag(EYES))
    assert test(emptied).statistic == pytest.approx(test(EYES).statistic)
    assert test(EYES.T).p == pytest.approx(test(EYES).p)


@pytest.mark.parametrize("test", [bowker, stuart_maxwell])
def test_a_symmetric_table_is_not_rejected(test):
    result = test(EYES + EYES.T)
    assert result.statistic == pytest.approx(0, abs=1e-9)
    assert result.p == pytest.approx(1)


@pytest.mark.parametrize("seed", range(20))
def test_full_tables_give_the_statistics_of_statsmodels(seed):
    size = (2, 3, 5)[seed % 3]
    table = np.random.default_rng(seed).integers(1, 60, (size, size))
    reference = SquareTable(table, shift_zeros=False)
    assert bowker(table).statistic == pytest.approx(reference.symmetry().statistic, rel=1e-12)
    assert stuart_maxwell(table).statistic == pytest.approx(reference.homogeneity().statistic, rel=1e-9)


def test_a_circle_has_equal_margins_and_no_symmetry():
    circle = [[5, 30, 0], [0, 5, 30], [30, 0, 5]]
    assert bowker(circle).p < 1e-10
    assert stuart_maxwell(circle).p == pytest.approx(1)


@pytest.mark.parametrize("test", [bowker, stuart_maxwell])
def test_categories_without_rows_change_nothing(test):
    wide = np.zeros((6, 6), int)
    wide[np.ix_([0, 2, 3, 5], [0, 2, 3, 5])] = EYES
    result, reference = test(wide), test(EYES)
    assert result.statistic == pytest.approx(reference.statistic)
    assert (result.freedom, result.p) == (reference.freedom, pytest.approx(reference.p))


def test_empty_cells_are_not_shifted():
    table = np.array([[9, 4, 0], [1, 9, 6], [5, 0, 9]])
    apart = (table.sum(0) - table.sum(1))[:2]
    spread = np.array([[10, -5], [-5, 11]])  # of the first two margins: rows that move in or out, and between them
    assert stuart_maxwell(table).statistic == pytest.approx(apart @ np.linalg.solve(spread, apart))
    assert bowker(table).statistic == pytest.approx(3**2 / 5 + 5 + 6)


def test_groups_without_moves_between_them_are_tested_separately_and_summed():
    apart = np.zeros((4, 4), int)
    apart[:2, :2], apart[2:, 2:] = [[9, 21], [9, 9]], [[9, 16], [34, 9]]
    assert stuart_maxwell(apart).statistic == pytest.approx(144 / 30 + 18**2 / 50)
    assert stuart_maxwell(apart).freedom == 2


@pytest.mark.parametrize("test", [bowker, stuart_maxwell])
@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (np.zeros((5, 5), int), "there are no rows"),
        (np.diag([4, 0, 2, 1, 9]), "no row changes its category"),
        ([[7]], "no row changes its category"),
    ],
)
def test_nothing_to_test_gives_a_reason_and_no_number(test, table, reason):
    result = test(table)
    assert (result.statistic, result.freedom, result.p, result.sparse) == (None, None, None, None)
    assert result.reason == reason


@pytest.mark.parametrize("test", [bowker, stuart_maxwell])
@pytest.mark.parametrize("table", [[[1, 2, 3], [4, 5, 6]], [1, 2], [[0, -1], [1, 0]], [[0, np.nan], [1, 0]]])
def test_tables_that_are_not_square_counts_are_refused(test, table):
    with pytest.raises(ValueError, match="counts must"):
        test(table)


def test_few_moves_are_marked_sparse():
    assert bowker([[50, 6], [3, 50]]).sparse
    assert not bowker([[50, 6], [4, 50]]).sparse


@pytest.mark.parametrize(("rows", "limit"), [(40, 0.05), (3000, 0.075)])
@pytest.mark.parametrize("test", [bowker, stuart_maxwell])
def test_symmetric_chance_is_rejected_no_more_often_than_promised(test, rows, limit):
    rng = np.random.default_rng(7)
    chances = rng.random((5, 5)) + 6 * np.eye(5)
    chances = (chances + chances.T) / (chances + chances.T).sum()
    tables = rng.multinomial(rows, chances.ravel(), size=400).reshape(-1, 5, 5)
    result = [test(table).p for table in tables]
    rejected = np.mean([p is not None and p < 0.05 for p in result])
    assert rejected <= limit
    if rows == 3000:
        assert rejected >= 0.025


def test_a_planted_shift_is_detected():
    rng = np.random.default_rng(8)
    chances = np.array([[0.3, 0.2, 0.1], [0.1, 0.1, 0.1], [0.02, 0.03, 0.05]])
    result = [test(rng.multinomial(400, chances.ravel()).reshape(3, 3)) for test in (bowker, stuart_maxwell)]
    assert all(test.p < 0.001 for test in result)


# ------------------------------------------------------------------------------------------------------------- clusters


def rows_in_clusters(levels, targets, cluster, categories=4):
    tables = np.zeros((max(cluster) + 1, categories, categories))
    np.add.at(tables, (cluster, levels, targets), 1)
    return tables


def test_with_one_row_per_cluster_the_statistic_is_bowkers():
    random = np.random.default_rng(0)
    levels, targets = random.integers(0, 4, (2, 300))
    tables = rows_in_clusters(levels, targets, np.arange(300))
    result, plain = clustered_bowker(tables), bowker(tables.sum(0))
    moving = int((levels != targets).sum())
    statistic = (
        result.statistic * result.freedom * moving / (moving - result.freedom + result.freedom * result.statistic)
    )
    assert statistic == pytest.approx(plain.statistic)
    assert result.p == pytest.approx(plain.p, abs=0.03)


def test_copies_of_every_row_in_its_cluster_change_nothing():
    random = np.random.default_rng(1)
    levels, targets, cluster = random.integers(0, 4, 200), random.integers(0, 4, 200), random.integers(0, 50, 200)
    tables = rows_in_clusters(levels, targets, cluster)
    for test in (clustered_bowker, clustered_stuart_maxwell):
        assert test(5 * tables).p == pytest.approx(test(tables).p)
        assert test(tables.transpose(0, 2, 1)).p == pytest.approx(test(tables).p)


def test_a_direction_in_all_clusters_is_found_and_one_in_a_single_cluster_is_not():
    risen = np.zeros((30, 3, 3))
    risen[:, 0, 1], risen[:, 1, 0] = 3, 1
    risen[::2, 1, 0] = 0
    assert clustered_bowker(risen).p < 0.001
    alone = np.zeros((30, 3, 3))
    alone[:, 0, 1] = alone[:, 1, 0] = 1
    alone[0, 0, 1] = 60
    assert bowker(alone.sum(0)).p < 0.001
    assert clustered_bowker(alone).p > 0.2


@pytest.mark.parametrize("test", [clustered_bowker, clustered_stuart_maxwell])
def test_p_of_few_clusters_is_that_of_all_signs(test):
    """Eight clusters; the signs of a cluster are flipped by exchanging its two models."""
    random = np.random.default_rng(3)
    tables = random.poisson(1.0, (8, 3, 3)) + np.array([[0, 2, 1], [0, 0, 1], [0, 0, 0]]) * random.integers(
        0, 2, (8, 1, 1)
    )
    observed, statistics = test(tables), []
    for flips in product((False, True), repeat=8):
        flipped = np.where(np.array(flips)[:, None, None], tables.transpose(0, 2, 1), tables)
        statistics.append(test(flipped).statistic)
    assert observed.p == pytest.approx(np.mean(np.array(statistics) >= observed.statistic - 1e-9), abs=0.01)


def test_p_does_not_depend_on_the_order_of_clusters_or_models():
    random = np.random.default_rng(5)
    tables = random.poisson(1.0, (12, 3, 3))
    known = clustered_bowker(tables).p
    assert clustered_bowker(random.permutation(tables)).p == known
    assert clustered_bowker(tables.transpose(0, 2, 1)).p == known


def test_p_of_many_clusters_is_hotellings():
    random = np.random.default_rng(4)
    tables = 1 + random.poisson(1.0, (MAX_FLIPPED + 1, 3, 3))
    result = clustered_bowker(tables)
    assert result.p == f.sf(result.statistic, 3, MAX_FLIPPED + 1 - 3)
    assert clustered_bowker(tables[:-1]).p == pytest.approx(clustered_bowker(tables).p, abs=0.05)


def test_what_cannot_be_tested_has_a_reason():
    still = np.zeros((5, 3, 3)) + np.eye(3)
    assert clustered_bowker(still).reason == "no row changes its category"
    even = np.zeros((5, 3, 3))
    even[:, 0, 1] = even[:, 1, 0] = 2
    assert clustered_bowker(even).reason == "as many rows rise as fall in every cluster"
    few = np.zeros((1, 3, 3))
    few[0, 0, 1] = 9
    assert clustered_stuart_maxwell(few).reason == "rows move in 1 clusters only, too few for a test"
    with pytest.raises(ValueError, match=r"shape \(clusters, categories, categories\)"):
        clustered_bowker(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="negative or missing"):
        clustered_bowker(-even)
