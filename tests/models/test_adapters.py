"""LoRA and other PEFT adapters are scored with their base model, exactly as the model that was trained."""

import json
import re
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

import mematlas
import mematlas.models.huggingface
from mematlas.cli import run as command
from mematlas.errors import ModelError
from mematlas.models.base import LoadOptions
from mematlas.models.resolve import find_model, find_models
from mematlas.pipeline.study_file import read_study_file
from tests import tiny_networks as networks
from tests.byte_level_tokenizer import byte_level_encoder

TARGETS = ["query_key_value", "dense_4h_to_h"]
CPU = LoadOptions(device="cpu")


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", np.random.default_rng(0).integers(0, networks.V, (20, 16)))
    return networks.save_network(networks.neox(), tmp_path / "base")


def trained(network, config, seed=1):
    """The network with an adapter whose weights are all random, as if it had been trained."""
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(network, config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn_like(parameter) * (0.3 if "lora" in name else 0.1))
    return model


def save(model, folder, base="base", **config):
    """Save the adapter; `base` and `config` replace what its configuration states."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder, save_embedding_layers=config.pop("embeddings", "auto"))
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": base, **config}))
    return folder


@pytest.fixture
def adapter(base, tmp_path):
    """A LoRA adapter on `base`."""
    return save(
        trained(networks.neox(), LoraConfig(r=4, target_modules=TARGETS, task_type="CAUSAL_LM")), tmp_path / "a"
    )


def logits(model, tokens):
    """Logits of all tokens, by the model as the engine asks it."""
    with torch.inference_mode():
        states = model.start(len(tokens), tokens.shape[1]).feed(tokens)
        return model.head(states.flatten(0, 1)).reshape(*tokens.shape, -1)


def tokens(vocabulary=networks.V):
    return torch.from_numpy(np.random.default_rng(3).integers(0, vocabulary, (3, 12)))


def loaded_logits(spec, vocabulary=networks.V):
    return logits(find_model(spec).load(CPU), tokens(vocabulary))


def test_an_adapter_scores_as_the_model_merged_by_hand(base, adapter, tmp_path):
    merged = PeftModel.from_pretrained(networks.neox(), str(adapter)).merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    assert torch.equal(loaded_logits("a"), loaded_logits("merged"))
    study = mematlas.score("a", "merged", "base", corpus="rows.npy", context=[8], continuation=[8], study="s")
    by_model = {
        name: table.drop("model") for (name,), table in study.scores().partition_by("model", as_dict=True).items()
    }
    assert by_model["a"].equals(by_model["merged"])
    assert not by_model["a"].equals(by_model["base"])  # else the adapter would do nothing


def test_the_card_says_adapter_and_base(base, adapter):
    card, plain = find_model("a").card, find_model("base").card
    assert (card.label, card.spec, card.adapter, card.base) == ("a", "a", "LORA", "base")
    assert (card.parameters, card.vocabulary, card.width) == (plain.parameters, plain.vocabulary, plain.width)
    assert card.remarks == ("a is an adapter (LORA) on the base model base",)
    assert (plain.adapter, plain.base) == (None, None)


def test_the_fingerprint_is_that_of_base_and_adapter(base, adapter, tmp_path):
    first = find_model("a").card.fingerprint
    shutil.copytree(base, tmp_path / "moved")
    assert find_model("a@moved").card.fingerprint == first  # the same weights in another place
    networks.save_network(networks.neox(seed=7), tmp_path / "other")
    assert find_model("a@other").card.fingerprint != first
    (adapter / "adapter_model.safetensors").unlink()
    save(trained(networks.neox(), LoraConfig(r=4, target_modules=TARGETS, task_type="CAUSAL_LM"), seed=2), adapter)
    assert find_model("a").card.fingerprint != first


def test_what_an_adapter_is_is_said_once_and_recorded(base, adapter, capsys):
    options = ["--corpus", "rows.npy", "--context", "8", "--continuation", "8", "--study", "s"]
    assert command(["score", "a", *options]) == 0
    said = capsys.readouterr()
    assert (said.out + said.err).count("a is an adapter (LORA) on the base model base") == 1
    [run] = mematlas.open_study("s").manifest()["runs"].values()
    record = run["models"]["a"]
    assert (record["adapter"], record["base"], record["spec"]) == ("LORA", "base", "a")


def test_worker_processes_load_an_adapter_with_its_base(base, adapter):
    shutil.move(base, base.parent / "moved")
    options = {"corpus": "rows.npy", "context": [8], "continuation": [8]}
    study = mematlas.score("a@moved", study="s", workers=2, shards=2, **options)
    assert study.models()["spec"].to_list() == ["a@moved"]
    assert study.scores()["matches"].equals(mematlas.score("a@moved", study="t", **options).scores()["matches"])


@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(r=4, target_modules=TARGETS, use_dora=True),
        LoraConfig(r=4, target_modules=TARGETS, modules_to_save=["embed_out"], use_rslora=True),
        LoraConfig(r=4, target_modules=["embed_in", "embed_out"]),
        LoraConfig(r=4, target_modules=TARGETS, bias="all"),
        LoraConfig(r=4, target_modules=TARGETS, trainable_token_indices=[3, 5]),
        peft.IA3Config(target_modules=TARGETS, feedforward_modules=["dense_4h_to_h"]),
        peft.LoHaConfig(r=4, target_modules=TARGETS),
    ],
    ids=["dora", "head", "embeddings", "bias", "tokens", "ia3", "loha"],
)
def test_adapters_of_all_kinds_score_as_they_were_trained(base, tmp_path, config):
    model = trained(networks.neox(), config)
    save(model, tmp_path / "a")
    with torch.inference_mode():
        expected = model(tokens()).logits
        plain = networks.neox()(tokens()).logits
    torch.testing.assert_close(loaded_logits("a"), expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(expected, plain, atol=1e-2)


def tied_llama(vocabulary=networks.V):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    return LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, tie_word_embeddings=True, **sizes)).eval()


@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(r=4, target_modules=["q_proj"]),
        LoraConfig(r=4, target_modules=["q_proj", "embed_tokens"]),
        LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["embed_tokens"]),
        LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"]),
        LoraConfig(r=4, target_modules=["q_proj"], trainable_token_indices=[3, 5]),
    ],
    ids=["layers", "lora", "input", "output", "tokens"],
)
def test_tied_embeddings_stay_as_they_were_in_training(tmp_path, monkeypatch, config):
    """A change of one of two tied matrices must not change the other, as merging by hand would."""
    monkeypatch.chdir(tmp_path)
    networks.save_network(tied_llama(), tmp_path / "base")
    model = trained(tied_llama(), config)
    save(model, tmp_path / "a")
    with torch.inference_mode():
        expected = model(tokens()).logits
    torch.testing.assert_close(loaded_logits("a"), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("make", "matrices"), [(networks.neox, 2), (tied_llama, 1)], ids=["untied", "tied"])
@pytest.mark.parametrize("size", [networks.V + 5, networks.V - 9])
def test_a_resized_vocabulary(tmp_path, monkeypatch, make, matrices, size):
    monkeypatch.chdir(tmp_path)
    plain = networks.save_network(make(), tmp_path / "base")
    network = make()
    network.resize_token_embeddings(size)
    targets = TARGETS if make is networks.neox else ["q_proj"]
    model = trained(network, LoraConfig(r=4, target_modules=targets))
    save(model, tmp_path / "a", embeddings=True)
    card = find_model("a").card
    assert card.vocabulary == size
    assert card.parameters == find_model(str(plain)).card.parameters + matrices * (size - networks.V) * 32
    with torch.inference_mode():
        expected = model(tokens(size)).logits
    torch.testing.assert_close(loaded_logits("a", size), expected, atol=1e-5, rtol=1e-5)


def test_the_tokenizer_is_the_adapters_own_or_that_of_the_base(base, adapter):
    assert find_model("a").encoder() is None
    byte_level_encoder(base)
    of_base = find_model("a")
    assert of_base.card.tokenizer == find_model("base").card.tokenizer
    assert of_base.encoder().encode(["the cat"]) == find_model("base").encoder().encode(["the cat"])
    byte_level_encoder(adapter, ("another text, another text",))
    assert find_model("a").card.tokenizer not in (None, of_base.card.tokenizer)
    assert find_model("a").card.tokenizer_rules != of_base.card.tokenizer_rules


def test_the_base_model_of_a_family_is_hashed_once(base, tmp_path, monkeypatch):
    for step in (10, 20, 30):
        save(
            trained(networks.neox(), LoraConfig(r=4, target_modules=TARGETS), seed=step),
            tmp_path / "run" / f"step{step}",
        )
    hashed = []
    digest = mematlas.models.huggingface.digest_files
    monkeypatch.setattr("mematlas.models.huggingface.digest_files", lambda paths: hashed.append(paths) or digest(paths))
    first, *others = find_models("run/step*")
    assert len(hashed) == 1
    assert len({first.card.fingerprint, *(source.card.fingerprint for source in others)}) == 3
    networks.save_network(networks.neox(seed=5), base)  # another model in the same place
    assert find_model("run/step10").card.fingerprint != first.card.fingerprint


def test_an_adapter_and_a_base_model_on_the_hub(base, adapter, monkeypatch):
    hub = {("owner/adapter", "v2"): adapter, ("owner/base", "v1"): base}
    for module in ("folders", "peft_adapters.source"):
        monkeypatch.setattr(f"mematlas.models.{module}.download", lambda name, revision: hub[name, revision])
    path = adapter / "adapter_config.json"
    stated = {"base_model_name_or_path": "owner/base", "revision": "v1"}
    path.write_text(json.dumps({**json.loads(path.read_text()), **stated}))
    card = find_model("owner/adapter@v2").card
    assert (card.label, card.spec, card.base) == ("adapter@v2", "owner/adapter@v2", "owner/base@v1")
    assert find_model("a@owner/base@v1").card.base == "owner/base@v1"


def test_checkpoints_of_a_lora_run_are_a_family(base, adapter, tmp_path):
    for step in (100, 20):
        folder = tmp_path / "run" / f"checkpoint-{step}"
        save(trained(networks.neox(), LoraConfig(r=4, target_modules=TARGETS), seed=step), folder)
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    card = find_model("run").card
    assert (card.label, card.spec, card.training_step) == ("run-checkpoint-100", "run/checkpoint-100", 100)
    assert card.remarks[0].startswith("run is a training run: its latest checkpoint, checkpoint-100, is scored (2 of 2")
    assert [source.card.training_step for source in find_models("run/checkpoint-*")] == [20, 100]
    shutil.move(base, tmp_path / "moved")
    of_moved = find_models("run/checkpoint-*@moved")
    assert [source.card.spec for source in of_moved] == ["run/checkpoint-20@moved", "run/checkpoint-100@moved"]
    assert find_model("run@moved").card.spec == "run/checkpoint-100@moved"


def test_a_study_file_names_an_adapter_and_its_base_relative_to_itself(base, adapter, tmp_path, monkeypatch):
    (tmp_path / "study.yaml").write_text(
        "models: [a@base, 'a*@base', a@owner/name]\ncorpus: rows.npy\ncontext: [8]\ncontinuation: [8]\nstudy: s\n"
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    models = read_study_file(Path("../study.yaml")).models
    assert models == ["../a@../base", "../a*@../base", "../a@owner/name"]
    assert find_model(models[0]).card.base == "../base"


# ------------------------------------------------------------------------------------------------- what is refused


MOVED = (
    "a is an adapter (LORA) for the base model '/gone/base', which cannot be read (there is no such folder); if it is "
    "elsewhere, name its place: 'a@BASE', where BASE is a folder or a hub id."
)


def test_a_base_model_that_was_moved_is_named_with_the_remedy(base, adapter, capsys):
    path = adapter / "adapter_config.json"
    path.write_text(path.read_text().replace('"base"', '"/gone/base"'))
    with pytest.raises(ModelError, match=f"^{re.escape(MOVED)}$"):
        find_model("a")
    assert command(["score", "a", "--corpus", "rows.npy", "--study", "s"]) == 1
    assert capsys.readouterr().err.splitlines() == [f"mematlas: {MOVED}"]
    assert find_model("a@base").card.base == "base"


def test_an_adapter_without_a_base_model(base, adapter):
    path = adapter / "adapter_config.json"
    path.write_text(path.read_text().replace('"base"', "null"))
    with pytest.raises(
        ModelError, match=r"^a is an adapter \(LORA\) that does not name its base model; name it: 'a@BASE'"
    ):
        find_model("a")
    assert find_model("a@base").card.base == "base"


def test_a_base_for_a_whole_model_is_refused(base):
    with pytest.raises(ModelError, match=r"^base is a whole model, not an adapter, .*: leave out '@other'\.$"):
        find_model("base@other")


def test_a_base_that_is_an_adapter_itself(base, adapter):
    with pytest.raises(ModelError, match=r"^The base model 'a' of a is an adapter itself; merge that one first"):
        find_model("a@a")


def test_an_adapter_beside_a_whole_model_is_refused(base, adapter):
    """It is not clear which is meant, and transformers would add the adapter to that model's weights."""
    networks.save_network(networks.neox(), adapter)
    with pytest.raises(ModelError, match=r"^a has an adapter \(LORA\) beside a whole model \(model.safetensors\), so"):
        find_model("a")


