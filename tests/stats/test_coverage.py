"""Nominal coverage: how often the 95 % interval contains the true share, in simulations."""

from dataclasses import replace

import numpy as np
import pytest
from simulations.catalogue import INTERVALS, TESTS, designs_of
from simulations.designs import Design

from mematlas.stats.estimates.clustered import ClusterSums, cluster_sums, clustered_shares
from mematlas.stats.estimates.intervals import wilson_bounds

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


# -------------------------------------------------------- every interval and test, by the samples of the benchmark


#: Intervals that are known to cover less (docs/certainty.md says why), with what they cover at least here.
TOO_NARROW = {("mean, log-normal", 48): 0.85, ("mean, log-normal", 20): 0.87}
#: More than the 97 % that are wanted: nothing recited, rates with few controls, ties at the median.
WIDE_ENOUGH = 0.9
PLAIN, DOCUMENTS = Design(48), Design(20, 20, 0.3)


def cases(names) -> list:
    both = [(name, design) for name in names for design in (PLAIN, DOCUMENTS) if design in designs_of(name)]
    return [pytest.param(*case, id=", ".join(map(str, case))) for case in both]


def share_covered(name: str, design: Design, studies: int) -> float | None:
    lower, upper, truth = INTERVALS[name](np.random.default_rng(0), design, studies)
    known = np.isfinite(lower)
    return float(((lower <= truth) & (truth <= upper))[known].mean()) if known.any() else None


@pytest.mark.parametrize(("name", "design"), cases(INTERVALS))
def test_every_interval_contains_the_truth_about_as_often_as_it_says(name, design):
    """A few hundred studies, so that 2 to 3 points are chance; the benchmark has thousands."""
    covered = share_covered(name, design, 150 if name == "average precision" else 300)
    if name.startswith("mean of counts"):
        assert covered is None, "so few counts have no interval"
    else:
        assert covered >= TOO_NARROW.get((name, design.documents), WIDE_ENOUGH)


@pytest.mark.parametrize(
    "name",
    [
        "share, 30 %",
        "share, 5 %",
        "mean M, 30 % recited",
        "mean M, 5 % recited",
        "difference of mean M, 30 % and 1 %",
        "difference of shares, 30 % and 15 %",
        "mean, normal",
        "median, log-normal",
        "difference of means, members by document",
        "difference of means in 4 strata, by document",
        "AUROC 0.5, hits by document",
        "AUROC 0.8, hits by document",
        "coefficient of a feature of documents",
        "exposure, no member known",
    ],
)
def test_intervals_that_take_the_rows_of_documents_as_independent_do_not(name):
    """The negative control of the test above: it would find intervals that ignore documents."""
    assert share_covered(name, replace(DOCUMENTS, told=False), 300) < 0.8


@pytest.mark.parametrize(("name", "design"), cases(TESTS))
def test_no_test_finds_an_effect_where_there_is_none_more_often_than_it_says(name, design):
    p = TESTS[name](np.random.default_rng(0), design, 200 if "of two groups" in name else 400)
    if name.startswith("dispersion"):
        assert np.isnan(p).all(), "so few rows have no windows"
    else:
        assert (p[np.isfinite(p)] < 0.05).mean() <= 0.075


@pytest.mark.parametrize("name", ["permutation, members by document", "Stuart-Maxwell, 5 levels"])
def test_tests_that_take_the_rows_of_documents_as_independent_do(name):
    p = TESTS[name](np.random.default_rng(0), replace(DOCUMENTS, told=False), 200)
    assert (p < 0.05).mean() > 0.2
