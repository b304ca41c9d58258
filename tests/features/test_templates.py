"""K2's templates: known answers, the rule compared with trying every start, and the missing absolute value."""

import numpy as np
import pytest

from mematlas.features.templates import incrementing, is_progression, repeating


def repeats(text: str) -> bool:
    window = np.array([[ord(character) for character in text]], np.int64)
    window.flags.writeable = False
    return bool(repeating(window)[0])


def repeats_by_trying(window) -> bool:
    """K2's code in words: leave out i at the start and j at the end; is the rest k equal pieces and a cut one?"""
    length = len(window)
    for start in range(length // 2):
        for end in range(3):
            rest = window[start : length - end]
            for pieces in range(2, 6):
                for size in range(1, len(rest) // pieces + 1):
                    complete, cut = rest[: size * pieces], rest[size * pieces :]
                    if len(cut) < size and (complete + cut) == (rest[:size] * (pieces + 1))[: len(rest)]:
                        return True
    return False


def test_known_answers_of_k2():
    assert incrementing("1 2 3 4 5 6")
    assert not repeats("1 2 3 4 5 6")
    assert repeats("abcabcabc")
    assert not incrementing("abcabcabc")
    assert not repeats("271")
    assert not incrementing("2 7 1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abcdabcdabcd", True),
        ("wxyabcabcab", True),  # a start that does not belong, and a cut copy
        ("abcabcabcxy", True),  # two at the end that do not belong
        ("abcabcabcxyz", False),  # three
        ("pqrstuvwabab", False),  # more than half at the start
        ("abcdefghijkl", False),
        ("aaaaaaaaaaaa", True),
        ("abab", True),
    ],
)
def test_what_may_be_left_out_around_the_template(text, expected):
    assert repeats(text) is expected
    assert repeats_by_trying([ord(character) for character in text]) is expected


@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 13, 16])
def test_the_rule_is_what_trying_every_start_end_and_size_finds(length):
    windows = np.random.default_rng(length).integers(0, 2, size=(300, length))
    assert repeating(windows).tolist() == [repeats_by_trying(window) for window in windows.tolist()]


def test_each_row_has_its_own_answer_and_no_row_has_none():
    assert repeating(np.array([[1, 2, 1, 2, 1, 2], [1, 2, 3, 4, 5, 6]])).tolist() == [True, False]
    assert repeating(np.zeros((0, 8), np.int64)).tolist() == []
    assert repeating(np.zeros((2, 0), np.int64)).tolist() == [False, False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10 9 8 7 6 5 4", True),  # down
        ("128.\n129.\n130.\n131.\n132.\n133.", True),
        ("0.5, 1.0, 1.5, 2.0, 2.5, 3.0", True),  # decimals
        ("a[3]=0; a[4]=0; a[5]=0; a[6]=0;", True),  # beside a constant number
        ("1: 10, 2: 20, 3: 30, 4: 40", True),  # two sequences in one
        ("...7 108 109 110 111 112 113 11", True),  # the window cut the first and the last
        ("1 2 3 4 5", False),  # fewer than six
        ("5 5 5 5 5 5 5", False),  # constant
        ("1 2 4 8 16 32 64", False),  # rises, but not by the same
        ("3 1 4 1 5 9 2 6 5 3", False),
        ("", False),
        ("no number at all", False),
    ],
)
def test_what_is_incrementing(text, expected):
    assert incrementing(text) is expected


def test_few_digits_among_many_letters_are_no_sequence():
    assert incrementing("1 2 3 4 5 6" + "x" * 100)
    assert not incrementing("1 2 3 4 5 6" + "x" * 120)


def test_the_authors_test_lacks_the_absolute_value():
    assert not is_progression([2, 7, 1])
    assert is_progression([2, 7, 1], faithful=True)
    assert not is_progression([1, 2, 7], faithful=True)
    assert is_progression([1, 3, 5])
    assert is_progression([5, 3, 1], faithful=True)
    bent = "1 20 30 35 36 30 10"
    assert not incrementing(bent)
    assert incrementing(bent, faithful=True)
