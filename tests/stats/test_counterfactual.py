"""Counterfactual memorization against what is worked out by hand, or known of how the scores were made."""

import numpy as np
import pytest

from mematlas.stats.counterfactual import (
    BIN_EDGES,
    adjusted_p_values,
    influence,
    memorization,
    permuted_memorization,
    sample_membership,
    split_half_correlation,
)

MODELS, SHARE = 400, 0.25


def copies_of(groups: np.ndarray, models: int = MODELS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Membership, and scores of 1 where the model was trained on any copy of the row, else 0."""
    members = sample_membership(models, len(groups), SHARE, seed)
    scores = np.stack([members[:, groups == group].any(1) for group in groups], axis=1)
    return members, scores.astype(float)


# ----------------------------------------------------------------------------------------------------- memorization


def test_the_definition_by_hand():
    members = np.array([[1, 1, 1, 0, 0, 0, 0]], bool).T
    scores = np.array([[0.9, 0.7, 0.8, 0.1, 0.3, 0.2, 0.2]]).T
    result = memorization(members, scores)
    assert result.inside[0] == pytest.approx(0.8)
    assert result.outside[0] == pytest.approx(0.2)
    assert result.memorization[0] == pytest.approx(0.6)
    # s_in^2 = 0.02 / 2, s_out^2 = 0.02 / 3
    assert result.error[0] == pytest.approx(np.sqrt(0.01 / 3 + 0.02 / 3 / 4))
    assert result.simplicity[0] == pytest.approx(3.2 / 7)
    assert (result.n_in[0], result.n_out[0]) == (3, 4)
    # all 3 scores above the mean are inside: 1 of 35 choices of 3 models, in both directions
    assert result.q[0] == pytest.approx(2 / 35)


def test_rows_that_are_known_exactly_where_trained_on_lie_on_the_line():
    members = sample_membership(MODELS, 50, SHARE, 1)
    result = memorization(members, members)
    assert (result.memorization == 1).all()
    assert (result.error == 0).all()
    np.testing.assert_allclose(result.simplicity, result.n_in / MODELS, rtol=1e-14)
    np.testing.assert_allclose(result.memorization, (1 - result.simplicity) / (1 - result.n_in / MODELS), rtol=1e-12)
    assert (result.q < 1e-9).all()


@pytest.mark.parametrize("copies", [1, 2, 4, 8])
def test_copies_hide_memorization_by_the_law(copies):
    groups = np.repeat(np.arange(40), copies)
    result = memorization(*copies_of(groups, seed=copies))
    by_group = result.memorization.reshape(40, copies).mean(1)
    error = by_group.std(ddof=1) / np.sqrt(40)
    assert abs(by_group.mean() - 0.75 ** (copies - 1)) <= 3 * error + 1e-12


def test_copies_sampled_together_hide_nothing():
    groups = np.repeat(np.arange(20), 4)
    members = sample_membership(100, 80, SHARE, 3, groups)
    scores = np.stack([members[:, groups == group].any(1) for group in groups], axis=1)
    assert (memorization(members, scores).memorization == 1).all()


def test_a_constant_score_is_no_memorization_and_not_nan():
    members = sample_membership(40, 30, SHARE, 0)
    result = memorization(members, np.full(members.shape, 0.1))
    assert (result.memorization == 0).all()
    assert (result.error == 0).all()
    assert (result.q == 1).all()
    np.testing.assert_allclose(result.simplicity, 0.1)


@pytest.mark.parametrize("inside", [0, 1, 9, 10])
def test_a_row_of_all_models_or_none_is_unknown(inside):
    members = (np.arange(10) < inside)[:, None]
    result = memorization(members, np.arange(10.0)[:, None])
    for values in (result.memorization, result.error, result.q, result.inside, result.outside):
        assert np.isnan(values).all()
    assert result.simplicity[0] == 4.5
    assert (result.n_in[0], result.n_out[0]) == (inside, 10 - inside)


def test_models_without_a_score_are_left_out():
    members = np.array([1, 1, 1, 0, 0, 0], bool)[:, None]
    scores = np.array([1, 1, np.nan, 0, np.nan, 0])[:, None]
    result = memorization(members, scores)
    assert (result.memorization[0], result.simplicity[0]) == (1, 0.5)
    assert (result.n_in[0], result.n_out[0]) == (2, 2)


def test_the_standard_error_covers_the_truth():
    rng = np.random.default_rng(5)
    members = sample_membership(200, 2000, SHARE, 5)
    result = memorization(members, 0.3 + 0.5 * members + rng.normal(0, 0.2, members.shape))
    covered = np.abs(result.memorization - 0.5) <= 1.96 * result.error
    assert abs(covered.mean() - 0.95) < 0.02


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="not of the same models and rows"):
        memorization(np.ones((4, 2)), np.ones((4, 3)))
    with pytest.raises(ValueError, match="of the same models"):
        influence(np.ones((4, 2)), np.ones((5, 2)))


# ------------------------------------------------------------------------------------------------------- influence


def test_the_influence_of_a_copy_is_its_memorization():
    groups = np.repeat(np.arange(100), 2)
    members, scores = copies_of(groups)
    result = influence(members, scores, groups)
    own = memorization(members, scores).memorization
    np.testing.assert_allclose(result.on_copies, own, rtol=1e-12)
    copies = result.is_copy
    assert sorted(zip(result.source[copies], result.target[copies], strict=True)) == sorted(
        (row, row ^ 1) for row in range(200)
    )
    assert result.tested == 200 * 199
    assert result.histogram.sum(1).tolist() == [200 * 198, 200]


def test_planted_influence_is_found_and_little_else():
    false, found = 0, 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        members = sample_membership(200, 100, SHARE, seed)
        scores = 0.3 + 0.3 * members + rng.normal(0, 0.1, members.shape)
        planted = {(3, 50), (17, 4), (80, 81)}
        for source, target in planted:
            scores[:, target] += 0.3 * members[:, source]
        result = influence(members, scores)
        assert result.tested == 9900
        assert (np.abs(result.z) >= 4).all()
        pairs = set(zip(result.source[result.q <= 0.05], result.target[result.q <= 0.05], strict=True))
        found += len(pairs & planted)
        false += len(pairs - planted)
    assert found == 60
    assert false / (found + false) <= 0.05


def test_few_models_that_agree_by_chance_are_no_influence():
    # rows known exactly where trained on: of 74,000 pairs many have 10 models inside that all fail on the target
    members = sample_membership(40, 272, SHARE, 0)
    result = influence(members, members)
    assert (result.q > 0.05).all()


@pytest.mark.parametrize("copies", [1, 2, 4])
def test_chance_makes_no_influence_among_saturated_copies(copies):
    # 40 models, scores of 0 and 1: subsets overlap by chance, in the tails where normal and Student's t are too short
    groups, false, found = np.repeat(np.arange(240 // copies), copies), 0, 0
    for seed in range(10):
        result = influence(*copies_of(groups, 40, seed), groups)
        found += int((result.is_copy & (result.q <= 0.05)).sum())
        false += int((~result.is_copy & (result.q <= 0.05)).sum())
    assert false <= 0.05 * (found + false) + 1
    assert found > 1000 or copies != 2


def test_rows_sampled_together_are_not_tested():
    groups = np.repeat(np.arange(10), 2)
    members = sample_membership(60, 20, 0.5, 0, groups)
    result = influence(members, members, groups)
    assert result.tested == 20 * 18
    assert np.isnan(result.on_copies).all()
    assert result.histogram[1].sum() == 0


def test_influence_in_blocks_of_sources_is_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    members, scores = sample_membership(50, 30, 0.5, 0), rng.uniform(size=(50, 30))
    whole = influence(members, scores, threshold=2)
    monkeypatch.setattr("mematlas.stats.counterfactual._SOURCES_AT_ONCE", 7)
    parts = influence(members, scores, threshold=2)
    for name in ("source", "target", "influence", "error", "z", "q", "histogram"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-9)
    source, target = whole.source[0], whole.target[0]
    by_hand = memorization(members[:, [source]], scores[:, [target]])
    assert whole.influence[0] == pytest.approx(by_hand.memorization[0])
    assert whole.error[0] == pytest.approx(by_hand.error[0])


def test_one_bin_is_centred_on_zero():
    centers = (BIN_EDGES[1:] + BIN_EDGES[:-1]) / 2
    np.testing.assert_allclose(centers[[0, 20, 40]], [-1, 0, 1], atol=1e-12)


# ------------------------------------------------------------------------------------------- the null, and convergence


def test_permuted_membership_is_zero():
    members, scores = copies_of(np.repeat(np.arange(60), 2), models=100)
    means, deviations = permuted_memorization(members, scores, 200, 0)
    assert abs(means.mean()) < 3 * means.std() / np.sqrt(200)
    assert (deviations > 0.05).all()
    assert memorization(members, scores).memorization.mean() > 10 * np.abs(means).max()


def test_halves_agree_where_rows_differ_and_not_where_they_do_not():
    rng = np.random.default_rng(0)
    members = sample_membership(200, 300, 0.5, 0)
    effect, noise = rng.uniform(0, 1, 300), rng.normal(0, 0.2, members.shape)
    mean, lower, upper = split_half_correlation(members, effect * members + noise, 100, 20, 0)
    assert lower < mean < upper
    assert mean > 0.95
    assert split_half_correlation(members, effect * members + noise, 10, 20, 0)[0] < mean
    assert abs(split_half_correlation(members, 0.5 * members + noise, 100, 50, 0)[0]) < 0.1
    with pytest.raises(ValueError, match="two groups of 101 models need 202, and there are 200"):
        split_half_correlation(members, noise, 101, 1, 0)


def test_constant_scores_have_no_correlation():
    members = sample_membership(20, 30, 0.5, 0)
    assert np.isnan(split_half_correlation(members, np.ones(members.shape), 10, 3, 0)).all()


# ---------------------------------------------------------------------------------------------- membership, and q


def test_subsets_are_of_equal_size_and_depend_on_the_seed_only():
    members = sample_membership(1000, 40, SHARE, 7)
    assert (members.sum(1) == 10).all()
    assert (members == sample_membership(1000, 40, SHARE, 7)).all()
    assert (members != sample_membership(1000, 40, SHARE, 8)).any()
    assert np.abs(members.mean(0) - SHARE).max() < 5 * np.sqrt(SHARE * 0.75 / 1000)
    with pytest.raises(ValueError, match=r"a share of 0\.01 of 40 rows"):
        sample_membership(10, 40, 0.01, 0)


def test_adjusted_p_values_by_hand():
    np.testing.assert_allclose(adjusted_p_values([0.04, 0.01, np.nan, 0.5]), [0.06, 0.03, np.nan, 0.5])
    np.testing.assert_allclose(adjusted_p_values([0.001, 0.0015], tests=100), [0.075, 0.075])
