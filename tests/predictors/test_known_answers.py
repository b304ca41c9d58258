"""Predictable labels are predicted, unpredictable ones are not, and no method reads what it must not see."""

import warnings
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from mematlas.predictors.fitting import fit_once, prediction_tables
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
from tests.predictors.synthetic_examples import CONTEXT, LENGTH, POSITIONS, examples, planted, quick_config

SEES = get_args(Sees)
LEARNING = (PREDICTOR, LOGISTIC, BOOSTING)


def accuracy(fit, method, held_out):
    return ((fit.probabilities(method, held_out) > 0.5) == (held_out.hits == 1))[held_out.has_label].mean()


def auroc(fit, method, held_out):
    return roc_auc(fit.probabilities(method, held_out)[held_out.has_label], held_out.hits[held_out.has_label] == 1)


def covers(estimate, lower, upper, value):
    """Whether the 99.9 % interval contains the value: at 95 %, one of these 28 would fail by chance."""
    wider = 3.29 / 1.96
    return estimate - wider * (estimate - lower) <= value <= estimate + wider * (upper - estimate)


# ------------------------------------------------------------------------------------------------------- known answers


@pytest.mark.parametrize("sees", SEES)
def test_a_label_that_is_linear_in_one_dimension_is_predicted(sees):
    data = planted(sees)
    fit = fit_once(data, quick_config(), sees, 0, shuffled=True)
    held_out = data.take(fit.parts.test)
    assert {method: accuracy(fit, method, held_out) >= 0.99 for method in LEARNING} == dict.fromkeys(LEARNING, True)
    majority = (held_out.hits == 0).mean()
    assert all(
        accuracy(fit, method, held_out) < majority + 0.1 for method in (MAJORITY, BY_POSITION, ENTROPY, SHUFFLED)
    )


def test_what_a_generated_state_reveals_is_unknown_before():
    data = planted("generated")
    fit = fit_once(data, quick_config(), "context", 0, shuffled=False)
    held_out = data.take(fit.parts.test)
    is_first = np.arange(LENGTH) == 0  # its state is the context's last
    first = replace(held_out, hits=np.where(is_first, held_out.hits, -1))
    later = replace(held_out, hits=np.where(is_first, -1, held_out.hits))
    assert accuracy(fit, PREDICTOR, first) >= 0.99
    assert accuracy(fit, BOOSTING, first) >= 0.99  # a linear model cannot treat the first index separately
    assert max(accuracy(fit, method, later) for method in LEARNING) < 0.7


@pytest.mark.parametrize("sees", SEES)
@pytest.mark.parametrize("base", [0.3, 0.8])
def test_random_labels_are_guessed_and_no_more(sees, base):
    hits = (np.random.default_rng(8).random((500, LENGTH)) < base).astype(np.int8)
    data = examples(500, hits=hits)
    fit = fit_once(data, quick_config(), sees, 0, shuffled=True)
    held_out = data.take(fit.parts.test)
    assert set(fit.methods) == {PREDICTOR, SHUFFLED, *BASELINES}
    for method in fit.methods:
        right = wilson(round(accuracy(fit, method, held_out) * held_out.hits.size), held_out.hits.size)
        assert covers(right.estimate, right.lower, right.upper, max(base, 1 - base)), method
        area = auroc(fit, method, held_out)
        if area.lower is None:
            assert area.estimate == 0.5, method
        else:
            assert covers(area.estimate, area.lower, area.upper, 0.5), method


def test_probabilities_are_those_of_the_scored_corpus():
    """Rows that represent many count as many: classes are balanced in the loss, not in the probabilities."""
    hits = np.repeat((np.random.default_rng(3).random((400, 1)) < 0.5).astype(np.int8), LENGTH, axis=1)
    data = examples(400, hits=hits, weights=np.where(hits[:, 0] == 1, 1.0, 9.0))
    fit = fit_once(data, quick_config(), "generated", 0, shuffled=False)
    held_out = data.take(fit.parts.test)
    for method in fit.methods:
        assert 0.05 < fit.probabilities(method, held_out).mean() < 0.16, method


