"""Tests and verdicts in simulated samples without any effect: whether each speaks."""

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
from scipy.special import ndtr, ndtri

from mematlas.stats.geometry.distances import euclidean_distances
from mematlas.stats.geometry.separation import separation
from mematlas.stats.hypotheses.dispersion import dispersion_test, window_counts, window_size
from mematlas.stats.hypotheses.permutation import permutation_p_values
from mematlas.stats.hypotheses.symmetry import bowker, clustered_bowker, clustered_stuart_maxwell, stuart_maxwell
from mematlas.stats.regression.curves import lack_of_fit
from mematlas.stats.regression.logistic import fit_logistic, likelihood_ratio_test, wald_test
from simulations.designs import Design, Floats, luck

#: p-values (studies,), NaN where there is no test
Tester = Callable[[np.random.Generator, Design, int], Floats]


def permutation(
    random: np.random.Generator, design: Design, studies: int, *, by_document: bool, sigma: float = 0.0
) -> Floats:
    """A third of the rows, or of the documents, are members; studies of a batch share their permutations."""
    unit = design.document if by_document else np.arange(design.rows)
    member = unit * 7 % 3 == 0
    values = luck(random, design, studies)
    values = np.exp(sigma * values) if sigma else values
    batches = [values[:, start : start + 10] for start in range(0, studies, 10)]
    p_values = [
        permutation_p_values(batch, member, clusters=design.labels, seed=seed) for seed, batch in enumerate(batches)
    ]
    return np.concatenate(p_values)


def symmetry(random: np.random.Generator, design: Design, studies: int, *, test: str, levels: int) -> Floats:
    """Levels of the same rows under two models, which are each lucky with whole documents of their own."""
    edges = ndtri(np.arange(1, levels) / levels)
    place, shape = (np.arange(design.documents)[:, None],), (design.documents, levels, levels)
    p_values = []
    for _ in range(studies):
        ease = random.normal(size=(design.rows, 1))
        noise = np.sqrt(0.5) * (ease + luck(random, design, 1, 2))
        first, second = (np.digitize(noise[:, side], edges).reshape(design.documents, -1) for side in (0, 1))
        tables = np.zeros(shape)
        np.add.at(tables, (*place, first, second), 1)
        if design.clustered:
            result = (clustered_bowker if test == "bowker" else clustered_stuart_maxwell)(tables)
        else:
            result = (bowker if test == "bowker" else stuart_maxwell)(tables.sum(0))
        p_values.append(np.nan if result.p is None else result.p)
    return np.array(p_values)


def dispersion(random: np.random.Generator, design: Design, studies: int, *, p: float) -> Floats:
    """Twice the smaller one-sided p, which the verdict is by."""
    size = window_size(design.rows)
    if size is None:
        return np.full(studies, np.nan)
    p_values = []
    for _ in range(studies):
        events = np.flatnonzero(random.random(design.rows) < p)
        test = dispersion_test(window_counts(events, design.rows, size), size)
        p_values.append(np.nan if test.p_clustered is None else 2 * min(test.p_clustered, test.p_even or 0.0))
    return np.array(p_values)


def separated(random: np.random.Generator, design: Design, studies: int, *, measure: str) -> Floats:
    """The p of two groups of documents of one distribution."""
    groups, p_values = design.document % 3 == 0, []
    for seed in range(studies):
        distances = euclidean_distances(luck(random, design, 1, 8))
        p_values.append(separation(distances, groups, clusters=design.labels, seed=seed)[measure].p)
    return np.array(p_values)


def line(random: np.random.Generator, design: Design, studies: int) -> Floats:
    """Lack of fit of six shares on a line, each of rows of its own."""
    sizes = np.logspace(7, 10, 6)
    shares = 0.1 + 0.1 * np.log10(sizes / sizes[0])
    p_values = []
    for hits in random.binomial(design.rows, shares, (studies, 6)):
        p = lack_of_fit(sizes, hits / design.rows, np.full(6, design.rows))
        p_values.append(np.nan if p is None else p)
    return np.array(p_values)


def coefficient(random: np.random.Generator, design: Design, studies: int, *, by_document: bool) -> Floats:
    """Wald's test of a feature without an effect."""
    p_values = []
    for _ in range(studies):
        x = random.normal(size=(design.rows, 2))
        if by_document:
            x[:, 0] = random.normal(size=design.documents)[design.document]
        hits = ndtr(luck(random, design, 1)[:, 0]) < 0.3
        ends = wald_test(fit_logistic(x, hits, clusters=design.labels)) if hits.any() and not hits.all() else None
        p_values.append(np.nan if ends is None else float(ends.p[1]))
    return np.array(p_values)


def likelihood_ratio(random: np.random.Generator, design: Design, studies: int) -> Floats:
    """Two features without an effect beside one that has one."""
    p_values = []
    for _ in range(studies):
        x = random.normal(size=(design.rows, 3))
        hits = random.random(design.rows) < 1 / (1 + np.exp(0.5 - x[:, 0]))
        if not hits.any() or hits.all():
            p_values.append(np.nan)
            continue
        smaller, larger = fit_logistic(x[:, :1], hits), fit_logistic(x, hits)
        known = smaller.converged and larger.converged
        test = likelihood_ratio_test(smaller.log_likelihood, larger.log_likelihood, 2)
        p_values.append(test.p if known else np.nan)
    return np.array(p_values)


CLUSTERED_TESTS: Final[dict[str, Tester]] = {
    "permutation, members within documents": partial(permutation, by_document=False),
    "permutation, members by document": partial(permutation, by_document=True),
    "permutation, log-normal, by document": partial(permutation, by_document=True, sigma=1.0),
    "Bowker, 5 levels": partial(symmetry, test="bowker", levels=5),
    "Stuart-Maxwell, 5 levels": partial(symmetry, test="stuart", levels=5),
    "Bowker, 3 levels": partial(symmetry, test="bowker", levels=3),
    "Wald, feature of rows": partial(coefficient, by_document=False),
    "Wald, feature of documents": partial(coefficient, by_document=True),
}
#: Those that take all rows as independent.
INDEPENDENT_TESTS: Final[dict[str, Tester]] = {
    "dispersion, 30 % recited": partial(dispersion, p=0.3),
    "dispersion, 5 % recited": partial(dispersion, p=0.05),
    "silhouette of two groups": partial(separated, measure="silhouette"),
    "purity of two groups": partial(separated, measure="purity"),
    "lack of fit of a line": line,
    "likelihood ratio": likelihood_ratio,
}
