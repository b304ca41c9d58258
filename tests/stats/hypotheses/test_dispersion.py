import numpy as np
import pytest
from scipy.stats import chi2_contingency

from mematlas.stats.hypotheses.dispersion import dispersion_test, quantile_points, window_counts, window_size

ROWS, SIZE = 20_480, 512


def by_chance(share: float, seed: int) -> np.ndarray:
    return np.flatnonzero(np.random.default_rng(seed).random(ROWS) < share)


def clustered(seed: int) -> np.ndarray:
    """As many events as with a share of 0.01, in runs of ten neighboring rows."""
    starts = np.random.default_rng(seed).choice(ROWS // 10, size=20, replace=False) * 10
    return (starts[:, None] + np.arange(10)).ravel()


def window_events(positions: np.ndarray) -> np.ndarray:
    positions.flags.writeable = False
    return window_counts(positions, ROWS, SIZE)


def test_events_are_counted_in_their_window():
    assert window_counts(np.array([0, 4, 5, 14, 15, 16]), 17, 5).tolist() == [2, 1, 1]


def test_poisson_and_clustered_events_are_distinguished():
    scattered = dispersion_test(window_events(by_chance(0.01, seed=0)), SIZE)
    bunched = dispersion_test(window_events(clustered(seed=0)), SIZE)
    assert scattered.verdict == "as by chance"
    assert scattered.dispersion == pytest.approx(1, abs=0.4)
    assert bunched.verdict == "clustered"
    assert bunched.dispersion > 4
    assert bunched.p_clustered < 1e-6


@pytest.mark.parametrize("share", [0.01, 0.5, 0.97])
def test_the_test_has_its_nominal_level_for_every_share(share):
    verdicts = [dispersion_test(window_events(by_chance(share, seed)), SIZE).verdict for seed in range(400)]
    assert np.mean([verdict != "as by chance" for verdict in verdicts]) == pytest.approx(0.05, abs=0.03)


def test_evenly_spaced_events_are_neither():
    result = dispersion_test(np.full(40, 9), SIZE)
    assert result.verdict == "evenly"
    assert result.dispersion == 0


def test_the_test_is_that_of_a_contingency_table():
    counts = np.array([3, 9, 4, 8, 2, 7])
    expected = chi2_contingency([counts, 20 - counts], correction=False).pvalue
    assert dispersion_test(counts, 20).p_clustered == pytest.approx(expected)


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ([0, 0, 0], "no row is an event"),
        ([20, 20], "every row is one"),
        ([3], "fewer than 2 windows"),
        ([], "fewer than 2 windows"),
        ([1, 0, 0, 1], "fewer than 1 expected a window, too few for the chi-square test"),
    ],
)
def test_undefined_results_are_none_with_a_reason(counts, reason):
    result = dispersion_test(np.array(counts, dtype=np.int64), 20)
    assert (result.verdict, result.p_clustered, result.reason) == (None, None, reason)


def test_a_window_cannot_contain_more_events_than_rows():
    with pytest.raises(ValueError, match="a window of 5 rows cannot contain 6 events"):
        dispersion_test(np.array([6, 1]), 5)


@pytest.mark.parametrize(("rows", "size"), [(99, None), (100, 5), (384, 19), (10_240, 512), (10**7, 512)])
def test_windows_are_of_512_rows_or_a_twentieth(rows, size):
    assert window_size(rows) == size


def test_quantiles_of_chance_are_on_the_diagonal_and_those_of_clusters_are_not():
    chance = quantile_points(window_events(by_chance(0.05, seed=3)), SIZE)
    assert chance.shape == (40, 3)
    assert np.abs(chance[:, 0] - chance[:, 2]).max() <= 5
    clusters = quantile_points(window_events(clustered(seed=3)), SIZE)
    assert clusters[-1, 2] - clusters[-1, 0] >= 8
    assert clusters[0, 2] < clusters[0, 0]


def test_binomial_and_poisson_quantiles_differ_where_events_are_not_rare():
    points = quantile_points(np.full(40, 256), SIZE)
    assert np.ptp(points[:, 1]) > 1.3 * np.ptp(points[:, 0])
    assert len(quantile_points(np.array([], dtype=np.int64), SIZE)) == 0
    assert len(quantile_points(np.ones(1000, dtype=np.int64), SIZE)) == 100
