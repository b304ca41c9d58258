"""The blind classifier: words that tell, words that do not, and documents that must not help."""

import numpy as np
import pytest

from mematlas.stats.classification.bag_of_words import FEWEST, FOLDS, blind_log_odds
from mematlas.stats.classification.discrimination import roc_auc

ROWS, LENGTH = 200, 12


def bags(seed=0, words=300, count=ROWS):
    rng = np.random.default_rng(seed)
    return rng.integers(0, words, (count, LENGTH)), np.arange(count) % 3 == 0


def odds(tokens, member, groups=None, **options):
    rows = np.repeat(np.arange(len(tokens)), tokens.shape[1])
    groups = np.arange(len(tokens)) if groups is None else groups
    return blind_log_odds(rows, tokens.ravel(), member, groups, **options)


def test_a_word_of_the_members_tells_them():
    tokens, member = bags()
    tokens[member, 5] = 999
    found = odds(tokens, member)
    assert roc_auc(found, member).estimate > 0.99
    tokens[:, 5] = np.where(member, 5, 999)
    assert roc_auc(odds(tokens, member), member).estimate > 0.99


def test_words_without_meaning_tell_nothing():
    areas = [roc_auc(odds(*bags(seed), seed=seed), bags(seed)[1]).estimate for seed in range(40)]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.02)


def test_rows_of_one_document_do_not_tell_each_other():
    """Every document has words of its own: known rows of it would tell the others."""
    document = np.arange(ROWS) // 5
    tokens = 1000 * document[:, None] + np.random.default_rng(0).integers(0, 4, (ROWS, LENGTH))
    member = document % 2 == 0
    assert roc_auc(odds(tokens, member), member).estimate > 0.95
    apart = [roc_auc(odds(tokens, member, document, seed=seed), member).estimate for seed in range(10)]
    assert np.mean(apart) == pytest.approx(0.5, abs=0.1)


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


def test_few_rows_of_a_class_fit_nothing():
    tokens, _ = bags()
    assert np.isnan(odds(tokens, np.arange(ROWS) < FEWEST - 1)).all()
    assert np.isfinite(odds(tokens, np.arange(ROWS) < FEWEST)).all()


def test_a_class_in_one_document_alone_fits_nothing_for_it():
    tokens, member = bags()
    found = odds(tokens, member, np.where(member, -1, np.arange(ROWS)))
    assert np.isnan(found[member]).all()


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        blind_log_odds([0, 1], [1], [True, False], [0, 1])
    with pytest.raises(ValueError, match="one shape"):
        blind_log_odds([0, 1], [1, 1], [True, False], [0])
