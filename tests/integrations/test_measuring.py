"""`measure` gives numbers that are known beforehand, agrees with `mematlas score`, and leaves no trace in the model."""

import copy
import random

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from generate_oracle import greedy_text
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

import mematlas
from mematlas.errors import CorpusError, ModelError, OptionError
from mematlas.models.loaded import LoadedModel, undisturbed
from tests import tiny_networks as networks

WIDTH = 24


def recited_rows(network, count: int = 10) -> np.ndarray:
    """Rows [count, 24] of 12 random tokens and the network's own greedy text."""
    prompts = torch.from_numpy(np.random.default_rng(5).integers(0, networks.V, (count, 12)))
    return torch.cat([prompts, greedy_text(network, prompts, 12, count)], 1).numpy()


@pytest.mark.parametrize("make", [networks.neox, networks.llama, networks.gpt2])
def test_recited_rows_and_rows_with_one_wrong_token(make):
    """Three of ten rows have another 6th token in the continuation: 5 are recited before it, and 11 of 12 are right."""
    network = make()
    rows = recited_rows(network)
    rows[:3, 12 + 5] = (rows[:3, 12 + 5] + 1) % networks.V
    measured = mematlas.measure(network, rows, context=12, continuation=12)
    assert measured == pytest.approx(
        {"recited": 0.7, "verbatim_length": (7 * 12 + 3 * 5) / 10, "match": (7 * 12 + 3 * 11) / 120}
    )


def test_control_rows_are_subtracted():
    """All rows are recited, and two of eight control rows."""
    network = networks.neox()
    rows = recited_rows(network)
    control = np.concatenate([rows[:2], np.random.default_rng(1).integers(0, networks.V, (6, WIDTH))])
    measured = mematlas.measure(network, rows, control=control, context=12, continuation=12)
    assert measured["recited"] == 1
    assert measured["control_recited"] == 0.25
    assert measured["excess"] == 0.75
    assert 3 <= measured["control_length"] < 3.5  # 2 * 12 / 8, and what random rows have by chance


def test_random_rows_are_not_recited():
    rows = np.random.default_rng(0).integers(0, networks.V, (40, WIDTH))
    measured = mematlas.measure(networks.neox(), rows, control=rows, context=12, continuation=12)
    assert measured["recited"] == measured["excess"] == 0
    assert measured["match"] < 0.05


def test_the_numbers_are_those_of_mematlas_score(tmp_path):
    network = networks.neox()
    rows = networks.partly_recited_rows(network, networks.grid([12], [12]))
    np.save(tmp_path / "rows.npy", rows)
    folder = networks.save_network(network, tmp_path / "model")
    study = mematlas.score(folder, corpus=tmp_path / "rows.npy", study=tmp_path / "s", context=12, continuation=12)
    scores = study.scores()
    measured = mematlas.measure(network, rows, context=12, continuation=12, batch=7)
    assert 0.1 < measured["recited"] < 0.9
    assert measured == pytest.approx(
        {
            "recited": (scores["verbatim"] == 12).mean(),
            "verbatim_length": scores["verbatim"].mean(),
            "match": scores["matches"].mean() / 12,
        }
    )


def test_max_rows_draws_the_same_rows_every_time():
    network = networks.neox()
    rows = networks.partly_recited_rows(network, networks.grid([12], [12]))
    options = {"context": 12, "continuation": 12, "max_rows": 30}
    once, twice = (mematlas.measure(network, rows, **options) for _ in range(2))
    assert once == twice != mematlas.measure(network, rows, context=12, continuation=12)


@pytest.mark.parametrize("whole", [None, ["lm_head"]])
def test_lora_is_measured_with_its_changes(whole):
    """It recites the greedy text of the network with the adapter merged into it, and not of the network without."""
    network = networks.neox()
    without = recited_rows(network)
    torch.manual_seed(1)
    config = LoraConfig(target_modules=["query_key_value"], modules_to_save=whole, init_lora_weights=False)
    adapted = get_peft_model(network, config).eval()
    if whole:
        with torch.no_grad():
            network.lm_head.modules_to_save["default"].weight.mul_(-1)
    options = {"context": 12, "continuation": 12}
    assert mematlas.measure(adapted, without, **options)["recited"] == 0
    merged = recited_rows(copy.deepcopy(adapted).merge_and_unload())
    assert mematlas.measure(adapted, merged, **options)["recited"] == 1
    with adapted.disable_adapter():
        assert mematlas.measure(adapted, without, **options)["recited"] == 1


def test_wrapped_networks_are_unwrapped():
    network = networks.neox()
    rows, options = recited_rows(network), {"context": 12, "continuation": 12}
    for wrapped in (torch.nn.DataParallel(network), torch.compile(network)):
        assert mematlas.measure(wrapped, rows, **options)["recited"] == 1


# -------------------------------------------------------------------------------------------------------- no trace


