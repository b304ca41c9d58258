"""What a predictor must beat: shares counted by hand, entropies in order, features of wide states."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import rankdata

from mematlas.predictors import baselines
from mematlas.predictors.baselines import WIDEST, baseline_logits
from mematlas.predictors.fitting import fit_once
from mematlas.predictors.scaling import fit_scaling
from mematlas.study.schemas.predictions import BASELINES, BOOSTING, BY_POSITION, ENTROPY, LOGISTIC, MAJORITY
from tests.predictors.synthetic_examples import CONTEXT, LENGTH, POSITIONS, examples, planted, quick


def fitted(whole, sees="generated"):
    seen = CONTEXT if sees == "context" else POSITIONS
    return baseline_logits(whole, whole, fit_scaling(whole, seen), sees, 0)


def test_guesses_are_the_shares_of_the_scored_corpus():
    """Row 0 stands for 6 rows and recites tokens 0 and 1; rows 1 and 2 stand for 1 each; row 2 ends after 3 tokens."""
    hits = np.array([[1, 1, 0, 0, 0], [1, 0, 0, 1, 0], [0, 0, 1, -1, -1]], np.int8)
    whole = examples(3, hits=hits, weights=np.array([6.0, 1, 1]))
    # the classifiers need both classes and more rows: guesses do not look at the states
    many = whole.take(np.tile(np.arange(3), 20))
    found = fitted(many)
    expected = [7 / 8, 6 / 8, 1 / 8, 1 / 7, 1e-6]
    assert expit(found[BY_POSITION](whole)) == pytest.approx(np.tile(expected, (3, 1)), rel=1e-4)
    assert expit(found[MAJORITY](whole)) == pytest.approx(np.full((3, LENGTH), (12 + 2 + 1) / (5 * 7 + 3)), rel=1e-4)


@pytest.mark.parametrize(("sees", "places"), [("generated", [3, 4, 5, 6, 7]), ("context", [3] * LENGTH)])
def test_the_entropy_threshold_ranks_by_the_entropy_at_hand(sees, places):
    whole = examples(40)
    whole.inputs[5, 4:] = np.nan
    found = fitted(whole, sees)[ENTROPY](whole)
    entropy = whole.inputs[:, places, 0]
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
    whole = examples(40, inputs=np.zeros((40, POSITIONS, 0), "f4"), names=())
    assert set(fitted(whole)) == set(BASELINES) - {ENTROPY}


def test_states_wider_than_256_go_through_their_principal_components(monkeypatch):
    """Dimensions 0 to 2 of 12 carry the label, half a copy of each other, so that they are in the components kept."""
    assert WIDEST == 256
    monkeypatch.setattr(baselines, "WIDEST", 4)
    narrow, random = planted("generated", 120), np.random.default_rng(0)
    states = random.normal(size=(120, POSITIONS, 12))
    states[:, CONTEXT - 1 :, :3] += (6 * narrow.hits - 3)[..., None]
    whole = replace(narrow, states=states.astype(np.float16))
    widths = []
    monkeypatch.setattr(baselines._Features, "__call__", spy(baselines._Features.__call__, widths))
    fit = fit_once(whole, quick(epochs=5), "generated", 0, shuffled=False)
    held = whole.take(fit.parts.test)
    for method in (LOGISTIC, BOOSTING):
        right = (fit.probabilities(method, held) > 0.5) == (held.hits == 1)
        assert right.mean() > 0.95, method
    assert set(widths) == {2 * (4 + 1) + LENGTH, 2 * (4 + 1) + 1}  # there and in the mean, and the index


def spy(called, widths):
    def wrapped(*given):
        found = called(*given)
        widths.append(found.shape[1])
        return found

    return wrapped


def test_classifiers_do_not_read_tokens_that_are_not_there():
    whole = planted("generated", 100)
    hits = whole.hits.copy()
    hits[::2, 3:] = -1
    cut = replace(whole, hits=hits)
    flipped = whole.states.copy()
    flipped[::2, CONTEXT - 1 + 3 :] *= -5  # states behind the end, of which nothing is to be learned
    other = replace(cut, states=flipped)
    scaling = fit_scaling(cut, POSITIONS)
    for method in (LOGISTIC, BOOSTING):
        one, two = (baseline_logits(some, some, scaling, "generated", 0)[method](cut) for some in (cut, other))
        assert one == pytest.approx(two, abs=1e-6), method
