"""The blind baseline: informative words, uninformative words, and documents that must not leak between folds."""

import numpy as np
import pytest

from mematlas.stats.classification.bag_of_words import FOLDS, MIN_ROWS_PER_CLASS, blind_log_odds
from mematlas.stats.classification.discrimination import roc_auc

ROWS, LENGTH = 200, 12


def bags(seed=0, words=300, count=ROWS):
    rng = np.random.default_rng(seed)
    return rng.integers(0, words, (count, LENGTH)), np.arange(count) % 3 == 0


def odds(tokens, member, groups=None, **options):
    rows = np.repeat(np.arange(len(tokens)), tokens.shape[1])
    groups = np.arange(len(tokens)) if groups is None else groups
    return blind_log_odds(rows, tokens.ravel(), member, groups, **options)


def test_a_word_that_only_members_have_identifies_them():
    tokens, member = bags()
    tokens[member, 5] = 999
    log_odds = odds(tokens, member)
    assert roc_auc(log_odds, member).estimate > 0.99
    tokens[:, 5] = np.where(member, 5, 999)
    assert roc_auc(odds(tokens, member), member).estimate > 0.99


def test_uninformative_words_give_an_area_of_a_half():
    areas = [roc_auc(odds(*bags(seed), seed=seed), bags(seed)[1]).estimate for seed in range(40)]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.02)


def test_rows_of_one_document_do_not_identify_each_other():
    """Every document has words of its own: rows of it in the training folds would identify the others."""
    document = np.arange(ROWS) // 5
    tokens = 1000 * document[:, None] + np.random.default_rng(0).integers(0, 4, (ROWS, LENGTH))
    member = document % 2 == 0
    assert roc_auc(odds(tokens, member), member).estimate > 0.95
    separate_folds = [roc_auc(odds(tokens, member, document, seed=seed), member).estimate for seed in range(10)]
    assert np.mean(separate_folds) == pytest.approx(0.5, abs=0.1)


def test_how_often_a_word_occurs_in_a_row_does_not_count():
    tokens, member = bags()
    twice = np.concatenate([tokens, tokens], axis=1)
    assert odds(tokens, member) == pytest.approx(odds(twice, member))


def test_folds_hold_both_classes_and_depend_on_the_seed():
    tokens, member = bags()
    assert np.isfinite(odds(tokens, member)).all()
    assert (odds(tokens, member) == odds(tokens, member)).all()
    assert not (odds(tokens, member, seed=1) == odds(tokens, member)).all()
    assert FOLDS == 5


def test_too_few_rows_of_a_class_give_nan():
    tokens, _ = bags()
    assert np.isnan(odds(tokens, np.arange(ROWS) < MIN_ROWS_PER_CLASS - 1)).all()
    assert np.isfinite(odds(tokens, np.arange(ROWS) < MIN_ROWS_PER_CLASS)).all()


def test_a_class_in_a_single_document_gives_nan_for_it():
    tokens, member = bags()
    log_odds = odds(tokens, member, np.where(member, -1, np.arange(ROWS)))
    assert np.isnan(log_odds[member]).all()


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="the same shape"):
        blind_log_odds([0, 1], [1], [True, False], [0, 1])
    with pytest.raises(ValueError, match="the same shape"):
        blind_log_odds([0, 1], [1, 1], [True, False], [0])
