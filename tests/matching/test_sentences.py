"""Sentences and their characters, by both splitters."""

import builtins
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mematlas.matching import sentences
from mematlas.matching.sentences import merge_short, split_sentences, splitter_name
from mematlas.matching.words import Span, find_words

HAS_BLINGFIRE = splitter_name() != "regex"
needs_blingfire = pytest.mark.skipif(not HAS_BLINGFIRE, reason="blingfire has no build for this machine")
BOTH = pytest.mark.parametrize("splitter", [pytest.param("blingfire", marks=needs_blingfire), "regex"])


def split(text, splitter="regex"):
    return [text[start:end] for start, end in split_sentences(text, splitter)]


@BOTH
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One is here. Two is there!  Three?", ["One is here.", "Two is there!", "Three?"]),
        ("Dr. Smith had Fig. 2 at 5 p.m. in hand. He left.", ["Dr. Smith had Fig. 2 at 5 p.m. in hand.", "He left."]),
        ("A wrapped\nline goes on. The next\none too.", ["A wrapped\nline goes on.", "The next\none too."]),
        ("no end\n\nanother paragraph\n \n\nlast", ["no end", "another paragraph", "last"]),
        ("It costs 3.14 euros. Good.", ["It costs 3.14 euros.", "Good."]),
        ("Ünï cödé 😀 ends. Ärger folgt.", ["Ünï cödé 😀 ends.", "Ärger folgt."]),
        ("日本語です。次の文です。", ["日本語です。", "次の文です。"]),
        ("", []),
        (" \n\n\t ", []),
    ],
)  # fmt: skip
def test_sentences_are_split_where_they_end(text, expected, splitter):
    assert split(text, splitter) == expected


def test_our_rule_does_not_end_a_sentence_before_a_small_letter():
    assert split("He works at Yahoo! in May. She left.") == ["He works at Yahoo! in May.", "She left."]


@BOTH
@given(text=st.text(alphabet=st.sampled_from("aB é.!?\n\t\"'日。\x00\ud800😀1"), max_size=60))
def test_every_character_but_white_space_is_in_exactly_one_sentence(text, splitter):
    spans = split_sentences(text, splitter)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(first.end <= second.start for first, second in pairwise(spans))
    inside = "".join(text[start:end] for start, end in spans)
    kept = [character for character in text if not character.isspace() and character != "\x00"]
    assert [character for character in inside if not character.isspace() and character != "\x00"] == kept


def test_short_sentences_are_joined_with_the_next_and_the_last_stays():
    text = "Yes. Oh no. This one has five words. Well then."
    merged = merge_short(split_sentences(text, "regex"), find_words(text), 3)
    assert [text[start:end] for start, end in merged] == ["Yes. Oh no.", "This one has five words.", "Well then."]
    assert merge_short(split_sentences(text, "regex"), find_words(text), 1) == split_sentences(text, "regex")
    assert merge_short([], find_words(""), 3) == []
    assert merge_short([Span(0, 4)], find_words("Yes."), 3) == [Span(0, 4)]


@needs_blingfire
def test_the_splitter_is_named():
    assert splitter_name("auto") == splitter_name("blingfire")
    assert splitter_name("blingfire").startswith("blingfire 0.")
    assert splitter_name("regex") == "regex"


@pytest.mark.parametrize("error", [ImportError("no blingfire", name="blingfire"), OSError("built for another machine")])
def test_without_blingfire_sentences_end_by_our_rule(monkeypatch, error):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "blingfire":
            raise error
        return real(name, *args, **kwargs)

    sentences._blingfire.cache_clear()
    monkeypatch.setattr(builtins, "__import__", refuse)
    try:
        assert splitter_name() == "regex"
        assert split("One is here. Two.", "auto") == ["One is here.", "Two."]
        with pytest.raises(type(error)):
            split_sentences("One.", "blingfire")
    finally:
        sentences._blingfire.cache_clear()
