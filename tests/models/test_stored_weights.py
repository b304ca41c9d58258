"""Model folders as they are found: weights in several files, in 16 bits, or quantized."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from mematlas.cli import run as command
from mematlas.errors import ModelError
from mematlas.models.base import LoadOptions
from mematlas.models.quantization import quantization
from mematlas.models.resolve import find_model
from tests import tiny_networks as networks

CPU = LoadOptions(device="cpu")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def quantized(tmp_path, **config):
    """A model whose configuration states that its weights are quantized."""
    folder = networks.save_network(networks.neox(), tmp_path / "model")
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": config}))
    return folder


def states(spec, options=CPU):
    tokens = torch.from_numpy(np.random.default_rng(3).integers(0, networks.V, (3, 12)))
    with torch.inference_mode():
        return find_model(spec).load(options).start(3, 12).feed(tokens)


def test_weights_in_several_files_are_those_in_one(tmp_path):
    networks.save_network(networks.neox(), tmp_path / "whole")
    networks.neox().save_pretrained(tmp_path / "sharded", max_shard_size="40KB")
    files = sorted((tmp_path / "sharded").glob("*.safetensors"))
    assert len(files) > 2
    assert find_model("sharded").card.parameters == find_model("whole").card.parameters
    assert torch.equal(states("sharded"), states("whole"))
    files[1].unlink()
    with pytest.raises(ModelError, match=rf"^sharded lacks {files[1].name}, which its index names; fetch the model"):
        find_model("sharded")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_in_16_bits_are_loaded_as_asked(tmp_path, dtype):
    network = networks.neox().to(getattr(torch, dtype))
    networks.save_network(network, tmp_path / "half")
    networks.save_network(network.float(), tmp_path / "same")
    assert find_model("half").card.parameters == find_model("same").card.parameters
    assert torch.equal(states("half"), states("same"))  # the numbers of 16 bits, calculated with in 32
    assert states("half", LoadOptions(device="cpu", dtype=dtype)).dtype == getattr(torch, dtype)


@pytest.mark.parametrize(
    ("stated", "text"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes, 4 bits"),
        ({"load_in_8bit": True}, "bitsandbytes, 8 bits"),
        ({"quant_method": "gptq", "bits": 3}, "gptq, 3 bits"),
        ({"quant_method": "fp8"}, "fp8"),
        (None, None),
    ],
)
def test_how_weights_are_stored_is_named(stated, text):
    assert quantization({"quantization_config": stated}) == text
    assert quantization({}) is None


@pytest.mark.parametrize(
    ("config", "library", "package"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes", "bitsandbytes"),
        ({"quant_method": "gptq", "bits": 4}, "gptqmodel", "gptqmodel"),
        ({"quant_method": "awq", "bits": 4}, "gptqmodel", "gptqmodel"),
        ({"quant_method": "compressed-tensors"}, "compressed_tensors", "compressed-tensors"),
    ],
)
def test_a_missing_library_is_named_in_one_line(tmp_path, monkeypatch, capsys, config, library, package):
    monkeypatch.setattr("mematlas.models.quantization.find_spec", lambda name: None)
    quantized(tmp_path, **config)
    np.save("rows.npy", np.zeros((4, 16), np.uint16))
    assert command(["score", "model", "--corpus", "rows.npy", "--study", "s"]) == 1
    how = quantization({"quantization_config": config})
    message = (
        f"mematlas: The weights of 'model' are quantized ({how}), which needs "
        f"the library {library!r}, which is not installed; run: pip install {package} accelerate"
    )
    assert capsys.readouterr().err.splitlines() == [message]


def test_the_card_names_the_quantization_and_counts_no_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("mematlas.models.quantization.find_spec", lambda name: object())
    quantized(tmp_path, quant_method="gptq", bits=4)
    card = find_model("model").card
    assert (card.quantization, card.parameters) == ("gptq, 4 bits", None)  # several weights share a stored number
    assert card.remarks == ("model is quantized (gptq, 4 bits): scores are those of its quantized weights",)


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
@pytest.mark.parametrize("bits", [4, 8])
def test_quantized_weights_score_as_transformers_loads_them(tmp_path, bits):
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    networks.save_network(networks.neox(hidden_size=64, intermediate_size=128), tmp_path / "plain")
    config = BitsAndBytesConfig(load_in_4bit=bits == 4, load_in_8bit=bits == 8)
    network = AutoModelForCausalLM.from_pretrained("plain", quantization_config=config, device_map={"": "cpu"})
    network.save_pretrained(tmp_path / "small")
    assert find_model("small").card.quantization == f"bitsandbytes, {bits} bits"
    assert find_model("small").card.width == 64
    again = AutoModelForCausalLM.from_pretrained("small", dtype=torch.float32, device_map={"": "cpu"}).eval()
    tokens = torch.from_numpy(np.random.default_rng(3).integers(0, networks.V, (3, 12)))
    with torch.inference_mode():
        expected = again.base_model(tokens).last_hidden_state
    torch.testing.assert_close(states("small"), expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(states("small"), states("plain"), atol=1e-3)