# ----------------------------------------------------------------------------------------------------------- causality


@pytest.fixture(scope="module")
def fits():
    data = examples(60)
    return {sees: fit_once(data, quick_config(epochs=2), sees, 0, shuffled=True) for sees in SEES}


def changed_from(start, data):
    """`data` with other states and inputs at positions from `start` on."""
    another = examples(len(data.rows), seed=99)
    later = np.arange(POSITIONS)[:, None] >= start
    return replace(
        data,
        states=np.where(later, another.states, data.states),
        inputs=np.where(later, another.inputs, data.inputs),
    )


def test_methods_that_see_the_context_alone_read_nothing_after_it(fits):
    data = examples(60)
    for method in fits["context"].methods:
        before = fits["context"].probabilities(method, data)
        assert np.array_equal(before, fits["context"].probabilities(method, changed_from(CONTEXT, data))), method
        if method not in (MAJORITY, BY_POSITION):
            changed = fits["context"].probabilities(method, changed_from(CONTEXT - 1, data)) != before
            assert changed.any(0).all(), method


def test_no_index_reads_a_state_after_its_own(fits):
    data = examples(60)
    for method in fits["generated"].methods:
        before = fits["generated"].probabilities(method, data)
        for index in range(LENGTH):
            after = fits["generated"].probabilities(method, changed_from(CONTEXT + index, data))
            assert np.array_equal(after[:, : index + 1], before[:, : index + 1]), (method, index)
            own = fits["generated"].probabilities(method, changed_from(CONTEXT - 1 + index, data))
            assert method in (MAJORITY, BY_POSITION) or (own[:, index] != before[:, index]).any(), (method, index)


def test_the_network_reads_the_context_too(fits):
    data = examples(60)
    first = replace(data, states=np.concatenate([examples(60, seed=5).states[:, :1], data.states[:, 1:]], axis=1))
    for fit in fits.values():
        for method in LEARNING[:2]:
            assert (fit.probabilities(method, first) != fit.probabilities(method, data)).any(0).all()


# ----------------------------------------------------------------------------------------------------- reproducibility


def test_the_same_seed_gives_the_same_numbers_and_another_seed_does_not(fits):
    data = examples(60)
    again = fit_once(data, quick_config(epochs=2), "generated", 0, shuffled=True)
    another = fit_once(data, quick_config(epochs=2), "generated", 1, shuffled=True)
    for method in fits["generated"].methods:
        before = fits["generated"].probabilities(method, data)
        assert np.array_equal(before, again.probabilities(method, data)), method
    assert not np.array_equal(another.probabilities(PREDICTOR, data), before)
    assert not np.array_equal(another.parts.test, again.parts.test)


def test_predictions_for_a_row_do_not_depend_on_other_rows(fits):
    data = examples(60)
    for sees, fit in fits.items():
        for method in fit.methods:
            alone = [fit.probabilities(method, data.take(np.array([row]))) for row in (0, 7, 59)]
            together = fit.probabilities(method, data)[[0, 7, 59]]
            assert np.allclose(np.concatenate(alone), together, atol=1e-6), (sees, method)


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize("sees", SEES)
def test_constant_states_predict_nothing(sees):
    flat = np.full((150, POSITIONS, 3), 0.7, np.float16)
    hits = np.repeat((np.random.default_rng(2).random((150, 1)) < 0.4).astype(np.int8), LENGTH, axis=1)
    data = examples(150, states=flat, inputs=np.zeros((150, POSITIONS, 0), np.float32), names=(), hits=hits)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = fit_once(data, quick_config(epochs=4), sees, 0, shuffled=True)
        held_out = data.take(fit.parts.test)
        assert {auroc(fit, method, held_out).estimate for method in (MAJORITY, LOGISTIC)} == {0.5}
        for method in fit.methods:
            assert fit.probabilities(method, held_out).std(0).max() < 1e-6, method
    assert ENTROPY not in fit.methods


