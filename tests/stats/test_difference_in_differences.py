"""Effects of being shown, recovered from simulated panels of which they are known."""

import numpy as np
import pytest
from scipy import stats

from mematlas.stats.difference_in_differences import cohort_effects

TIMES = 6
COHORTS = np.repeat([1, 2, 3, 4, TIMES], 200)
#: effect at the first checkpoint after the showing, one later ...
PROFILE = np.array([0.5, 0.3, 0.2, 0.15, 0.1])


def panel(cohorts=COHORTS, *, seed=0, effect=1.0, trend=0.0, drift=0.02, noise=0.1):
    """Rows that drift alike and are raised by `effect` * PROFILE once shown; with a `trend` those shown drift apart."""
    rng, time = np.random.default_rng(seed), np.arange(TIMES)
    since = time - cohorts[:, None]
    gain = np.where(since >= 0, PROFILE[np.clip(since, 0, len(PROFILE) - 1)], 0)
    level = rng.normal(0, 0.3, len(cohorts))[:, None]
    own = trend * time * (cohorts < TIMES)[:, None]
    return level + drift * time**2 + own + effect * gain + rng.normal(0, noise, (len(cohorts), TIMES))


def by_time(effects):
    return {effect.time: effect for effect in effects.averages}


def test_the_definition_by_hand():
    scores = np.array([[0.1, 0.6, 0.5], [0.3, 0.8, 0.9], [0.2, 0.3, 0.9], [0.0, 0.1, 0.2], [0.0, 0.3, 0.2]])
    effects = {(e.cohort, e.time): e for e in cohort_effects(scores, [1, 1, 2, 3, 3]).cohorts}
    # cohort 1 at its first checkpoint: +.5, +.5; rows 2 to 4 were not shown yet: +.1, +.1, +.3
    assert effects[1, 1].estimate == pytest.approx(0.5 - 0.5 / 3)
    assert (effects[1, 1].rows, effects[1, 1].controls) == (2, 3)
    # one later row 2 was shown: rows 3 and 4 alone, +.2 and +.2; cohort 1 +.4, +.6
    assert effects[1, 2].estimate == pytest.approx(0.3)
    assert (effects[1, 2].rows, effects[1, 2].controls) == (2, 2)
    assert effects[2, 2].estimate == pytest.approx(0.6 - 0.0)
    # before it was shown, row 2 changed by .1 from checkpoint 1 back to 0: -.1; rows 3 and 4: -.1 and -.3
    assert effects[2, 0].estimate == pytest.approx(-0.1 + 0.2)
    assert set(effects) == {(1, 1), (1, 2), (2, 0), (2, 2)}
    assert np.isnan(effects[2, 2].lower), "one row has no interval"


def test_an_interval_is_welchs_for_independent_rows():
    scores = panel()
    (effect,) = [e for e in cohort_effects(scores, COHORTS).cohorts if (e.cohort, e.time) == (4, 4)]
    change = scores[:, 4] - scores[:, 3]
    shown, control = change[COHORTS == 4], change[COHORTS > 4]
    assert effect.estimate == pytest.approx(shown.mean() - control.mean())
    error = np.sqrt(shown.var(ddof=1) / len(shown) + control.var(ddof=1) / len(control))
    assert effect.upper - effect.lower == pytest.approx(2 * stats.t.ppf(0.975, 199) * error)


def test_effects_are_recovered_and_covered_by_their_intervals():
    covered, distance = [], []
    for seed in range(100):
        for effect in cohort_effects(panel(seed=seed), COHORTS).cohorts:
            truth = PROFILE[effect.time - effect.cohort] if effect.time >= effect.cohort else 0
            covered.append(effect.lower <= truth <= effect.upper)
            distance.append(effect.estimate - truth)
    assert abs(np.mean(covered) - 0.95) < 0.02
    assert abs(np.mean(distance)) < 0.001
    averages = by_time(cohort_effects(panel(), COHORTS))
    for since, truth in enumerate(PROFILE[:4]):
        assert averages[since].lower <= truth <= averages[since].upper
    assert (averages[0].rows, averages[0].cohorts, averages[3].cohorts) == (800, 4, 2)


def test_averages_are_covered_though_cohorts_share_their_controls():
    covered = [
        effect.lower <= (PROFILE[effect.time] if effect.time >= 0 else 0) <= effect.upper
        for seed in range(200)
        for effect in cohort_effects(panel(seed=seed), COHORTS).averages
    ]
    assert abs(np.mean(covered) - 0.95) < 0.02


def test_rows_never_shown_have_no_effect():
    """The negative control: cohorts that say nothing."""
    rejected, outside = [], []
    for seed in range(200):
        labels = np.random.default_rng(seed).permutation(COHORTS)
        result = cohort_effects(panel(np.full(len(COHORTS), TIMES), seed=seed), labels)
        rejected.append(result.p < 0.05)
        outside += [not effect.lower <= 0 <= effect.upper for effect in result.averages]
    assert np.mean(rejected) < 0.1
    assert abs(np.mean(outside) - 0.05) < 0.02


def test_a_break_of_parallel_trends_is_found_and_parallel_ones_are_not():
    broken = [cohort_effects(panel(seed=seed, trend=0.05), COHORTS).p for seed in range(20)]
    assert max(broken) < 0.05
    parallel = [cohort_effects(panel(seed=seed), COHORTS).p for seed in range(100)]
    assert np.mean(np.array(parallel) < 0.05) < 0.12
    # a drift in common, however steep, is no break
    assert cohort_effects(panel(drift=1.0), COHORTS).p > 0.01


def test_rows_of_a_document_are_not_independent():
    groups = np.repeat(np.arange(100), 10)
    cohorts = np.repeat([1, 2, 3, 4, TIMES], 200)
    covered, naive = [], []
    for seed in range(100):
        shared = np.random.default_rng(seed).normal(0, 0.2, (100, TIMES))[groups]
        scores = panel(cohorts, seed=seed) + shared
        for found, kept in ((covered, groups), (naive, None)):
            effect = by_time(cohort_effects(scores, cohorts, kept))[0]
            found.append(effect.lower <= PROFILE[0] <= effect.upper)
    assert np.mean(covered) > 0.9
    assert np.mean(naive) < 0.8


def test_what_cannot_be_said_is_nan_and_no_warning():
    constant = cohort_effects(np.full((40, 4), 0.3), np.repeat([1, 2, 3, 4], 10))
    assert all(effect.estimate == 0 and np.isnan(effect.lower) for effect in constant.cohorts)
    assert np.isnan(constant.p)
    assert cohort_effects(np.zeros((5, 3)), np.zeros(5)).cohorts == ()
    assert cohort_effects(np.zeros((5, 3)), np.full(5, 3)).cohorts == ()
    assert cohort_effects(np.zeros((0, 3)), np.zeros(0)).averages == ()


def test_shapes_and_cohorts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="none missing"):
        cohort_effects(np.full((3, 2), np.nan), np.zeros(3))
    with pytest.raises(ValueError, match="cohorts are from 0 to 2"):
        cohort_effects(np.zeros((3, 2)), [0, 1, 3])
