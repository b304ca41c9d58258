"""Counterfactual memorization and influence: what a model's score on a row owes to having been trained on it.

Source: Zhang et al. 2023 (arXiv 2112.12938), sections 2 and 4. Several models are each trained on a random subset of
rows. With M(i, y) the score of model i on row y, and IN(x), OUT(x) the models that were trained on row x and those that
were not:

    mem(x)       = mean of M(i, x) over IN(x) - mean of M(i, x) over OUT(x)
    infl(x -> y) = mean of M(i, y) over IN(x) - mean of M(i, y) over OUT(x),      mem(x) = infl(x -> x)

The standard error is sqrt(s_in^2 / n_in + s_out^2 / n_out); whatever has fewer than 2 models on either side is NaN.

Whether a difference is there at all is tested as in a randomized experiment (our choice): if membership changes
nothing, its variance is S^2 (1 / n_in + 1 / n_out), with S^2 of all models. The standard error above would be 0
whenever the few models of one side happen to agree. Scores are often near 0 or 1, where a normal distribution has too
short tails: no p-value is below that of the exact test of how many scores are above their mean (hypergeometric).

Influence is tested among the models that were not trained on the target: a model that was knows it anyway, and two rows
that are together in many subsets by chance would seem to influence each other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from mematlas.stats.hypotheses.label_shuffles import mean_and_middle

THRESHOLD: Final = 4.0  # our choice: |z| from which pairs are kept
BIN_EDGES: Final = np.linspace(-1.025, 1.025, 42)  # of the histogram of influences; the middle one is around 0
_SOURCES_AT_ONCE: Final = 512
_ROUNDING: Final = 1e-12  # relative to the sum of squares
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Memorization:
    """Counterfactual memorization of rows; arrays of shape (rows,), NaN where it is not known.

    inside, outside: mean score of the models trained on the row, and of the others; memorization: their difference;
    error: its standard error; q: its p-value among all rows after Benjamini and Hochberg; simplicity: mean score of all
    models; n_in, n_out: numbers of models with a score.
    """

    memorization: Floats
    error: Floats
    q: Floats
    inside: Floats
    outside: Floats
    simplicity: Floats
    n_in: Ints
    n_out: Ints


@dataclass(frozen=True, slots=True)
class Influence:
    """Influences of rows on others; the arrays source .. is_copy have one value per pair with |z| >= the threshold.

    q: p-value after Benjamini and Hochberg among all `tested` pairs; is_copy: whether both rows are of one group.
    z: of the test, not influence / error.
    on_copies: shape (rows,), mean influence of a row on the others of its group, NaN without any; histogram: shape (2,
    bins of BIN_EDGES), numbers of tested pairs of rows of different groups, and of one group.
    """

    source: Ints
    target: Ints
    influence: Floats
    error: Floats
    z: Floats
    q: Floats
    is_copy: Bools
    tested: int
    on_copies: Floats
    histogram: Ints


@dataclass(frozen=True, slots=True)
class _Contrast:
    """Differences between the models inside and outside, and what they are computed from; arrays of one shape."""

    n_in: Floats
    n_out: Floats
    inside: Floats
    outside: Floats
    difference: Floats
    error: Floats
    z: Floats


def memorization(members: ArrayLike, scores: ArrayLike) -> Memorization:
    """Counterfactual memorization of every row.

    Args:
        members: shape (models, rows), whether the model was trained on the row.
        scores: shape (models, rows), e.g. the share of right tokens; NaN where the model did not score the row.

    Raises:
        ValueError: the shapes differ.
    """
    members, scores = _checked(members, scores)
    if members.shape != scores.shape:
        raise ValueError(f"members {members.shape} and scores {scores.shape} are not of the same models and rows")
    known = ~np.isnan(scores)
    centered, start = _centered(scores)
    inside, high = members & known, _is_high(scores, known)
    counts, sums, squares = known.sum(0), centered.sum(0), (centered**2).sum(0)
    contrast = _contrast(
        inside.sum(0), (inside * centered).sum(0), (inside * centered**2).sum(0), counts, sums, squares
    )
    with np.errstate(invalid="ignore"):
        simplicity = start + sums / np.where(counts, counts, np.nan)
    return Memorization(
        memorization=contrast.difference,
        error=contrast.error,
        q=adjusted_p_values(_p_values(contrast.z, contrast.n_in, counts, (inside * high).sum(0), high.sum(0))),
        inside=start + contrast.inside,
        outside=start + contrast.outside,
        simplicity=simplicity,
        n_in=contrast.n_in.astype(np.int64),
        n_out=contrast.n_out.astype(np.int64),
    )


def influence(
    members: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None, threshold: float = THRESHOLD
) -> Influence:
    """The influence of every row on every other one; only pairs with |z| >= `threshold` are kept.

    Rows that all models were trained on together, or not at all, cannot be told apart: the influence of one on the
    other is the other's memorization by construction, so these pairs are left out.

    Args:
        members, scores: as in `memorization`.
        groups: shape (rows,), equal numbers for rows that are copies of each other; None: there are no copies.
    """
    members, scores = _checked(members, scores)
    rows = members.shape[1]
    labels = np.arange(rows) if groups is None else np.asarray(groups)
    together = np.unique(members, axis=1, return_inverse=True)[1].reshape(-1) if rows else np.arange(0)
    pairs_of_blocks: list[tuple[NDArray[Any], ...]] = []
    tested = 0
    on_copies, histogram = np.full(rows, np.nan), np.zeros((2, len(BIN_EDGES) - 1), np.int64)
    is_tested_on = ~np.isnan(scores) & ~members
    high = _is_high(scores, is_tested_on)
    blocks = zip(_source_blocks(members, scores), _source_blocks(members, scores, is_tested_on), strict=True)
    for (sources, contrast), (_, test) in blocks:
        is_copy = labels[sources, None] == labels
        is_tested = ~np.isnan(contrast.difference + test.z) & (together[sources, None] != together)
        tested += int(is_tested.sum())
        for kind, pairs in enumerate((is_tested & ~is_copy, is_tested & is_copy)):
            histogram[kind] += np.histogram(np.clip(contrast.difference[pairs], -1, 1), BIN_EDGES)[0]
        on_copies[sources] = _row_means(contrast.difference, is_tested & is_copy)
        source, target = np.nonzero(is_tested & (np.abs(np.nan_to_num(test.z)) >= threshold))
        values = (contrast.difference, contrast.error, test.z, test.n_in, test.n_in + test.n_out)
        difference, error, z, n_in, n = (array[source, target] for array in values)
        high_in = (members[:, sources].T.astype(np.float64) @ high)[source, target]
        p = _p_values(z, n_in, n, high_in, high.sum(0)[target])
        pairs_of_blocks.append((sources[source], target, difference, error, z, p, is_copy[source, target]))
    columns = [np.concatenate(parts) for parts in zip(*pairs_of_blocks, strict=True)] or [np.empty(0)] * 7
    source, target, difference, error, z, p, is_copy = columns
    q = adjusted_p_values(p, tested)
    return Influence(source, target, difference, error, z, q, is_copy.astype(bool), tested, on_copies, histogram)


def permuted_memorization(members: ArrayLike, scores: ArrayLike, permutations: int, seed: int) -> tuple[Floats, Floats]:
    """Memorization where each model has the subset of another one: what membership that says nothing gives.

    Returns:
        for each permutation the mean over rows, shape (permutations,), and the rows' standard deviation; NaN without
        rows whose memorization is known.
    """
    members, scores = _checked(members, scores)
    generator = np.random.default_rng(seed)
    means, deviations = np.full(permutations, np.nan), np.full(permutations, np.nan)
    for number in range(permutations):
        values = memorization(members[generator.permutation(len(members))], scores).memorization
        values = values[~np.isnan(values)]
        if len(values):
            means[number], deviations[number] = values.mean(), values.std()
    return means, deviations


def split_half_correlation(
    members: ArrayLike, scores: ArrayLike, models: int, splits: int, seed: int
) -> tuple[float, float, float]:
    """Spearman's correlation of the rows' memorization between two disjoint random groups of `models` models each.

    Returns:
        mean and middle 95 % over `splits` random pairs of groups; NaN where it cannot be computed.

    Raises:
        ValueError: there are fewer than 2 * `models` models.
    """
    members, scores = _checked(members, scores)
    if 2 * models > len(members):
        raise ValueError(f"two groups of {models} models need {2 * models}, and there are {len(members)}")
    generator = np.random.default_rng(seed)
    values = np.full((splits, 1), np.nan)
    for number in range(splits):
        order = generator.permutation(len(members))
        halves = [order[:models], order[models : 2 * models]]
        first, second = (memorization(members[half], scores[half]).memorization for half in halves)
        both = ~np.isnan(first) & ~np.isnan(second)
        if both.sum() > 2 and np.ptp(first[both]) > 0 and np.ptp(second[both]) > 0:
            values[number, 0] = stats.spearmanr(first[both], second[both]).statistic
    mean, lower, upper = mean_and_middle(values)
    return float(mean[0]), float(lower[0]), float(upper[0])


def linear_datamodeling_score(members: ArrayLike, scores: ArrayLike, influences: ArrayLike) -> Floats:
    """How well influences foretell the scores of models from their subsets, for each row; shape (rows,).

    Source: Park et al. 2023 (TRAK, arXiv 2303.14186), definition 2.4: Spearman's correlation over models of the score
    of a row and the sum of the influences on it of the rows that the model was trained on. NaN if either is constant.

    Args:
        members, scores: as in `memorization`, of models that the influences were not estimated from, all with a score.
        influences: shape (rows, rows), of each row (line) on each (column), by whatever method.

    Raises:
        ValueError: the shapes differ.
    """
    members, scores = _checked(members, scores)
    matrix = np.asarray(influences, np.float64)
    if matrix.shape != (members.shape[1], scores.shape[1]):
        raise ValueError(f"influences {matrix.shape} are not of {members.shape[1]} rows on {scores.shape[1]}")
    foretold, result = members.astype(np.float64) @ matrix, np.full(scores.shape[1], np.nan)
    for row in range(scores.shape[1]):
        if np.ptp(foretold[:, row]) > 0 and np.ptp(scores[:, row]) > 0:
            result[row] = stats.spearmanr(foretold[:, row], scores[:, row]).statistic
    return result


def sample_membership(models: int, rows: int, share: float, seed: int, groups: ArrayLike | None = None) -> Bools:
    """A random subset of the rows for each model, shape (models, rows); each has the same number of rows (groups).

    Args:
        groups: shape (rows,); rows of one number are sampled together, so that copies of a text do not hide that it is
            memorized. None: each row by itself.

    Raises:
        ValueError: the share leaves nothing in a subset, or nothing out of it.
    """
    units, unit_of_row = np.unique(np.arange(rows) if groups is None else np.asarray(groups), return_inverse=True)
    size = round(share * len(units))
    if not 0 < size < len(units):
        raise ValueError(f"a share of {share} of {len(units)} rows or groups leaves nothing in a subset or out of it")
    generator = np.random.default_rng(seed)
    members = np.zeros((models, len(units)), bool)
    for model in range(models):
        members[model, generator.choice(len(units), size, replace=False)] = True
    return members[:, unit_of_row]


def adjusted_p_values(p: ArrayLike, tests: int | None = None) -> Floats:
    """p-values after Benjamini and Hochberg (1995); NaN where `p` is.

    Args:
        tests: number of tests, if `p` has only the smallest of their p-values; by default that of the known ones.
    """
    p = np.asarray(p, np.float64)
    adjusted, known = np.full(p.shape, np.nan), np.flatnonzero(~np.isnan(p))
    ascending = known[np.argsort(p[known], kind="stable")]
    scaled = p[ascending] * (len(known) if tests is None else tests) / np.arange(1, len(ascending) + 1)
    adjusted[ascending] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted


def _checked(members: ArrayLike, scores: ArrayLike) -> tuple[Bools, Floats]:
    members, scores = np.asarray(members, bool), np.asarray(scores, np.float64)
    if members.ndim != 2 or scores.ndim != 2 or len(members) != len(scores):
        raise ValueError(f"members {members.shape} and scores {scores.shape} are not (models, rows) of the same models")
    return members, scores


def _centered(scores: Floats) -> tuple[Floats, Floats]:
    """Scores minus the column's first known one, 0 where unknown; and these first ones.

    Then a constant column, and one of two values, has exact sums.
    """
    known = ~np.isnan(scores)
    columns = np.arange(scores.shape[1])
    start = scores[known.argmax(0), columns] if len(scores) else np.full(len(columns), np.nan)
    return np.where(known, scores - start, 0.0), start


def _source_blocks(members: Bools, scores: Floats, is_counted: Bools | None = None) -> Iterator[tuple[Ints, _Contrast]]:
    """Some sources (lines), and their contrasts on all targets (columns), over the models that are counted."""
    known = ~np.isnan(scores) if is_counted is None else is_counted
    centered = _centered(scores)[0] * known
    squares, counts = centered**2, known.astype(np.float64)
    totals = [np.broadcast_to(values.sum(0), (1, scores.shape[1])) for values in (counts, centered, squares)]
    for first in range(0, members.shape[1], _SOURCES_AT_ONCE):
        sources = np.arange(first, min(first + _SOURCES_AT_ONCE, members.shape[1]))
        inside = members[:, sources].T.astype(np.float64)
        yield sources, _contrast(inside @ counts, inside @ centered, inside @ squares, *totals)


def _contrast(n_in: Floats, sum_in: Floats, square_in: Floats, n: Floats, total: Floats, square: Floats) -> _Contrast:
    """The difference of means from numbers, sums and sums of squares of the models inside and of all models."""
    n_in, n = np.asarray(n_in, np.float64), np.asarray(n, np.float64)
    n_out, is_known = n - n_in, (n_in >= 2) & (n - n_in >= 2)
    parts = []
    with np.errstate(divide="ignore", invalid="ignore"):
        sides = ((n_in, sum_in, square_in), (n_out, total - sum_in, square - square_in), (n, total, square))
        for count, sums, squares in sides:
            spread = squares - sums**2 / count
            spread = np.where(spread > _ROUNDING * square, spread, 0.0)
            parts.append((np.where(is_known, sums / count, np.nan), np.where(is_known, spread / (count - 1), np.nan)))
        (inside, variance_in), (outside, variance_out), (_, variance) = parts
        difference = inside - outside
        null_error = np.sqrt(variance * (1 / n_in + 1 / n_out))
        z = np.where(null_error == 0, 0.0, difference / null_error)
        error = np.sqrt(variance_in / n_in + variance_out / n_out)
    return _Contrast(n_in, n_out, inside, outside, difference, error, z)


def _p_values(z: Floats, n_in: Floats, n: Floats, high_in: Floats, high: Floats) -> Floats:
    """Two-sided p-values of `_Contrast.z`: normal, and not below that of the exact test.

    Args:
        n_in, n: models inside, and all models; high_in, high: those of them with a score above the mean of all.
    """
    above = stats.hypergeom.sf(high_in - 1, n, high, n_in)
    below = stats.hypergeom.cdf(high_in, n, high, n_in)
    exact = np.minimum(2 * np.where(z > 0, above, below), 1.0)
    return np.where(np.isnan(z), np.nan, np.maximum(2 * stats.norm.sf(np.abs(z)), exact))


def _is_high(scores: Floats, is_counted: Bools) -> Floats:
    """1 where a counted score is above the mean of the counted ones in its column, else 0; shape as `scores`."""
    counted = np.where(is_counted, scores, 0.0)
    means = counted.sum(0) / np.maximum(is_counted.sum(0), 1)
    return (is_counted & (scores > means + _ROUNDING)).astype(np.float64)


def _row_means(values: Floats, selected: Bools) -> Floats:
    """The mean of the selected values of each line; NaN without any."""
    counts = selected.sum(1)
    return np.where(counts > 0, np.where(selected, values, 0.0).sum(1) / np.maximum(counts, 1), np.nan)
