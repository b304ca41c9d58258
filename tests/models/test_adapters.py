"""LoRA and other PEFT adapters are named for what they are, with the remedy that fits."""

import json
import re

import pytest

from mematlas.cli import run as command
from mematlas.errors import ModelError
from mematlas.models.resolve import find_model, find_models
from tests import tiny_networks as networks


@pytest.fixture
def adapter(tmp_path, monkeypatch):
    """A function that writes a folder as peft's save_pretrained does, without config.json."""
    monkeypatch.chdir(tmp_path)

    def write(name="adapter", **config):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        config = {"peft_type": "LORA", "base_model_name_or_path": "org/base", "r": 8, **config}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        (folder / "adapter_model.safetensors").write_bytes(b"not read")
        return folder

    return write


MERGE = (
    "adapter is an adapter (LORA) for the base model 'org/base', not a whole model, and mematlas does not read "
    "adapters yet; merge it with peft: PeftModel.from_pretrained(base, 'adapter').merge_and_unload()"
    ".save_pretrained('merged'), save the tokenizer there too, and give that folder."
)


def test_a_lora_folder_is_refused_with_its_base_model_and_how_to_merge_it(adapter, capsys):
    adapter()
    with pytest.raises(ModelError, match=f"^{re.escape(MERGE)}$"):
        find_model("adapter")
    assert command(["score", "adapter", "--corpus", "rows.npy", "--study", "s"]) == 1
    assert capsys.readouterr().err.splitlines() == [f"mematlas: {MERGE}"]


def test_an_adapter_beside_a_whole_model_is_refused_too(adapter):
    """transformers would add the adapter to the weights, and its file would count as weights."""
    networks.save_network(networks.neox(), adapter())
    with pytest.raises(ModelError, match=r"adapter is an adapter \(LORA\) for the base model 'org/base'"):
        find_model("adapter")


def test_checkpoints_of_a_lora_run_say_so(adapter):
    for step in (10, 20):
        adapter(f"run/checkpoint-{step}")
    message = r"no checkpoint can be scored: run/checkpoint-20 is an adapter \(LORA\) for the base model 'org/base'"
    with pytest.raises(ModelError, match=message):
        find_model("run")
    with pytest.raises(ModelError, match=r"run/checkpoint-20 is an adapter \(LORA\)"):
        find_models("run/checkpoint-*")


def test_a_prompt_is_not_to_be_merged(adapter):
    adapter(peft_type="PROMPT_TUNING")
    message = (
        r"adapter \(PROMPT_TUNING\) for the base model 'org/base'.* cannot be merged into one; score the base model"
    )
    with pytest.raises(ModelError, match=message):
        find_model("adapter")


def test_an_adapter_that_names_no_base_model_is_refused_as_well(adapter):
    adapter(base_model_name_or_path=None)
    with pytest.raises(ModelError, match="for a base model that it does not name, not a whole model"):
        find_model("adapter")