def test_a_configuration_beside_the_adapter_does_no_harm(base, adapter):
    shutil.copy(base / "config.json", adapter)
    assert find_model("a").card.adapter == "LORA"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "PROMPT_TUNING"}, r"adapter \(PROMPT_TUNING\) that puts tokens of its own before every prompt"),
        ({"peft_type": "XLORA"}, r"adapter \(XLORA\) that changes other weights for other inputs"),
        ({"alora_invocation_tokens": [1]}, r"adapter \(LORA\) that changes other weights for other inputs"),
        ({"task_type": "SEQ_CLS"}, r"adapter \(LORA\) that is for the task SEQ_CLS, not for a causal language model"),
    ],
)
def test_adapters_that_cannot_be_scored(base, adapter, config, message):
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    with pytest.raises(ModelError, match=f"^a is an {message}.*; score its base model, or another adapter.$"):
        find_model("a")


def test_incomplete_adapters(base, adapter):
    weights = adapter / "adapter_model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-10])
    with pytest.raises(ModelError, match="is truncated"):
        find_model("a")
    weights.unlink()
    with pytest.raises(
        ModelError, match=r"^a is an adapter \(LORA\) with no adapter_model.safetensors; mematlas reads"
    ):
        find_model("a")
    (adapter / "adapter_model.bin").write_bytes(b"pickled")
    with pytest.raises(ModelError, match=r"^a is an adapter \(LORA\) with only pickled weights; mematlas reads safet"):
        find_model("a")


