"""The effect of being shown a row on the score of that row, from checkpoints of one training.

Source: Lesci et al. 2024 (arXiv 2406.04327), section 4: difference in differences; the estimator is that of Callaway
and Sant'Anna (2021) without covariates. A row belongs to cohort g if it was shown for the first time between the
checkpoints g - 1 and g. With Y the score and C the rows that were shown neither by checkpoint t nor by g (later, or
never):

    ATT(g, t) = mean over cohort g of Y(t) - Y(g - 1)  -  mean over C of Y(t) - Y(g - 1)

It is the effect on the rows shown if, without the showing, both groups had changed alike (parallel trends). For
t < g - 1 the row was not shown yet, and the same difference must be 0: the test of what cannot be seen afterwards.

Every estimate is a sum of contributions of rows, so that averages over cohorts, which share rows of C, have an error,
too. Rows of one cluster (document) are not independent: contributions are added up over clusters, and each side is
scaled by m / (m - 1) for its m clusters. Intervals are Student's at the smaller m - 1 (our choice).
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from mematlas.stats.estimates.clustered import dense_labels, sum_by_label

MAX_LEADS: Final = 5  # our choice: times before the showing that the test of parallel trends joins, the nearest ones
_ROUNDING: Final = 1e-12
Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect with its 95 % interval, in the unit of the scores; NaN where there is none.

    cohort, time: numbers of checkpoints; of an average over cohorts, cohort is -1 and time counts checkpoints from the
    showing on (0: the first after it, -2: the last but one before). rows, controls: rows shown, rows not shown (of an
    average: all that any cohort is compared with); cohorts: number of cohorts.
    """

    cohort: int
    time: int
    estimate: float
    lower: float
    upper: float
    rows: int
    controls: int
    cohorts: int = 1


