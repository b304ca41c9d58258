"""Token similarities: against answers by hand and a second implementation, and bad input."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from mematlas.metrics.similarity import bleu, edit_distances, longest_common_subsequences

TRUE = np.arange(100, 132)  # 32 tokens, no two alike
SHIFTED = np.concatenate([[7], TRUE[:-1]])  # the same tokens, one position later
REPLACED = np.where(np.arange(32) == 5, 7, TRUE)
OTHER = TRUE + 1000


def similarities(generated, true=TRUE) -> tuple[int, int, float]:
    """Edit distance, common subsequence and BLEU of one pair."""
    pair = np.array([generated]), np.array([true])
    return int(edit_distances(*pair)[0]), int(longest_common_subsequences(*pair)[0]), float(bleu(*pair)[0])


def test_the_same_text_has_no_distance_and_bleu_one():
    assert similarities(TRUE) == (0, 32, 1.0)


def test_another_text_shares_nothing():
    assert similarities(OTHER) == (32, 0, 0.0)


def test_a_shift_by_one_token_takes_an_insertion_and_a_deletion_though_no_position_agrees():
    assert (SHIFTED == TRUE).sum() == 0
    edits, common, score = similarities(SHIFTED)
    assert (edits, common) == (2, 31)
    # 31 of 32 tokens, 30 of 31 pairs, 29 of 30 triples, 28 of 29 4-grams: the product is 28/32
    assert score == pytest.approx((28 / 32) ** 0.25)


def test_a_token_left_out_takes_one_edit_where_the_text_ends_earlier():
    left_out = np.append(np.delete(TRUE, 9), -1)
    edits, common, score = similarities(left_out)
    assert (edits, common) == (1, 31)
    brevity = np.exp(1 - 32 / 31)
    assert score == pytest.approx(brevity * (1 * 29 / 30 * 27 / 29 * 25 / 28) ** 0.25)


def test_one_token_replaced():
    edits, common, score = similarities(REPLACED)
    assert (edits, common) == (1, 31)
    # the token at 5 breaks one 1-gram of 32, two 2-grams of 31, three 3-grams of 30 and four 4-grams of 29
    assert score == pytest.approx((31 / 32 * 29 / 31 * 27 / 30 * 25 / 29) ** 0.25)


def test_bleu_of_a_short_pair_by_hand():
    """8 of 9 tokens agree; of 6 4-grams three."""
    true, generated = [1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 5, 6, 0, 8, 9]
    assert similarities(generated, true)[2] == pytest.approx((8 / 9 * 6 / 8 * 4 / 7 * 3 / 6) ** 0.25)


def test_a_repeated_token_counts_as_often_as_the_truth_has_it():
    """Clipping: the token 1 five times, where the truth has it twice."""
    edits, common, score = similarities([1, 1, 1, 1, 1], [1, 1, 2, 3, 4])
    assert (edits, common, score) == (3, 2, 0.0)


def test_bleu_penalizes_a_text_that_ends_early_but_not_one_that_is_longer():
    short, full = [1, 2, 3, 4, 5, -1, -1, -1], [1, 2, 3, 4, 5, 6, 7, 8]
    assert similarities(short, full)[2] == pytest.approx(np.exp(1 - 8 / 5))
    assert similarities(full, short)[2] == pytest.approx((5 / 8 * 4 / 7 * 3 / 6 * 2 / 5) ** 0.25)


def test_bleu_of_fewer_than_four_true_tokens_is_not_measured():
    assert np.isnan(similarities([1, 2, 3], [1, 2, 3])[2])
    assert np.isnan(similarities([1, 2, 3, 4], [1, 2, 3, -1])[2])
    assert similarities([1, 2, 3, -1], [1, 2, 3, 4])[2] == 0


def test_an_empty_text():
    assert similarities([-1] * 5, [1, 2, 3, 4, 5]) == (5, 0, 0.0)


def test_no_rows_have_no_numbers():
    nothing = np.empty((0, 8), np.int64)
    for measure in (edit_distances, longest_common_subsequences, bleu):
        assert measure(nothing, nothing).shape == (0,)


@pytest.mark.parametrize("measure", [edit_distances, longest_common_subsequences, bleu])
def test_matrices_of_different_lengths_are_refused(measure):
    with pytest.raises(ValueError, match="matrices with the same number of rows"):
        measure(np.zeros((2, 8), int), np.zeros((3, 8), int))
    with pytest.raises(ValueError, match="matrices with the same number of rows"):
        measure(np.zeros(8, int), np.zeros(8, int))


def test_large_ids_are_distinguished():
    """More ids than there are characters, and ids that agree in their lower 16 bits."""
    true = np.array([2_000_000 + 65_536 * step for step in range(8)])
    assert similarities(true, true) == (0, 8, 1.0)
    assert similarities(true - 65_536, true) == (2, 7, pytest.approx((7 / 8 * 6 / 7 * 5 / 6 * 4 / 5) ** 0.25))


def test_inputs_are_not_changed():
    generated, true = np.array([SHIFTED, REPLACED]), np.array([TRUE, TRUE])
    for matrix in (generated, true):
        matrix.setflags(write=False)
    assert edit_distances(generated, true).tolist() == [2, 1]
    assert longest_common_subsequences(generated, true).tolist() == [31, 31]
    assert bleu(generated, true).shape == (2,)


# ----------------------------------------------------------------------------------------- a second implementation


def slow_edits(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    @cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        replaced = distance(i - 1, j - 1) + (a[i - 1] != b[j - 1])
        return min(replaced, distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    return distance(len(a), len(b))


def slow_common(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    @cache
    def length(i: int, j: int) -> int:
        if not i or not j:
            return 0
        return max(length(i - 1, j), length(i, j - 1), length(i - 1, j - 1) + (a[i - 1] == b[j - 1]))

    return length(len(a), len(b))


def slow_bleu(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    product = 1.0
    for n in range(1, 5):
        grams_a = [a[i : i + n] for i in range(len(a) - n + 1)]
        grams_b = [b[i : i + n] for i in range(len(b) - n + 1)]
        product *= (
            sum(min(grams_a.count(gram), grams_b.count(gram)) for gram in set(grams_a)) / len(grams_a)
            if grams_a
            else 0.0
        )
    brevity = min(1.0, float(np.exp(1 - len(b) / len(a)))) if a else 0.0
    return brevity * product**0.25


def padded(text: tuple[int, ...]) -> list[int]:
    return [*text, *[-1] * (10 - len(text))]


TEXT = st.lists(st.integers(0, 3), max_size=10).map(tuple)


@given(st.lists(st.tuples(TEXT, TEXT.filter(lambda text: len(text) > 3)), min_size=1, max_size=8))
def test_any_texts_agree_with_the_definitions(pairs):
    generated, true = np.array([padded(a) for a, _ in pairs]), np.array([padded(b) for _, b in pairs])
    assert edit_distances(generated, true).tolist() == [slow_edits(*pair) for pair in pairs]
    assert longest_common_subsequences(generated, true).tolist() == [slow_common(*pair) for pair in pairs]
    assert bleu(generated, true) == pytest.approx([slow_bleu(*pair) for pair in pairs])


def test_bleu_is_that_of_sacrebleu():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 6, (200, 24))
    generated = np.where(rng.random(true.shape) < 0.3, rng.integers(0, 6, true.shape), true)
    generated[:50, 17:] = -1
    reference = BLEU(tokenize="none", smooth_method="none", force=True)
    expected = [
        reference.corpus_score([" ".join(map(str, a[a >= 0]))], [[" ".join(map(str, b))]]).score / 100
        for a, b in zip(generated, true, strict=True)
    ]
    assert min(expected) < 0.4 < 0.8 < max(expected)
    assert bleu(generated, true) == pytest.approx(expected, rel=1e-12)