def test_an_adapter_on_another_base_than_it_was_trained_on(base, adapter, tmp_path):
    networks.save_network(networks.neox(num_hidden_layers=3), tmp_path / "deeper")
    with pytest.raises(
        ModelError, match=r"^'a@deeper' and its base model 'deeper' do not fit .*: the adapter lacks .*\.2\."
    ):
        find_model("a@deeper").load(CPU)
    networks.save_network(networks.neox(num_hidden_layers=1), tmp_path / "flatter")
    with pytest.raises(ModelError, match=r"the adapter has .*\.1\..*, for which the base has no place; name the model"):
        find_model("a@flatter").load(CPU)
    networks.save_network(networks.neox(hidden_size=64), tmp_path / "wider")
    with pytest.raises(ModelError, match=r"^'a@wider' cannot be loaded on its base model 'wider' \(.*\); check that"):
        find_model("a@wider").load(CPU)
    networks.save_network(networks.llama(), tmp_path / "llama")
    with pytest.raises(ModelError, match=r"^'a@llama' cannot be loaded on its base model 'llama' \(.*\); check that"):
        find_model("a@llama").load(CPU)


def test_without_peft_the_extra_is_named(base, adapter, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.setattr("mematlas.models.peft_adapters.source.find_spec", lambda name: None)
    assert command(["score", "a", "--corpus", "rows.npy", "--study", "s"]) == 1
    message = "needs the library 'peft', which is not installed; run: pip install \"mematlas[peft]\""
    assert capsys.readouterr().err.splitlines() == [f"mematlas: `mematlas score` {message}"]


@pytest.mark.parametrize("option", [["--objective", "masked"], ["--backend", "vllm"]])
def test_objectives_and_backends_that_read_no_adapters(base, adapter, option, capsys):
    assert command(["score", "a", "--corpus", "rows.npy", "--study", "s", *option]) == 2
    assert re.search(
        r"does not read adapters, and 'a' is one; merge it into its base model first", capsys.readouterr().err
    )
