"""Intervals of areas, rates, coefficients, slopes, exposure and distances in simulated samples."""

from functools import cache, partial
from typing import Final

import numpy as np
from scipy.special import expit, gammaln, ndtr, ndtri
from scipy.stats import norm

from mematlas.stats.classification.discrimination import pr_auc, roc_auc
from mematlas.stats.classification.membership import mean_exposure, true_positive_rate
from mematlas.stats.estimates.clustered import cluster_sums, clustered_shares
from mematlas.stats.geometry.distances import euclidean_distances
from mematlas.stats.geometry.group_pairs import pair_means
from mematlas.stats.regression.curves import fit_log_linear
from mematlas.stats.regression.logistic import fit_logistic, wald_test
from simulations.designs import Design, luck
from simulations.estimates import Bounds, Sampler, collect


def auroc(random: np.random.Generator, design: Design, studies: int, *, area: float, by_document: bool) -> Bounds:
    """Half of the documents, or of the rows of each, are hits; the scores are normal."""
    unit = design.document if by_document else np.arange(design.rows)
    hits = unit % 2 == 0
    scores = luck(random, design, studies) + np.sqrt(2) * ndtri(area) * hits[:, None]
    results = [roc_auc(column, hits, design.labels) for column in scores.T]
    return collect([(each.lower, each.upper) for each in results], area)


def average_precision(random: np.random.Generator, design: Design, studies: int) -> Bounds:
    """A third of the rows are hits, 1 higher; the true value is that of a very large sample."""
    truth = _average_precision_of_many()
    values = luck(random, design, studies)
    pairs = []
    for seed, column in enumerate(values.T):
        hits = random.random(design.rows) < 1 / 3
        result = pr_auc(column + hits, hits, design.labels, seed=seed)
        pairs.append((result.lower, result.upper))
    return collect(pairs, truth)


def _average_precision_of_many() -> float:
    """Precision integrated over recall, for normal scores 1 apart and a third of hits."""
    threshold = np.linspace(-8, 9, 20_001)
    recall, false_positive = norm.sf(threshold - 1), norm.sf(threshold)
    precision = recall / 3 / (recall / 3 + false_positive * 2 / 3)
    return float(-np.trapezoid(precision, recall))


def rate(random: np.random.Generator, design: Design, studies: int, *, level: float, shift: float) -> Bounds:
    """True positive rate of members of `design` against 400 controls, of 40 documents where members come in such."""
    controls = Design(40, 10, design.icc, design.told) if design.size > 1 else Design(400)
    members, others = luck(random, design, studies) + shift, luck(random, controls, studies)
    results = [
        true_positive_rate(first, second, level, design.labels, controls.labels)
        for first, second in zip(members.T, others.T, strict=True)
    ]
    pairs = [(None, None) if each is None else (each.lower, each.upper) for each in results]
    return collect(pairs, float(ndtr(shift - ndtri(1 - level))))


def forecast(random: np.random.Generator, design: Design, studies: int, *, measure: str) -> Bounds:
    """The earlier model recites 30 % of rows, of these the later one 70 %, and 10 % of the others.

    precision = both / earlier, recall = both / later, F1 = 2 J / (1 + J) with J = both / either: shares of rows of
    documents that have more or fewer rows.
    """
    earlier = luck(random, design, studies) > -ndtri(0.3)
    later = luck(random, design, studies) > -np.where(earlier, ndtri(0.7), ndtri(0.1))
    base = {"precision": earlier, "recall": later, "F1": earlier | later}[measure]
    shape = (design.documents, design.size, studies)
    result = clustered_shares(cluster_sums((earlier & later).reshape(shape).sum(1), base.reshape(shape).sum(1)))
    truth = {"precision": 0.7, "recall": 0.21 / 0.28, "F1": 0.21 / 0.37}[measure]
    return result.lower, result.upper, truth


def slope(random: np.random.Generator, design: Design, studies: int, *, shared: bool) -> Bounds:
    """Shares of six models that lie on a line in log10 of their size; shared: all models score the same rows."""
    sizes = np.logspace(7, 10, 6)
    shares = 0.1 + 0.1 * np.log10(sizes / sizes[0])
    pairs = []
    for _ in range(studies):
        common = luck(random, design, 1) if shared else np.zeros((design.rows, 1))
        weight = 0.5 if shared else 0.0
        own = np.concatenate([luck(random, design, 1) for _ in sizes], axis=1)
        hits = np.sqrt(weight) * common + np.sqrt(1 - weight) * own > -ndtri(shares)
        fit = fit_log_linear(sizes, hits.mean(0), np.full(6, design.rows))
        pairs.append((fit.lower, fit.upper))
    return collect(pairs, 0.1)


