"""Common runs of words against a search through all pairs of positions."""

import random

import pytest

from mematlas.matching.common_runs import common_runs
from mematlas.matching.words import Span, find_words


def naive(first, second, at_least):
    """Runs of equal words that cannot be prolonged, each by comparing two positions at a time."""
    a, b = find_words(first), find_words(second)
    found = set()
    for i in range(len(a.texts)):
        for j in range(len(b.texts)):
            if i and j and a.texts[i - 1] == b.texts[j - 1]:
                continue
            n = 0
            while i + n < len(a.texts) and j + n < len(b.texts) and a.texts[i + n] == b.texts[j + n]:
                n += 1
            if n:
                found.add((Span(a.starts[i], a.ends[i + n - 1]), Span(b.starts[j], b.ends[j + n - 1])))
    found = {pair for pair in found if min(pair[0].length, pair[1].length) >= at_least}
    return {
        one for one, _ in found
        if not any(o.start <= one.start and one.end <= o.end and o != one for o, _ in found)
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_runs_are_those_of_a_naive_search(seed):
    draw = random.Random(seed)
    texts = [" ".join(draw.choices(["a", "bb", "ccc"], k=draw.randint(0, 25))) for _ in range(2)]
    for at_least in (1, 4, 9):
        runs = common_runs(find_words(texts[0]), find_words(texts[1]), at_least)
        assert {run.first for run in runs} == naive(*texts, at_least)
        for run in runs:
            assert texts[0][slice(*run.first)] == texts[1][slice(*run.second)]


def test_case_punctuation_and_white_space_are_no_differences():
    first, second = 'He said: "stop -- now, please"', "he said stop now\n please"
    (run,) = common_runs(find_words(first), find_words(second), 20)
    assert (first[slice(*run.first)], second[slice(*run.second)]) == (first[:-1], second)


def test_both_sides_or_the_first_must_be_long_enough():
    first, second = find_words("one" + "-" * 40 + "two"), find_words("one two")
    assert common_runs(first, second, 20) == []
    assert len(common_runs(first, second, 20, both=False)) == 1


def test_no_run_goes_across_masked_words():
    first, second = (find_words("one two three four five", [Span(8, 13)]) for _ in range(2))
    assert [run.first for run in common_runs(first, second, 1)] == [Span(0, 7), Span(14, 23)]
    assert [run.first for run in common_runs(first, find_words("one two four five"), 1)] == [Span(0, 7), Span(14, 23)]


def test_parts_of_words_are_no_run():
    assert common_runs(find_words("unbelievable"), find_words("believable"), 1) == []
