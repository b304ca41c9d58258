"""Tokenizers that differ only in what mematlas switches off are the same, and keep what older studies recorded."""

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer

import mematlas
from mematlas.analyses.frames.study_tables import read_tables
from mematlas.errors import OptionError
from mematlas.models.resolve import find_model
from mematlas.models.weight_files import digest_files
from tests import tiny_networks as networks


def bpe(*merges):
    """A byte-level BPE tokenizer with these merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*alphabet, *("".join(pair) for pair in merges)])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [*merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@pytest.fixture
def models_with(tmp_path):
    """A function that saves two tiny models, whose tokenizer.json files have these texts; returns their folders."""

    def save(*texts):
        folders = []
        for number, text in enumerate(texts):
            folder = networks.save_network(networks.neox(seed=number), tmp_path / f"model-{number}")
            (folder / "tokenizer.json").write_text(text)
            (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
            folders.append(str(folder))
        return folders

    return save


BASE = bpe(("t", "h"), ("th", "e"))


def truncated():
    tokenizer = bpe(("t", "h"), ("th", "e"))
    tokenizer.enable_truncation(max_length=8)
    return tokenizer.to_str()


def padded():
    tokenizer = bpe(("t", "h"), ("th", "e"))
    tokenizer.enable_padding(length=64)
    return tokenizer.to_str()


def with_bos():
    tokenizer = bpe(("t", "h"), ("th", "e"))
    tokenizer.post_processor = processors.TemplateProcessing(single="a $A", special_tokens=[("a", 64)])
    return tokenizer.to_str()


def of_an_older_release():
    """Merges as texts instead of pairs, and without the fields that newer releases have added."""
    settings = json.loads(BASE.to_str())
    settings["model"]["merges"] = [" ".join(pair) for pair in settings["model"]["merges"]]
    for name in ("byte_fallback", "ignore_merges", "fuse_unk"):
        settings["model"].pop(name, None)
    settings["pre_tokenizer"].pop("use_regex", None)
    return json.dumps(settings, indent=1)


@pytest.mark.parametrize("saved", [truncated, padded, with_bos, of_an_older_release])
def test_saving_after_training_leaves_the_tokenizer_the_same(models_with, tmp_path, saved):
    assert saved() != BASE.to_str()
    folders = models_with(saved(), BASE.to_str())
    cards = [find_model(folder).card for folder in folders]
    assert cards[0].tokenizer_rules == cards[1].tokenizer_rules
    (tmp_path / "text.txt").write_text("the other then that " * 60)
    options = {"corpus": str(tmp_path / "text.txt"), "context": [8], "continuation": [8]}
    study = mematlas.score(*folders, study=str(tmp_path / "s"), **options)
    assert study.scores()["model"].n_unique() == 2
    assert len(read_tables(study).tokenizers) == 1
    alone = mematlas.score(folders[1], study=str(tmp_path / "alone"), **options)
    columns = ["row", "context", "continuation", "matches", "verbatim"]
    of_second = study.scores().filter(model="model-1").select(columns)
    assert of_second.equals(alone.scores().select(columns))  # the same rows, whichever tokenizer cut them


def test_rules_that_the_class_of_a_tokenizer_adds_are_compared_as_they_are_loaded(models_with, tmp_path):
    """GPTNeoXTokenizer adds special tokens of its own when it is loaded, and saves them."""
    before, after = models_with(bpe().to_str(), bpe().to_str())
    for folder in (before, after):
        Path(folder, "tokenizer_config.json").unlink()  # then the class is that of the model
    tokenizer = AutoTokenizer.from_pretrained(after)
    tokenizer.save_pretrained(after)
    (tmp_path / "texts.jsonl").write_text("".join(f'{{"text": "a b c d e f g h {n} i j k l"}}\n' for n in range(5)))
    cards = [find_model(folder).card for folder in (before, after)]
    assert cards[0].tokenizer_rules != cards[1].tokenizer_rules  # of the files
    study = mematlas.score(
        before, after, corpus=str(tmp_path / "texts.jsonl"), context=[4], continuation=[4], study=tmp_path / "study"
    )
    assert study.scores()["model"].n_unique() == 2
    [run] = study.manifest()["runs"].values()
    assert len({card["tokenizer_rules"] for card in run["models"].values()}) == 1
    assert read_tables(study).models["tokenizer"].n_unique() == 1


def test_what_gives_other_ids_is_another_tokenizer(models_with, tmp_path):
    others = [bpe(("t", "h")), bpe(("t", "h"), ("h", "e")), bpe(("h", "e"))]
    cards = [find_model(folder).card for folder in models_with(BASE.to_str(), *(other.to_str() for other in others))]
    assert len({card.tokenizer_rules for card in cards}) == 4
    lowered = json.loads(BASE.to_str()) | {"normalizer": {"type": "Lowercase"}}
    added = bpe(("t", "h"), ("th", "e"))
    added.add_tokens(["there"])
    cards = [find_model(folder).card for folder in models_with(BASE.to_str(), json.dumps(lowered), added.to_str())]
    assert len({card.tokenizer_rules for card in cards}) == 3
    (tmp_path / "text.txt").write_text("the other then that " * 60)
    with pytest.raises(OptionError, match="model-0 and model-1 have different tokenizers"):
        mematlas.score(
            *(card.spec for card in cards[:2]),
            corpus=str(tmp_path / "text.txt"),
            context=[8],
            continuation=[8],
            study=str(tmp_path / "s"),
        )


def test_fingerprints_that_studies_record_stay_those_of_the_files(models_with):
    """They are part of the keys of studies of text."""
    (folder,) = models_with(truncated())
    source = find_model(folder)
    path = networks.Path(folder) / "tokenizer.json"
    assert source.card.tokenizer == source.encoder().fingerprint == digest_files([path])


def test_a_damaged_tokenizer_has_no_rules_and_is_reported_only_when_it_is_needed(models_with, tmp_path):
    (folder,) = models_with("{")
    card = find_model(folder).card
    assert card.tokenizer is not None
    assert card.tokenizer_rules is None
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).integers(0, networks.V, (20, 16)))
    options = {"corpus": str(tmp_path / "rows.npy"), "context": [8], "continuation": [8]}
    assert len(mematlas.score(folder, study=str(tmp_path / "s"), **options).scores()) == 20


def test_a_study_whose_manifest_has_no_rules_compares_files_as_before(models_with, tmp_path):
    folders = models_with(truncated(), BASE.to_str())
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).integers(0, networks.V, (20, 16)))
    options = {"corpus": str(tmp_path / "rows.npy"), "context": [8], "continuation": [8]}
    study = mematlas.score(*folders, study=str(tmp_path / "s"), **options)
    assert len(read_tables(study).tokenizers) == 1
    manifest = study.folder / "manifest.json"
    content = json.loads(manifest.read_text())
    for run in content["runs"].values():
        for card in run["models"].values():
            for name in ("tokenizer_rules", "trained_length", "remarks"):
                del card[name]
    manifest.write_text(json.dumps(content))
    assert len(read_tables(study).tokenizers) == 2
