"""tf-idf, cosine and Dice against numbers worked out by hand; words and spans."""

import math

import pytest

from mematlas.matching.vectors import cosine, dice, merge, tf_idf
from mematlas.matching.words import BARRIER, Span, find_words, is_content_word, union_length


def test_weights_are_tf_times_ln_n_over_df_over_both_documents():
    first, second = tf_idf([{"cat": 2, "mat": 1}, {"dog": 1}], [{"cat": 1, "mat": 3}, {"mat": 1}])
    # four sentences: cat in 2, mat in 3, dog in 1
    assert first == [
        {"cat": pytest.approx(2 * math.log(2)), "mat": pytest.approx(math.log(4 / 3))},
        {"dog": pytest.approx(math.log(4))},
    ]
    assert second == [
        {"cat": pytest.approx(math.log(2)), "mat": pytest.approx(3 * math.log(4 / 3))},
        {"mat": pytest.approx(math.log(4 / 3))},
    ]


def test_two_equal_sentences_alone_have_no_direction():
    first, second = tf_idf([{"cat": 1}], [{"cat": 1}])
    assert (first, second) == ([{"cat": 0.0}], [{"cat": 0.0}])
    assert cosine(first[0], second[0]) == 0.0


def test_cosine_and_dice_by_hand():
    assert cosine({"a": 3.0, "b": 4.0}, {"b": 5.0, "c": 12.0}) == pytest.approx(20 / 65)
    assert cosine({"a": 1.0}, {"a": 7.0}) == pytest.approx(1)
    assert cosine({"a": 1.0}, {"b": 1.0}) == 0.0
    assert cosine({}, {"a": 1.0}) == 0.0
    assert dice({"a": 9, "b": 1}, {"b": 1, "c": 1, "d": 1}) == pytest.approx(2 / 5)
    assert dice([], []) == 0.0
    assert merge([{"a": 1.0, "b": 2.0}, {"b": 3.0}]) == {"a": 1.0, "b": 5.0}


def test_words_stand_at_their_characters():
    words = find_words("It's ÉTÉ,  日本 x_1.")
    assert words.texts == ["it", "s", "été", "日", "本", "x_1"]
    assert words.starts == [0, 3, 5, 11, 12, 14]
    assert words.ends == [2, 4, 8, 12, 13, 17]
    assert words.within(Span(3, 12)).texts == ["s", "été", "日"]
    assert words.within(Span(6, 8)).texts == []


def test_masked_words_are_one_barrier():
    words = find_words("one two three four", [Span(4, 10)])
    assert words.texts == ["one", BARRIER, "four"]
    assert not any(map(is_content_word, ("a", "of", BARRIER, "__x")))
    assert all(map(is_content_word, ("cat", "4th", "日")))


def test_the_union_of_spans_counts_each_character_once():
    assert union_length([Span(5, 9), Span(0, 3), Span(2, 6)]) == 9
    assert union_length([]) == 0
