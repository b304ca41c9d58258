"""The baselines: shares counted by hand, entropies in order, features of wide states."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import rankdata

from mematlas.predictors import baselines
from mematlas.predictors.baselines import MAX_WIDTH, baseline_logits
from mematlas.predictors.fitting import fit_once
from mematlas.predictors.scaling import fit_scaling
from mematlas.study.schemas.predictions import BASELINES, BOOSTING, BY_POSITION, ENTROPY, LOGISTIC, MAJORITY
from tests.predictors.synthetic_examples import CONTEXT, LENGTH, POSITIONS, examples, planted, quick_config


def fitted(data, sees="generated"):
    positions = CONTEXT if sees == "context" else POSITIONS
    return baseline_logits(data, data, fit_scaling(data, positions), sees, 0)


def test_guesses_are_the_shares_of_the_scored_corpus():
    """Row 0 represents 6 rows and recites tokens 0 and 1; rows 1 and 2 represent 1 each; row 2 ends after 3 tokens."""
    hits = np.array([[1, 1, 0, 0, 0], [1, 0, 0, 1, 0], [0, 0, 1, -1, -1]], np.int8)
    data = examples(3, hits=hits, weights=np.array([6.0, 1, 1]))
    # the classifiers need both classes and more rows: guesses do not look at the states
    many = data.take(np.tile(np.arange(3), 20))
    found = fitted(many)
    expected = [7 / 8, 6 / 8, 1 / 8, 1 / 7, 1e-6]
    assert expit(found[BY_POSITION](data)) == pytest.approx(np.tile(expected, (3, 1)), rel=1e-4)
    assert expit(found[MAJORITY](data)) == pytest.approx(np.full((3, LENGTH), (12 + 2 + 1) / (5 * 7 + 3)), rel=1e-4)


@pytest.mark.parametrize(("sees", "positions"), [("generated", [3, 4, 5, 6, 7]), ("context", [3] * LENGTH)])
def test_the_entropy_threshold_ranks_by_the_latest_visible_entropy(sees, positions):
    data = examples(40)
    data.inputs[5, 4:] = np.nan
    found = fitted(data, sees)[ENTROPY](data)
    entropy = data.inputs[:, positions, 0]
    known = np.isfinite(entropy)
    assert np.array_equal(rankdata(found[known]), rankdata(-entropy[known]))
    assert (found[~known] == 0).all()


def test_the_entropy_is_found_beside_other_inputs_and_states_of_any_width():
    plain, random = examples(40), np.random.default_rng(4)
    others = random.normal(size=(40, POSITIONS, 2)).astype("f4")
    more = replace(
        plain, inputs=np.concatenate([plain.inputs, others], axis=2), names=("entropy", "unigrams", "bigrams")
    )
    expected, found = fitted(plain)[ENTROPY](plain), fitted(more)[ENTROPY]
    assert found(more) == pytest.approx(expected, abs=1e-6)
    wider = replace(more, states=random.normal(size=(40, POSITIONS, 9)).astype(np.float16))
    assert found(wider) == pytest.approx(expected, abs=1e-6)


def test_without_entropies_there_is_no_entropy_threshold():
    data = examples(40, inputs=np.zeros((40, POSITIONS, 0), "f4"), names=())
    assert set(fitted(data)) == set(BASELINES) - {ENTROPY}


def test_states_wider_than_256_go_through_their_principal_components(monkeypatch):
    """Dimensions 0 to 2 of 12 carry the label, half a copy of each other, so that they are in the components kept."""
    assert MAX_WIDTH == 256
    monkeypatch.setattr(baselines, "MAX_WIDTH", 4)
    narrow, random = planted("generated", 120), np.random.default_rng(0)
    states = random.normal(size=(120, POSITIONS, 12))
    states[:, CONTEXT - 1 :, :3] += (6 * narrow.hits - 3)[..., None]
    data = replace(narrow, states=states.astype(np.float16))
    widths = []
    monkeypatch.setattr(baselines._Features, "__call__", recording_widths(baselines._Features.__call__, widths))
    fit = fit_once(data, quick_config(epochs=5), "generated", 0, shuffled=False)
    held_out = data.take(fit.parts.test)
    for method in (LOGISTIC, BOOSTING):
        right = (fit.probabilities(method, held_out) > 0.5) == (held_out.hits == 1)
        assert right.mean() > 0.95, method
    assert set(widths) == {2 * (4 + 1) + LENGTH, 2 * (4 + 1) + 1}  # there and in the mean, and the index


def recording_widths(function, widths):
    def wrapped(*args):
        features = function(*args)
        widths.append(features.shape[1])
        return features

    return wrapped


def test_classifiers_do_not_read_tokens_after_the_end():
    data = planted("generated", 100)
    hits = data.hits.copy()
    hits[::2, 3:] = -1
    cut = replace(data, hits=hits)
    flipped = data.states.copy()
    flipped[::2, CONTEXT - 1 + 3 :] *= -5  # states after the end, which must not be learned from
    other = replace(cut, states=flipped)
    scaling = fit_scaling(cut, POSITIONS)
    for method in (LOGISTIC, BOOSTING):
        before, after = (baseline_logits(rows, rows, scaling, "generated", 0)[method](cut) for rows in (cut, other))
        assert before == pytest.approx(after, abs=1e-6), method
