"""Nominal coverage: how often the 95 % interval contains the true share, in simulations."""

import numpy as np
import pytest

from mematlas.stats.estimates.clustered import ClusterSums, cluster_sums, clustered_shares
from mematlas.stats.estimates.intervals import wilson_bounds
from mematlas.stats.hypotheses.symmetry import clustered_bowker, clustered_stuart_maxwell

SIMULATIONS = 2000


def coverage(share: float, count: int, bounds=wilson_bounds) -> float:
    """Share of simulated samples whose interval contains the true share."""
    hits = np.random.default_rng(0).binomial(count, share, SIMULATIONS)
    _, lower, upper = bounds(hits, np.full(SIMULATIONS, count))
    return float(((lower <= share) & (share <= upper)).mean())


@pytest.mark.parametrize("count", [200, 1000])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 0.5, 0.8, 0.95])
def test_intervals_of_shares_have_their_nominal_coverage(share, count):
    assert 0.93 <= coverage(share, count) <= 0.97


def test_an_interval_that_is_too_narrow_is_detected():
    def narrow(hits, counts):
        share, lower, upper = wilson_bounds(hits, counts)
        return share, share - 0.8 * (share - lower), share + 0.8 * (upper - share)

    assert coverage(0.3, 200, narrow) < 0.93


# ------------------------------------------------------------------------------------------------------------ clusters


def beta_binomial(share: float, clusters: int, size: int, icc: float, simulations: int, seed: int = 0):
    """Hits [simulations, clusters] of clusters of `size` rows with this intra-cluster correlation."""
    random = np.random.default_rng(seed)
    shape = (1 - icc) / icc
    return random.binomial(size, random.beta(share * shape, (1 - share) * shape, (simulations, clusters)))


def clustered_coverage(hits: np.ndarray, size: int, share: float) -> float:
    sums = [cluster_sums(row, np.full(hits.shape[1], size)) for row in hits]
    fields = ClusterSums.__dataclass_fields__
    result = clustered_shares(ClusterSums(*(np.concatenate([getattr(s, name) for s in sums]) for name in fields)))
    return float(((result.lower <= share) & (share <= result.upper)).mean())


@pytest.mark.parametrize(("clusters", "size", "icc"), [(40, 10, 0.1), (40, 10, 0.3), (20, 20, 0.3)])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7])
def test_shares_of_clustered_rows_have_their_nominal_coverage(share, clusters, size, icc):
    assert 0.92 <= clustered_coverage(beta_binomial(share, clusters, size, icc, SIMULATIONS), size, share) <= 0.98


def test_intervals_that_take_the_same_rows_as_independent_do_not():
    hits = beta_binomial(0.3, 40, 10, 0.3, SIMULATIONS).sum(1)
    _, lower, upper = wilson_bounds(hits, np.full(SIMULATIONS, 400))
    assert ((lower <= 0.3) & (upper >= 0.3)).mean() < 0.8


@pytest.mark.parametrize("test", [clustered_bowker, clustered_stuart_maxwell])
@pytest.mark.parametrize(("documents", "size"), [(40, 10), (20, 20)])
def test_symmetry_is_rejected_as_often_as_claimed_where_documents_are_lucky(test, documents, size):
    """Each model is lucky with whole documents; rows change their level without any direction."""
    random, p_values = np.random.default_rng(0), []
    for _ in range(400):
        ease = random.normal(size=(documents, size))
        levels = [
            np.digitize(
                ease + random.normal(size=(documents, 1)) + random.normal(size=ease.shape), [-1.5, -0.5, 0.5, 1.5]
            )
            for _ in range(2)
        ]
        tables = np.zeros((documents, 5, 5))
        np.add.at(tables, (np.arange(documents)[:, None], *levels), 1)
        p_values.append(test(tables).p)
    assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.075
