"""Counterfactual memorization and influence where they can be enumerated, or are known of how scores were made."""

from itertools import combinations

import numpy as np
import pytest

from mematlas.stats.counterfactual import influence, linear_datamodeling_score, memorization, sample_membership

WORDS, SHARE = 6, 0.25


# ---------------------------------------------------------------------------- count language models, all their subsets


def texts(rows: int = 10) -> np.ndarray:
    """Short rows of few words, of which the last two are equal: shape (rows, 8)."""
    rows_of_words = np.random.default_rng(2).integers(0, WORDS, (rows, 8))
    rows_of_words[-1] = rows_of_words[-2]
    return rows_of_words


def bigram_scores(trained: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Share of words that the most frequent follower of the word before foretells; of unknown words the first."""
    counts = np.zeros((WORDS, WORDS))
    np.add.at(counts, (trained[:, :-1], trained[:, 1:]), 1)
    return (counts.argmax(1)[rows[:, :-1]] == rows[:, 1:]).mean(1)


def unigram_scores(trained: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Share of words that are the most frequent one."""
    return (rows == np.bincount(trained.reshape(-1), minlength=WORDS).argmax()).mean(1)


def all_subsets(size: int = 4, rows: int = 10) -> np.ndarray:
    members = np.zeros((210, rows), bool)
    for model, subset in enumerate(combinations(range(rows), size)):
        members[model, subset] = True
    return members


def scores_of(members: np.ndarray, model) -> np.ndarray:
    rows = texts()
    return np.stack([model(rows[is_member], rows) for is_member in members])


@pytest.mark.parametrize("model", [bigram_scores, unigram_scores])
def test_a_sample_of_200_count_models_agrees_with_the_enumeration_of_all_subsets(model):
    """The expectations of the definition are means over all 210 subsets of 4 of 10 rows."""
    everything = all_subsets()
    scores = scores_of(everything, model)
    exact = [scores[is_in, row].mean() - scores[~is_in, row].mean() for row, is_in in enumerate(everything.T)]
    np.testing.assert_allclose(memorization(everything, scores).memorization, exact, atol=1e-12)
    members = sample_membership(200, 10, 0.4, 1)
    sampled = memorization(members, scores_of(members, model))
    distance = np.abs(sampled.memorization - exact)
    assert (distance <= 3 * sampled.error + 1e-12).all()
    assert np.mean(distance <= 2 * sampled.error + 1e-12) >= 0.8
    # the negative control: models with the subsets of others
    shuffled = memorization(np.random.default_rng(0).permutation(members), scores_of(members, model))
    if model is bigram_scores:
        assert np.mean(exact) > 0.1
        assert (np.abs(shuffled.memorization - exact) > 3 * shuffled.error).sum() >= 5
    assert np.abs(shuffled.memorization).mean() < 0.05


def test_the_influence_of_a_count_model_is_that_of_the_enumeration():
    everything = all_subsets()
    scores = scores_of(everything, bigram_scores)
    result = influence(everything, scores, threshold=0)
    for source, target, value in zip(result.source, result.target, result.influence, strict=True):
        is_in = everything[:, source]
        assert value == pytest.approx(scores[is_in, target].mean() - scores[~is_in, target].mean(), abs=1e-12)
    on_copy = [v for s, t, v in zip(result.source, result.target, result.influence, strict=True) if {s, t} == {8, 9}]
    own = memorization(everything, scores).memorization
    assert on_copy == pytest.approx([own[9], own[8]], abs=1e-12)


# ----------------------------------------------------------------------------------------------- how scores were made


def test_a_copy_takes_a_quarter_of_the_memorization_off():
    """M = .3 + .5 if trained on either copy: mem = .5 (1 - .25)."""
    groups = np.repeat(np.arange(60), 2)
    members = sample_membership(400, 120, SHARE, 0)
    either = np.stack([members[:, groups == group].any(1) for group in groups], axis=1)
    noise = np.random.default_rng(0).normal(0, 0.1, members.shape)
    values = memorization(members, 0.3 + 0.5 * either + noise).memorization.reshape(60, 2).mean(1)
    assert abs(values.mean() - 0.375) <= 3 * values.std(ddof=1) / np.sqrt(60)
    single = memorization(members, 0.3 + 0.5 * members + noise)
    assert abs(single.memorization.mean() - 0.5) < 0.01


def test_unrelated_rows_have_an_influence_of_zero_within_their_errors():
    members = sample_membership(200, 80, SHARE, 3)
    scores = 0.3 + 0.5 * members + np.random.default_rng(3).normal(0, 0.2, members.shape)
    result = influence(members, scores, threshold=0)
    assert result.tested == 80 * 79
    # subsets have one size, so that a model trained on one row has less room for any other: - mem / (rows - 1)
    expected = -0.5 / 79
    assert result.influence.mean() == pytest.approx(expected, abs=0.002)
    assert abs(np.mean(np.abs(result.influence - expected) <= 2 * result.error) - 0.95) < 0.02


@pytest.mark.parametrize("alike", [False, True])
def test_rows_of_a_template_do_not_influence_each_other_unless_they_teach_each_other(alike):
    """32 rows that read alike: a model knows one if trained on that one; or, the negative control, on any of 4."""
    members = sample_membership(120, 32, SHARE, 4)
    fours = np.repeat(np.arange(8), 4)
    knows = np.stack([members[:, fours == four].any(1) for four in fours], axis=1) if alike else members
    result = influence(members, np.where(knows, 0.9, 0.2))
    found = set(zip(result.source[result.q <= 0.05], result.target[result.q <= 0.05], strict=True))
    if alike:
        assert {pair for pair in found if fours[pair[0]] == fours[pair[1]]} == found
        assert len(found) > 60
    else:
        assert found == set()
        unrelated = influence(members, np.where(knows, 0.9, 0.2), threshold=0).influence
        assert unrelated.mean() == pytest.approx(-0.7 / 31, abs=0.002)  # see the test before


# ------------------------------------------------------------------------------------------ linear datamodeling score


def test_the_score_of_an_exact_linear_model_is_1_and_of_others_influences_0():
    rng = np.random.default_rng(0)
    members, matrix = sample_membership(100, 30, 0.5, 0), rng.normal(size=(30, 30))
    scores = 0.2 + members @ matrix
    np.testing.assert_allclose(linear_datamodeling_score(members, scores, matrix), 1)
    np.testing.assert_allclose(linear_datamodeling_score(members, np.exp(scores), matrix), 1)
    np.testing.assert_allclose(linear_datamodeling_score(members, scores, -matrix), -1)
    assert abs(linear_datamodeling_score(members, scores, rng.normal(size=(30, 30))).mean()) < 0.1


def test_influences_of_some_models_foretell_the_scores_of_others():
    rng = np.random.default_rng(1)
    matrix = np.where(rng.uniform(size=(12, 12)) < 0.3, rng.normal(size=(12, 12)), 0)
    members = sample_membership(2000, 12, 0.5, 1)
    scores = members @ matrix
    estimated = np.zeros((12, 12))
    for source in range(12):
        is_in = members[:1500, source]
        estimated[source] = scores[:1500][is_in].mean(0) - scores[:1500][~is_in].mean(0)
    foretold = linear_datamodeling_score(members[1500:], scores[1500:], estimated)
    assert np.nanmean(foretold) > 0.95


def test_what_is_constant_has_no_score_and_shapes_must_fit():
    members = sample_membership(20, 5, 0.4, 0)
    assert np.isnan(linear_datamodeling_score(members, np.full((20, 5), 0.3), np.eye(5))).all()
    assert np.isnan(linear_datamodeling_score(members, members, np.zeros((5, 5)))).all()
    with pytest.raises(ValueError, match=r"influences \(4, 5\) are not of 5 rows on 5"):
        linear_datamodeling_score(members, members, np.zeros((4, 5)))