def test_modes_weights_and_random_states_stay():
    rows = recited_rows(networks.neox())
    network = networks.neox(hidden_dropout=0.5, attention_dropout=0.5).train()
    network.gpt_neox.layers[0].eval()  # frozen by its owner
    modes = [module.training for module in network.modules()]
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()
    measured = [mematlas.measure(network, rows, context=12, continuation=12) for _ in "ab"]
    assert measured[0] == measured[1]  # dropout is off
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert all(np.array_equal(now, then) for now, then in zip(np.random.get_state(), before[2], strict=True))
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def test_mixed_precision_is_taken_off_for_the_measurement_alone():
    """A trainer with bf16=True replaces `forward`; float32 weights are measured in float32."""
    AcceleratorState._reset_state(reset_partial_state=True)  # of trainers before
    network = networks.neox()
    row = torch.arange(24)[None]
    with torch.inference_mode():
        exact = network(row).logits
        Accelerator(mixed_precision="bf16", cpu=True).prepare_model(network)
        rounded = network(row).logits
        with undisturbed(network):
            assert torch.equal(network(row).logits, exact)
        assert torch.equal(network(row).logits, rounded)
    assert not torch.equal(rounded, exact)
    AcceleratorState._reset_state(reset_partial_state=True)


def test_all_is_restored_after_an_error():
    network = networks.neox().train()
    state = torch.get_rng_state()

    def fail() -> None:
        with undisturbed(network):
            torch.rand(3)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert network.training
    assert torch.equal(torch.get_rng_state(), state)


def test_a_network_that_was_measured_can_be_trained_on():
    network = networks.neox().train()
    rows = torch.from_numpy(recited_rows(networks.neox()))
    mematlas.measure(network, rows, context=12, continuation=12)
    network(input_ids=rows, labels=rows).loss.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("measured_between", [False, True])
def test_dynamic_frequencies_go_on_from_where_they_were(measured_between):
    """A text of 40 tokens is read with the frequencies of the 60 before it, unless a shorter one came between."""
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    config = LlamaConfig(**networks.llama().config.to_dict() | {"max_position_embeddings": 32, "rope_parameters": rope})
    torch.manual_seed(0)
    network = LlamaForCausalLM(config).train()
    tokens = torch.arange(60)[None]
    with torch.no_grad():
        network(tokens)
        expected = network(tokens[:, :40]).logits
        network(tokens[:, :8])  # the negative control: this resets the frequencies
        assert not torch.equal(network(tokens[:, :40]).logits, expected)
        network(tokens)
        if measured_between:
            mematlas.measure(network, np.zeros((2, 16), int), context=8, continuation=8)
        assert torch.equal(network(tokens[:, :40]).logits, expected)


def test_the_fingerprint_tells_steps_apart():
    network = networks.neox()
    before, again = LoadedModel(network).card.fingerprint, LoadedModel(network).card.fingerprint
    with torch.no_grad():
        network.gpt_neox.layers[1].mlp.dense_4h_to_h.bias += 1e-3
    assert before == again != LoadedModel(network).card.fingerprint


# ---------------------------------------------------------------------------------------------------------- errors


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_rows_of_too_few_tokens():
    with pytest.raises(CorpusError) as error:
        mematlas.measure(networks.neox(), np.zeros((3, 40), int))
    assert one_line(error) == (
        "rows has 3 rows of at most 40 tokens, but context and continuation need 64; choose a shorter context or "
        "continuation, or longer rows."
    )
    with pytest.raises(CorpusError, match="control has 3 rows of at most 40 tokens"):
        mematlas.measure(networks.neox(), np.zeros((3, 64), int), control=np.zeros((3, 40), int))


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ("train.jsonl", "is text; give rows of token ids"),
        (["a text", "another"], "holds texts; give rows of token ids"),
        ([], "has no row"),
        ({"text": ["a"]}, "has no input_ids .its keys are text."),
        ([{"text": "a"}], "has no input_ids .a row has text."),
        (iter([[1, 2]]), "has no length"),
        (np.zeros((2, 64)), "lists of token ids"),
        (np.zeros((2, 3, 64), int), "lists of token ids"),
        (np.full((2, 64), networks.V), "contains the token id 499 at position 0, outside the vocabulary"),
    ],
)
def test_rows_that_are_none(rows, text):
    with pytest.raises((OptionError, CorpusError), match=text) as error:
        mematlas.measure(networks.neox(), rows)
    one_line(error)


def test_models_that_cannot_be_asked():
    from transformers import AutoModel, AutoModelForMaskedLM, BertConfig

    rows = np.zeros((2, 64), int)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    encoder = AutoModelForMaskedLM.from_config(BertConfig(vocab_size=networks.V, **sizes))
    prompted = get_peft_model(networks.neox(), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    for model, text in (
        (encoder, "predicts each token from later ones too"),
        (AutoModel.from_config(encoder.config), "predicts no tokens"),
        (torch.nn.Linear(2, 2), "is no model of transformers"),
        (prompted, "PROMPT_TUNING puts tokens of its own before every prompt"),
        (networks.neox().to("meta"), "spread over processes"),
    ):
        with pytest.raises(ModelError, match=text) as error:
            mematlas.measure(model, rows)
        one_line(error)
    with pytest.raises(ModelError, match="was built for 128 tokens"):
        mematlas.measure(networks.neox(), np.zeros((2, 200), int), context=100, continuation=100)


@pytest.mark.parametrize("options", [{"context": 0}, {"continuation": 1.5}, {"batch": True}, {"max_rows": 0}])
def test_numbers_that_are_none(options):
    with pytest.raises(OptionError, match="must be a positive whole number"):
        mematlas.measure(networks.neox(), np.zeros((2, 64), int), **options)
    with pytest.raises(OptionError, match="Did you mean 'context'"):
        mematlas.measure(networks.neox(), np.zeros((2, 64), int), contex=3)
