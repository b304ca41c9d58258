"""What can be known is predicted, what cannot is not, and nothing looks where it may not."""

import warnings
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from mematlas.predictors.fitting import fit_once, predicted
from mematlas.stats.classification.discrimination import roc_auc
from mematlas.stats.estimates.intervals import wilson
from mematlas.study.schemas.predictions import (
    BASELINES,
    BOOSTING,
    BY_POSITION,
    ENTROPY,
    LOGISTIC,
    MAJORITY,
    PREDICTOR,
    SHUFFLED,
    Sees,
)
from tests.predictors.synthetic_examples import CONTEXT, LENGTH, POSITIONS, examples, planted, quick

SEES = get_args(Sees)
LEARNING = (PREDICTOR, LOGISTIC, BOOSTING)


def accuracy(fit, method, held):
    return ((fit.probabilities(method, held) > 0.5) == (held.hits == 1))[held.known].mean()


def auroc(fit, method, held):
    return roc_auc(fit.probabilities(method, held)[held.known], held.hits[held.known] == 1)


def covers(estimate, lower, upper, value):
    """Whether the 99.9 % interval holds the value: at 95 %, one of these 28 would fail by chance."""
    wider = 3.29 / 1.96
    return estimate - wider * (estimate - lower) <= value <= estimate + wider * (upper - estimate)


# ------------------------------------------------------------------------------------------------------- known answers


@pytest.mark.parametrize("sees", SEES)
def test_a_label_that_is_linear_in_one_dimension_is_predicted(sees):
    whole = planted(sees)
    fit = fit_once(whole, quick(), sees, 0, shuffled=True)
    held = whole.take(fit.parts.test)
    assert {method: accuracy(fit, method, held) >= 0.99 for method in LEARNING} == dict.fromkeys(LEARNING, True)
    guessed = (held.hits == 0).mean()
    assert all(accuracy(fit, method, held) < guessed + 0.1 for method in (MAJORITY, BY_POSITION, ENTROPY, SHUFFLED))


def test_what_is_told_by_a_generated_state_is_not_known_before():
    whole = planted("generated")
    fit = fit_once(whole, quick(), "context", 0, shuffled=False)
    held = whole.take(fit.parts.test)
    first = replace(held, hits=np.where(np.arange(LENGTH) == 0, held.hits, -1))  # its state is the context's last
    later = replace(held, hits=np.where(np.arange(LENGTH) == 0, -1, held.hits))
    assert accuracy(fit, PREDICTOR, first) >= 0.99
    assert accuracy(fit, BOOSTING, first) >= 0.99  # what is linear cannot treat the first index apart
    assert max(accuracy(fit, method, later) for method in LEARNING) < 0.7


@pytest.mark.parametrize("sees", SEES)
@pytest.mark.parametrize("base", [0.3, 0.8])
def test_random_labels_are_guessed_and_no_more(sees, base):
    hits = (np.random.default_rng(8).random((500, LENGTH)) < base).astype(np.int8)
    whole = examples(500, hits=hits)
    fit = fit_once(whole, quick(), sees, 0, shuffled=True)
    held = whole.take(fit.parts.test)
    assert set(fit.methods) == {PREDICTOR, SHUFFLED, *BASELINES}
    for method in fit.methods:
        right = wilson(round(accuracy(fit, method, held) * held.hits.size), held.hits.size)
        assert covers(right.estimate, right.lower, right.upper, max(base, 1 - base)), method
        area = auroc(fit, method, held)
        if area.lower is None:
            assert area.estimate == 0.5, method
        else:
            assert covers(area.estimate, area.lower, area.upper, 0.5), method


def test_probabilities_are_those_of_the_scored_corpus():
    """Rows that stand for many count as many: the classes are balanced in the loss, not in what is said."""
    hits = np.repeat((np.random.default_rng(3).random((400, 1)) < 0.5).astype(np.int8), LENGTH, axis=1)
    whole = examples(400, hits=hits, weights=np.where(hits[:, 0] == 1, 1.0, 9.0))
    fit = fit_once(whole, quick(), "generated", 0, shuffled=False)
    held = whole.take(fit.parts.test)
    for method in fit.methods:
        assert 0.05 < fit.probabilities(method, held).mean() < 0.16, method


