"""`mematlas features --tagger`: tags of a sample of the rows and of what every model names, computed once."""

import importlib.util
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import mematlas
from mematlas.cli import run as command
from mematlas.errors import StudyError
from mematlas.features.taggers import TAGGERS
from mematlas.pipeline.steps import tags as tagging
from tests import study_shelf as shelves
from tests.byte_level_tokenizer import byte_level_encoder

TEXT = "the cat sat on the mat 3 red cats sat in Paris\n"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Two models of text: one recites its rows, one knows a few of them; and a control row."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(TAGGERS._members, "list", ("tests.features.word_tagger:load", None, "for tests"))
    encoder = byte_level_encoder(Path("tokenizer"))
    texts = [TEXT[shift:] * 3 for shift in range(0, 40, 4)]
    rows = np.array([tokens[:24] for tokens in encoder.encode(texts)])
    np.save("rows.npy", rows)
    np.save("few.npy", rows[:2])
    np.save("control.npy", np.array([encoder.encode(["Paris sat on the red mat " * 3])[0][:24]]))
    options = {"control": "control.npy", "context": 8, "continuation": 16, "tokenizer": "tokenizer"}
    models = ("parrot:rows.npy:300", "parrot:few.npy:300")
    return mematlas.score(*models, corpus="rows.npy", signals="truth", study="study", **options)


def test_true_and_named_tokens_are_tagged_and_the_analysis_reads_them(study, capsys):
    assert command(["features", "study", "--tagger", "list:x"]) == 0, capsys.readouterr().err
    tags = study.features("tags")
    true, named = tags.filter(pl.col("model").is_null()), tags.filter(pl.col("model").is_not_null())
    assert (true.height, named.height) == (11, 22)
    assert true["tags"].list.len().unique().to_list() == [24]
    assert named["tags"].list.first().is_null().all(), "nothing is named at the first position"
    (finding,) = mematlas.analyze(study, only="parts_of_speech")
    frame = finding.table("tags")
    knows_all = frame.filter(role="train", model=study.models()["model"][0])
    assert knows_all["tag"].to_list() == ["NUM", "PROPN", "NOUN", "VERB", "ADJ", "other"]
    assert knows_all["R_mem"].min() > 0.9, "it recites its own rows"
    few = frame.filter(role="train", model=study.models()["model"][1])
    assert (few["R_mem"] < knows_all["R_mem"]).all()
    assert (frame["R"] >= frame["R_mem"]).all()
    report = command(["report", "study"])
    assert report == 0


def test_nothing_is_tagged_twice_and_another_tagger_tags_again(study, monkeypatch):
    mematlas.make_features(study, tagger="list:x")
    monkeypatch.setattr(tagging, "_tag_study", lambda *_: pytest.fail("tagged twice"))
    mematlas.make_features(study, tagger="list:x")
    monkeypatch.setattr("tests.features.word_tagger.WordTagger.name", "another")
    with pytest.raises(pytest.fail.Exception, match="tagged twice"):
        mematlas.make_features(study, tagger="list:x")


def test_a_sample_of_each_role_is_tagged(study, monkeypatch):
    monkeypatch.setattr(tagging, "ROWS", 3)
    mematlas.make_features(study, tagger="list:x")
    true = study.features("tags").filter(pl.col("model").is_null())["row"].to_list()
    roles = study.rows().filter(pl.col("row").is_in(true))["role"].value_counts().sort("role")
    assert roles.rows() == [("control", 1), ("train", 3)]


def test_without_signals_only_the_rows_are_tagged_and_the_finding_says_what_to_add(study):
    plain = mematlas.score(
        "parrot:rows.npy:300", corpus="rows.npy", context=8, continuation=16, tokenizer="tokenizer", study="plain"
    )
    mematlas.make_features(plain, tagger="list:x")
    assert plain.features("tags")["model"].null_count() == 10
    (finding,) = mematlas.analyze(plain, only="parts_of_speech")
    assert finding.missing.startswith("Score again with `--signals truth`")


@pytest.mark.skipif(importlib.util.find_spec("spacy") is not None, reason="spaCy is installed")
def test_without_spacy_the_command_says_what_to_install_before_anything_is_counted(study, capsys):
    assert command(["features", "study", "--tagger", "spacy:en_core_web_sm"]) == 1
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    assert error.endswith("needs the library 'spacy', which is not installed; run: pip install \"mematlas[pos]\"")
    assert not (study.folder / "features").exists()


def test_models_without_a_tokenizer_cannot_be_tagged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(TAGGERS._members, "list", ("tests.features.word_tagger:load", None, "for tests"))
    shelves.fill(tmp_path)
    study = mematlas.score("uniform:60", corpus="rows.npy", context=8, continuation=4, study="study")
    with pytest.raises(StudyError, match="have no tokenizer, so its tokens have no text to tag; leave out --tagger"):
        mematlas.make_features(study, tagger="list:x")