@dataclass(frozen=True, slots=True)
class CohortEffects:
    """cohorts: ATT of every cohort and time but g - 1; averages: over cohorts, weighted by their rows, by time.

    p: of no effect before the showing (F-test of the averages at -2, -3 ...); NaN where there is nothing to test.
    """

    cohorts: tuple[Effect, ...]
    averages: tuple[Effect, ...]
    p: float


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a difference. rows: shape (rows,), which; mean: of their changes; contributions: shape (rows,), of
    each to the error of the mean, scaled for the number of their clusters."""

    rows: NDArray[np.bool_]
    mean: float
    contributions: Floats
    clusters: int


def cohort_effects(scores: ArrayLike, cohorts: ArrayLike, clusters: ArrayLike | None = None) -> CohortEffects:
    """The effects of being shown, by cohort and time, and their averages.

    Args:
        scores: shape (rows, checkpoints), none missing. cohorts: shape (rows,), the number of the first checkpoint
            after the first showing, from 0 on; the number of checkpoints for a row never shown. Rows of cohort 0 have
            no score from before and are left out.
        clusters: shape (rows,), any numbers; rows of one number are not independent. None: all rows are.

    Raises:
        ValueError: shapes differ, a score is missing, or a cohort is no checkpoint.
    """
    values, groups = np.asarray(scores, np.float64), np.asarray(cohorts, np.int64)
    if values.ndim != 2 or groups.shape != values.shape[:1] or np.isnan(values).any():
        raise ValueError(f"scores {values.shape} must be (rows, checkpoints), none missing; cohorts {groups.shape}")
    times = values.shape[1]
    if len(groups) and not 0 <= groups.min() <= groups.max() <= times:
        raise ValueError(f"cohorts are from 0 to {times} (checkpoints), not from {groups.min()} to {groups.max()}")
    labels = dense_labels(clusters, len(values))
    labels = np.arange(len(values)) if labels is None else labels
    effects, averages = [], _Averages(labels)
    for cohort in range(1, times):
        for time in range(times):
            is_control = groups > max(time, cohort)
            if time == cohort - 1 or not (groups == cohort).any() or not is_control.any():
                continue
            change = values[:, time] - values[:, cohort - 1]
            shown, control = (_side(change, rows, labels) for rows in (groups == cohort, is_control))
            effects.append(_effect(cohort, time, shown, control, labels))
            averages.add(time - cohort, effects[-1], shown, control)
    return CohortEffects(tuple(effects), *averages.result())


def _side(change: Floats, rows: NDArray[np.bool_], labels: Ids) -> _Side:
    selected = change[rows]
    mean = float(selected[0] + (selected - selected[0]).mean())  # exact where all are equal
    count = len(np.unique(labels[rows]))
    scale = np.sqrt(count / (count - 1)) if count > 1 else 1.0
    contributions = np.zeros(len(change))
    contributions[rows] = scale * (selected - mean) / len(selected)
    return _Side(rows, mean, contributions, count)


def _effect(cohort: int, time: int, shown: _Side, control: _Side, labels: Ids) -> Effect:
    totals = sum_by_label(labels, shown.contributions - control.contributions)
    bounds = _bounds(shown.mean - control.mean, totals, min(shown.clusters, control.clusters))
    return Effect(cohort, time, *bounds, int(shown.rows.sum()), int(control.rows.sum()))


def _bounds(estimate: float, totals: Floats, clusters: int) -> tuple[float, float, float]:
    """Estimate, lower, upper, from the contributions of clusters; no interval of one, or where nothing varies."""
    error = float(np.sqrt(totals @ totals))
    if clusters < 2 or error <= _ROUNDING:
        return estimate, np.nan, np.nan
    half_width = float(stats.t.ppf(0.975, clusters - 1)) * error
    return estimate, estimate - half_width, estimate + half_width


class _Averages:
    """Sums over cohorts, by time since the showing."""

    def __init__(self, labels: Ids) -> None:
        self._labels = labels
        self._effects: dict[int, list[Effect]] = {}
        self._contributions: dict[int, Floats] = {}
        self._shown: dict[int, NDArray[np.bool_]] = {}
        self._controls: dict[int, NDArray[np.bool_]] = {}

    def add(self, since: int, effect: Effect, shown: _Side, control: _Side) -> None:
        count = len(self._labels)
        contributions = effect.rows * (shown.contributions - control.contributions)
        self._effects.setdefault(since, []).append(effect)
        self._contributions[since] = self._contributions.get(since, np.zeros(count)) + contributions
        self._shown[since] = self._shown.get(since, np.zeros(count, bool)) | shown.rows
        self._controls[since] = self._controls.get(since, np.zeros(count, bool)) | control.rows

    def result(self) -> tuple[tuple[Effect, ...], float]:
        """The averages by time, and the p-value of those before the showing."""
        averages = tuple(self._average(since) for since in sorted(self._effects))
        leads = [effect for effect in averages if effect.time < -1 and not np.isnan(effect.lower)][-MAX_LEADS:]
        return averages, self._p_value(leads)

    def _totals(self, effect: Effect) -> Floats:
        """The contributions of clusters to an average."""
        return sum_by_label(self._labels, self._contributions[effect.time]) / effect.rows

    def _average(self, since: int) -> Effect:
        effects = self._effects[since]
        rows = sum(effect.rows for effect in effects)
        estimate = sum(effect.rows * effect.estimate for effect in effects) / rows
        clusters = min(len(np.unique(self._labels[of[since]])) for of in (self._shown, self._controls))
        average = Effect(-1, since, estimate, np.nan, np.nan, rows, int(self._controls[since].sum()), len(effects))
        _, lower, upper = _bounds(estimate, self._totals(average), clusters)
        return replace(average, lower=lower, upper=upper)

    def _p_value(self, leads: list[Effect]) -> float:
        """Hotelling's test that all of `leads` are 0."""
        if not leads:
            return float("nan")
        totals = np.stack([self._totals(lead) for lead in leads], axis=1)
        clusters = min(len(np.unique(self._labels[self._shown[lead.time]])) for lead in leads)
        estimates = np.array([lead.estimate for lead in leads])
        covariance = totals.T @ totals
        rank = int(np.linalg.matrix_rank(covariance, hermitian=True))
        statistic = float(estimates @ np.linalg.pinv(covariance, hermitian=True) @ estimates)
        if clusters <= rank:
            return float("nan")
        return float(stats.f.sf(statistic * (clusters - rank) / (rank * (clusters - 1)), rank, clusters - rank))