# ----------------------------------------------------------------------------------------------------------- causality


@pytest.fixture(scope="module")
def fits():
    whole = examples(60)
    return {sees: fit_once(whole, quick(epochs=2), sees, 0, shuffled=True) for sees in SEES}


def changed_from(start, whole):
    """Other states and inputs at positions from `start` on."""
    other = examples(len(whole.rows), seed=99)
    later = np.arange(POSITIONS)[:, None] >= start
    return replace(
        whole,
        states=np.where(later, other.states, whole.states),
        inputs=np.where(later, other.inputs, whole.inputs),
    )


def test_what_sees_the_context_alone_reads_nothing_behind_it(fits):
    whole = examples(60)
    for method in fits["context"].methods:
        before = fits["context"].probabilities(method, whole)
        assert np.array_equal(before, fits["context"].probabilities(method, changed_from(CONTEXT, whole))), method
        if method not in (MAJORITY, BY_POSITION):
            changed = fits["context"].probabilities(method, changed_from(CONTEXT - 1, whole)) != before
            assert changed.any(0).all(), method


def test_no_index_reads_a_state_behind_its_own(fits):
    whole = examples(60)
    for method in fits["generated"].methods:
        before = fits["generated"].probabilities(method, whole)
        for index in range(LENGTH):
            after = fits["generated"].probabilities(method, changed_from(CONTEXT + index, whole))
            assert np.array_equal(after[:, : index + 1], before[:, : index + 1]), (method, index)
            own = fits["generated"].probabilities(method, changed_from(CONTEXT - 1 + index, whole))
            assert method in (MAJORITY, BY_POSITION) or (own[:, index] != before[:, index]).any(), (method, index)


def test_the_network_reads_the_context_too(fits):
    whole = examples(60)
    first = replace(whole, states=np.concatenate([examples(60, seed=5).states[:, :1], whole.states[:, 1:]], axis=1))
    for fit in fits.values():
        for method in LEARNING[:2]:
            assert (fit.probabilities(method, first) != fit.probabilities(method, whole)).any(0).all()


# ------------------------------------------------------------------------------------------------------- the same again


def test_the_same_seed_gives_the_same_numbers_and_another_one_others(fits):
    whole = examples(60)
    again = fit_once(whole, quick(epochs=2), "generated", 0, shuffled=True)
    other = fit_once(whole, quick(epochs=2), "generated", 1, shuffled=True)
    for method in fits["generated"].methods:
        before = fits["generated"].probabilities(method, whole)
        assert np.array_equal(before, again.probabilities(method, whole)), method
    assert not np.array_equal(other.probabilities(PREDICTOR, whole), before)
    assert not np.array_equal(other.parts.test, again.parts.test)


def test_the_rows_beside_it_change_nothing_for_a_row(fits):
    whole = examples(60)
    for sees, fit in fits.items():
        for method in fit.methods:
            alone = [fit.probabilities(method, whole.take(np.array([row]))) for row in (0, 7, 59)]
            together = fit.probabilities(method, whole)[[0, 7, 59]]
            assert np.allclose(np.concatenate(alone), together, atol=1e-6), (sees, method)


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize("sees", SEES)
def test_states_that_are_all_equal_tell_nothing(sees):
    flat = np.full((150, POSITIONS, 3), 0.7, np.float16)
    hits = np.repeat((np.random.default_rng(2).random((150, 1)) < 0.4).astype(np.int8), LENGTH, axis=1)
    whole = examples(150, states=flat, inputs=np.zeros((150, POSITIONS, 0), np.float32), names=(), hits=hits)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = fit_once(whole, quick(epochs=4), sees, 0, shuffled=True)
        held = whole.take(fit.parts.test)
        assert {auroc(fit, method, held).estimate for method in (MAJORITY, LOGISTIC)} == {0.5}
        for method in fit.methods:
            assert fit.probabilities(method, held).std(0).max() < 1e-6, method
    assert ENTROPY not in fit.methods