def test_tokens_after_the_end_of_a_text_do_not_count():
    """Half of the rows end after two tokens; counting the rest as missed or as recited would change every number."""
    random = np.random.default_rng(11)
    hits = (random.random((400, LENGTH)) < 0.7).astype(np.int8)
    hits[::2, 2:] = -1
    data = examples(400, hits=hits)
    fit = fit_once(data, quick_config(epochs=5), "generated", 0, shuffled=False)
    held_out = data.take(fit.parts.test)
    share = (hits[fit.parts.fit] == 1)[data.take(fit.parts.fit).has_label].mean()
    assert np.allclose(fit.probabilities(MAJORITY, held_out), share, atol=1e-6)
    for method in fit.methods:
        assert abs(fit.probabilities(method, held_out).mean() - 0.7) < 0.08, method
    (first, *_) = prediction_tables(fit, held_out, "m", "m", "generated", 0)
    ended = first["hit"].to_pylist()[int(np.flatnonzero(held_out.hits[:, 2] == -1)[0])]
    assert ended[2:] == [None] * (LENGTH - 2)
    assert None not in ended[:2]


def test_an_index_that_no_fitted_row_has_gets_the_overall_share():
    hits = np.ones((100, LENGTH), np.int8)
    hits[::3], hits[:, -1] = 0, -1
    data = examples(100, hits=hits)
    fit = fit_once(data, quick_config(epochs=1), "generated", 0, shuffled=False)
    majority = fit.probabilities(BY_POSITION, data)[0]
    assert majority[-1] == pytest.approx(majority[0], abs=1e-6)


def test_unknown_states_are_replaced_by_the_mean():
    data = planted("generated", 150)
    data.states[:40, CONTEXT + 2 :] = np.nan
    fit = fit_once(data, quick_config(epochs=3), "generated", 0, shuffled=False)
    for method in fit.methods:
        assert np.isfinite(fit.probabilities(method, data)).all(), method


# --------------------------------------------------------------------------------------------------------- predictions


def test_the_table_of_predictions_has_the_right_columns():
    data = examples(60, control=10, weights=np.arange(60) + 0.5)
    fit = fit_once(data, quick_config(epochs=1), "context", 3, shuffled=True)
    held_out = data.take(fit.parts.test | ~data.train)
    tables = {table["method"][0].as_py(): table for table in prediction_tables(fit, held_out, "m", "n", "context", 3)}
    assert set(tables) == {PREDICTOR, SHUFFLED, *BASELINES}
    for method, table in tables.items():
        assert table["row"].to_pylist() == held_out.rows.tolist()
        assert table["role"].to_pylist().count("control") == 10
        assert table["role"].to_pylist() == ["train" if is_train else "control" for is_train in held_out.train]
        assert table["weight"].to_pylist() == held_out.weights.tolist()
        assert table["level"].to_pylist() == held_out.levels.tolist()
        assert np.array_equal(np.array(table["probability"].to_pylist(), "f4"), fit.probabilities(method, held_out))
        hits = np.array(table["hit"].to_pylist())
        assert np.array_equal(hits, held_out.hits == 1) == (method != SHUFFLED)
        for role in (held_out.train, ~held_out.train):  # shuffled, if at all, within a role
            assert sorted(hits[role].tolist()) == sorted((held_out.hits[role] == 1).tolist())
        names = {name: table[name][0].as_py() for name in ("model", "tested", "sees", "seed")}
        assert names == {"model": "m", "tested": "n", "sees": "context", "seed": 3}
    (table,) = prediction_tables(fit, held_out, "m", "n", "context", 3, (ENTROPY,))
    assert table["method"][0].as_py() == ENTROPY
    assert list(prediction_tables(fit, held_out.take(np.zeros(len(held_out.rows), bool)), "m", "n", "context", 3)) == []
