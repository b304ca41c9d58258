"""A tokenizer that only decodes gives the texts of the whole one, without transformers."""

import subprocess
import sys

import numpy as np
import pytest

from mematlas.errors import ModelError
from mematlas.models.huggingface import decoding_encoder, tokenizer_encoder
from tests.byte_level_tokenizer import byte_level_encoder

TEXTS = ("a plain text", "Wörter, 漢字 und 😀", "  spaces \n and\ttabs ", "<script>x</script>")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer") / "model"
    byte_level_encoder(folder, TEXTS)
    return folder


def test_it_decodes_as_the_whole_tokenizer(folder):
    whole, light = tokenizer_encoder(str(folder), None), decoding_encoder(str(folder), 10**6)
    ids = list(range(whole.vocabulary))
    assert light.decode(ids) == whole.decode(ids)
    windows = [*whole.encode(list(TEXTS)), *np.random.default_rng(0).integers(0, len(ids), (50, 9)).tolist(), []]
    assert light.decode_windows(windows) == whole.decode_windows(windows)
    assert light.decode_windows(windows[: len(TEXTS)]) == list(TEXTS)
    assert light.fingerprint == whole.fingerprint


def test_it_needs_neither_transformers_nor_torch(folder):
    code = f"""
import sys
from mematlas.models.huggingface import decoding_encoder
print(decoding_encoder({str(folder)!r}, 10**6).decode_windows([[1, 2]]))
sys.exit(bool({{"transformers", "torch"}} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_what_is_not_on_this_machine_is_not_fetched(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with pytest.raises(ModelError, match="The tokenizer of 'someone/not-here' is not on this machine"):
        decoding_encoder("someone/not-here", 10)