def coefficient(random: np.random.Generator, design: Design, studies: int, *, by_document: bool) -> Bounds:
    """The coefficient of one of two features, of rows or of whole documents; hits of a document are alike."""
    pairs, truth = [], 0.7
    for _ in range(studies):
        x = random.normal(size=(design.rows, 2))
        if by_document:
            x[:, 0] = random.normal(size=design.documents)[design.document]
        hits = ndtr(luck(random, design, 1)[:, 0]) < expit(-0.5 + truth * x[:, 0] - 0.4 * x[:, 1])
        ends = wald_test(fit_logistic(x, hits, clusters=design.labels)) if hits.any() and not hits.all() else None
        pairs.append((None, None) if ends is None else (ends.lower[1], ends.upper[1]))
    return collect(pairs, truth)


def exposure(random: np.random.Generator, design: Design, studies: int, *, shift: float) -> Bounds:
    """Mean exposure of members among 400 references, which come in documents where members do."""
    others = Design(40, 10, design.icc, design.told) if design.size > 1 else Design(400)
    members, references = luck(random, design, studies) + shift, luck(random, others, studies)
    results = [
        mean_exposure(first, second, design.labels, others.labels)
        for first, second in zip(members.T, references.T, strict=True)
    ]
    return collect([(each.lower[0], each.upper[0]) for each in results], _mean_exposure(shift))


@cache
def _mean_exposure(shift: float) -> float:
    """Of members `shift` standard deviations higher, over many draws of 400 references."""
    random = np.random.default_rng(1)
    ranks = np.log2(401) - np.log2(np.arange(1, 402))
    references = np.sort(random.normal(size=(20_000, 400)), axis=1)
    edges = np.column_stack([np.zeros(20_000), ndtr(references - shift), np.ones(20_000)])
    return float((np.diff(edges, axis=1) @ ranks[::-1]).mean())


def distance(random: np.random.Generator, design: Design, studies: int, *, between: bool) -> Bounds:
    """Mean Euclidean distance of rows in 8 dimensions, within one group or between two halves of the rows."""
    width, pairs = 8, []
    members = np.ones((design.rows, 1), bool) if not between else np.arange(design.rows)[:, None] % 2 == np.arange(2)
    independent = 2 * float(np.exp(gammaln((width + 1) / 2) - gammaln(width / 2)))
    # rows of one document are nearer to each other
    same_document = design.size / design.rows if between else (design.size - 1) / (design.rows - 1)
    truth = independent * (1 - same_document + same_document * (1 - design.icc) ** 0.5)
    for _ in range(studies):
        states = luck(random, design, 1, width)
        result = pair_means(euclidean_distances(states), members, [(0, 1) if between else (0, 0)], design.labels)
        pairs.append((result.lower[0], result.upper[0]))
    return collect(pairs, truth)


CLASSIFIERS: Final[dict[str, Sampler]] = {
    "AUROC 0.5, hits by document": partial(auroc, area=0.5, by_document=True),
    "AUROC 0.8, hits by document": partial(auroc, area=0.8, by_document=True),
    "AUROC 0.95, hits by document": partial(auroc, area=0.95, by_document=True),
    "AUROC 0.8, hits within documents": partial(auroc, area=0.8, by_document=False),
    "average precision": average_precision,
    "true positive rate at 1 %, 400 controls": partial(rate, level=0.01, shift=1.5),
    "true positive rate at 10 %, 400 controls": partial(rate, level=0.1, shift=1.5),
    "coefficient of a feature of rows": partial(coefficient, by_document=False),
    "coefficient of a feature of documents": partial(coefficient, by_document=True),
    "exposure, no member known": partial(exposure, shift=0.0),
    "exposure, members 1 higher": partial(exposure, shift=1.0),
    "exposure, members 2 higher": partial(exposure, shift=2.0),
    "forecast: precision": partial(forecast, measure="precision"),
    "forecast: recall": partial(forecast, measure="recall"),
    "forecast: F1, by its overlap": partial(forecast, measure="F1"),
    "slope on log size, models with rows of their own": partial(slope, shared=False),
    "slope on log size, same rows": partial(slope, shared=True),
    "mean distance within a group": partial(distance, between=False),
    "mean distance between groups": partial(distance, between=True),
}