def test_tokens_that_a_text_does_not_have_count_nowhere():
    """Half of the rows end after two tokens; were the rest read as missed, or as recited, every figure would move."""
    random = np.random.default_rng(11)
    hits = (random.random((400, LENGTH)) < 0.7).astype(np.int8)
    hits[::2, 2:] = -1
    whole = examples(400, hits=hits)
    fit = fit_once(whole, quick(epochs=5), "generated", 0, shuffled=False)
    held = whole.take(fit.parts.test)
    share = (hits[fit.parts.fit] == 1)[whole.take(fit.parts.fit).known].mean()
    assert np.allclose(fit.probabilities(MAJORITY, held), share, atol=1e-6)
    for method in fit.methods:
        assert abs(fit.probabilities(method, held).mean() - 0.7) < 0.08, method
    (first, *_) = predicted(fit, held, "m", "m", "generated", 0)
    ended = first["hit"].to_pylist()[int(np.flatnonzero(held.hits[:, 2] == -1)[0])]
    assert ended[2:] == [None] * (LENGTH - 2)
    assert None not in ended[:2]


def test_an_index_that_no_fitted_row_has_is_guessed_as_the_others():
    hits = np.ones((100, LENGTH), np.int8)
    hits[::3], hits[:, -1] = 0, -1
    whole = examples(100, hits=hits)
    fit = fit_once(whole, quick(epochs=1), "generated", 0, shuffled=False)
    guessed = fit.probabilities(BY_POSITION, whole)[0]
    assert guessed[-1] == pytest.approx(guessed[0], abs=1e-6)


def test_states_that_are_not_known_are_read_as_the_mean():
    whole = planted("generated", 150)
    whole.states[:40, CONTEXT + 2 :] = np.nan
    fit = fit_once(whole, quick(epochs=3), "generated", 0, shuffled=False)
    for method in fit.methods:
        assert np.isfinite(fit.probabilities(method, whole)).all(), method


# ------------------------------------------------------------------------------------------------------- what it says


def test_the_table_of_predictions_says_what_was_asked():
    whole = examples(60, control=10, weights=np.arange(60) + 0.5)
    fit = fit_once(whole, quick(epochs=1), "context", 3, shuffled=True)
    held = whole.take(fit.parts.test | ~whole.train)
    tables = {table["method"][0].as_py(): table for table in predicted(fit, held, "m", "n", "context", 3)}
    assert set(tables) == {PREDICTOR, SHUFFLED, *BASELINES}
    for method, table in tables.items():
        assert table["row"].to_pylist() == held.rows.tolist()
        assert table["role"].to_pylist().count("control") == 10
        assert table["role"].to_pylist() == ["train" if there else "control" for there in held.train]
        assert table["weight"].to_pylist() == held.weights.tolist()
        assert table["level"].to_pylist() == held.levels.tolist()
        assert np.array_equal(np.array(table["probability"].to_pylist(), "f4"), fit.probabilities(method, held))
        hits = np.array(table["hit"].to_pylist())
        assert np.array_equal(hits, held.hits == 1) == (method != SHUFFLED)
        for role in (held.train, ~held.train):  # swapped, if at all, within a role
            assert sorted(hits[role].tolist()) == sorted((held.hits[role] == 1).tolist())
        names = {name: table[name][0].as_py() for name in ("model", "tested", "sees", "seed")}
        assert names == {"model": "m", "tested": "n", "sees": "context", "seed": 3}
    assert [table["method"][0].as_py() for table in predicted(fit, held, "m", "n", "context", 3, (ENTROPY,))] == [
        ENTROPY
    ]
    assert list(predicted(fit, held.take(np.zeros(len(held.rows), bool)), "m", "n", "context", 3)) == []
