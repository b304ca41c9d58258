"""Noise, missing heads and the logit lens: against transformers' own pass, and where nothing may change."""

import numpy as np
import pytest
import torch
from transformers import MambaConfig, MambaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from mematlas.errors import ModelError
from mematlas.interventions.blocks import forward_hooks, patchable
from mematlas.interventions.heads import AttentionHeads, ablated, attention_heads
from mematlas.interventions.lens import final_norm, logit_lens
from mematlas.interventions.noise import NoisyModel, add_noise, row_digests, standard_normal
from mematlas.models.base import LoadOptions, ModelCard
from mematlas.models.resolve import find_model
from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Grid, TokenRows
from tests.tiny_networks import V, causal_model, gpt2, llama, neox, save_network

ROWS, LENGTH, CONTEXT = 12, 24, 10


def qwen2() -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "intermediate_size": 64, "max_position_embeddings": 128}
    return Qwen2ForCausalLM(Qwen2Config(vocab_size=V, num_attention_heads=4, num_key_value_heads=2, **sizes)).eval()


NETWORKS = {"neox": neox, "llama": llama, "gpt2": gpt2, "qwen2": qwen2}


@pytest.fixture(scope="module", params=NETWORKS)
def model(request):
    network = NETWORKS[request.param]()
    for parameter in network.parameters():
        parameter.data *= 3  # so that states decide, and not the last token alone
        if parameter.dim() == 1:  # norms that are not idempotent
            parameter.data += torch.linspace(0, 2, len(parameter))
    return causal_model(network)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(0).integers(0, V, (ROWS, LENGTH))


def score(model, rows: np.ndarray, batch: int = 128) -> dict[str, np.ndarray]:
    """Matches and log-probabilities of every row, by the ordinary engine."""
    options = ScoringOptions(Grid((CONTEXT,), (LENGTH - CONTEXT,)), signals=("truth",), batch=batch)
    engine = Engine(model, ModelCard("m", "m", "", V), options)
    table = TokenRows(rows.astype(np.int64), np.full(len(rows), LENGTH))
    hit, logs = np.empty((len(rows), LENGTH - CONTEXT), bool), np.empty((len(rows), LENGTH - 1))
    for result in engine.score(table, np.arange(len(rows))):
        hit[result.rows], logs[result.rows] = result.hit, result.truth["log_probability"]
    return {"hit": hit, "log_probability": logs}


# --------------------------------------------------------------------------------------------------------------- noise


def test_strength_0_changes_nothing_and_more_noise_changes_more(model, rows):
    found = patchable(model, "it")
    plain, same = score(model, rows), score(NoisyModel(found, 0.0), rows)
    assert np.array_equal(plain["log_probability"], same["log_probability"])
    change = [
        np.abs(score(NoisyModel(found, strength), rows)["log_probability"] - plain["log_probability"]).mean()
        for strength in (0.05, 0.3, 1.0)
    ]
    assert 0 < change[0] < change[1] < change[2]
    assert np.array_equal(score(model, rows)["log_probability"], plain["log_probability"]), "the model stays as it was"


def test_noise_depends_on_row_and_seed_and_not_on_batch_or_order(model, rows):
    noisy = NoisyModel(patchable(model, "it"), 0.3, seed=4)
    whole = score(noisy, rows)
    order = np.random.default_rng(1).permutation(ROWS)
    shuffled = score(noisy, rows[order], batch=5)
    assert np.array_equal(whole["hit"][order], shuffled["hit"])
    np.testing.assert_allclose(whole["log_probability"][order], shuffled["log_probability"], atol=2e-5)
    other = score(NoisyModel(patchable(model, "it"), 0.3, seed=5), rows)
    assert np.abs(other["log_probability"] - whole["log_probability"]).mean() > 1e-3


@torch.inference_mode()
def test_the_noise_is_what_the_formula_says(model, rows):
    """One pass of transformers with the noise written by hand."""
    tokens = torch.from_numpy(rows)
    noisy = NoisyModel(patchable(model, "it"), 0.3, seed=2)

    def write(_module, _inputs, output):
        state = output[0] if isinstance(output, tuple) else output
        state[:] = add_noise(state, row_digests(tokens), 0.3, 2)

    with forward_hooks([(patchable(model, "it").blocks[0], write)]):
        logits = model.network(input_ids=tokens).logits
    session = noisy.start(ROWS, LENGTH)
    states = torch.cat([session.feed(tokens[:, :7]), session.feed(tokens[:, 7:])], dim=1)
    found = model.head(states.flatten(0, 1)).view(ROWS, LENGTH, -1)
    torch.testing.assert_close(found, logits[..., :V], atol=1e-4, rtol=1e-4)
    states = torch.ones((1, 1, 4000))
    added = add_noise(states, torch.tensor([[5]]), 0.5, 0) - states
    assert added.norm() / states.norm() == pytest.approx(0.5, abs=0.02), "strength is relative to the state's norm"


def test_the_numbers_are_standard_normal_and_differ_between_keys():
    numbers = standard_normal(torch.arange(400), 501).double()
    assert numbers.shape == (400, 501)
    flat = numbers.flatten()
    assert abs(flat.mean()) < 5 / len(flat) ** 0.5
    assert flat.var() == pytest.approx(1, abs=0.02)
    assert (flat**4).mean() == pytest.approx(3, abs=0.1)
    assert ((flat.abs() > 1.96).double().mean()) == pytest.approx(0.05, abs=0.003)
    correlations = torch.corrcoef(numbers) - torch.eye(400)
    assert correlations.abs().max() < 6 / 501**0.5
    digests = row_digests(torch.tensor([[1, 2, 3], [2, 1, 3], [1, 2, 4]]))
    assert digests[0, 2] != digests[1, 2], "the order of the tokens counts"
    assert torch.equal(digests[0, :2], digests[2, :2]), "what comes later does not"
    assert digests.unique().numel() == 7


# --------------------------------------------------------------------------------------------------------------- heads


def test_a_head_that_is_not_used_changes_nothing_and_others_do(model, rows):
    heads = attention_heads(patchable(model, "it"), "it")
    assert heads.all == [(layer, head) for layer in range(1, model.layers + 1) for head in range(4)]
    weight = heads.projections[0].weight
    into = weight if type(heads.projections[0]).__name__ == "Conv1D" else weight.T  # [input, output]
    kept = weight.detach().clone()
    with torch.no_grad():
        into[8:16] = 0  # nothing reads head 1 of layer 1
    try:
        plain = score(model, rows)["log_probability"]
        for ablation in ("mean", "zero"):
            with ablated(heads, [(1, 1)], ablation):
                assert np.array_equal(score(model, rows)["log_probability"], plain)
            with ablated(heads, [(1, 2)], ablation):
                assert np.abs(score(model, rows)["log_probability"] - plain).max() > 1e-3
        assert np.array_equal(score(model, rows)["log_probability"], plain), "and afterwards all is as it was"
    finally:
        with torch.no_grad():
            weight.copy_(kept)


def test_slices_of_the_projections_output_are_no_heads(model, rows):
    """The error of zeroing a slice of what the projection gives: head 1 is unused, and yet predictions change."""
    heads = attention_heads(patchable(model, "it"), "it")
    plain = score(model, rows)["log_probability"]

    def zero(_module, _inputs, output):
        output = output.clone()
        output[..., 8:16] = 0
        return output

    with forward_hooks([(heads.projections[0], zero)]):
        wrong = score(model, rows)["log_probability"]
    with ablated(heads, [(1, 1)], "zero"):
        right = score(model, rows)["log_probability"]
    assert np.abs(wrong - right).max() > 1e-3 < np.abs(wrong - plain).max()


@torch.inference_mode()
def test_the_mean_is_that_of_the_other_heads_of_the_layer(model):
    heads = attention_heads(patchable(model, "it"), "it")
    seen = []
    tokens = torch.arange(6)[None]
    with pytest.raises(ValueError, match="no other head to take the mean of"):
        ablated(heads, [(1, head) for head in range(4)], "mean")
    note = [(heads.projections[1], lambda _module, inputs, _output: seen.append(inputs[0].clone()))]
    with forward_hooks(note):
        model.network(input_ids=tokens)
    with ablated(heads, [(2, 0), (2, 3)], "mean"), forward_hooks(note):
        model.network(input_ids=tokens)
    before, after = (inputs.unflatten(-1, (4, -1)) for inputs in seen)
    assert torch.equal(before[..., 1:3, :], after[..., 1:3, :])
    for head in (0, 3):
        torch.testing.assert_close(after[..., head, :], before[..., 1:3, :].mean(-2))


# ---------------------------------------------------------------------------------------------------------------- lens


@torch.inference_mode()
def test_the_lens_at_the_last_layer_is_the_model(model, rows):
    blocks = patchable(model, "it")
    lens = logit_lens(blocks, final_norm(blocks, "it"), rows, CONTEXT)
    assert lens.hit.shape == (model.layers + 1, ROWS, LENGTH - CONTEXT)
    logits = model.network(input_ids=torch.from_numpy(rows[:, :-1])).logits[:, CONTEXT - 1 :, :V].double()
    truth = torch.from_numpy(rows[:, CONTEXT:])
    logs = torch.log_softmax(logits, -1)
    own = logits.gather(-1, truth[..., None])
    np.testing.assert_array_equal(lens.hit[-1], (logits.argmax(-1) == truth).numpy())
    np.testing.assert_array_equal(lens.rank[-1], (logits > own).sum(-1).numpy())
    np.testing.assert_allclose(lens.log_probability[-1], logs.gather(-1, truth[..., None])[..., 0], atol=2e-4)
    np.testing.assert_allclose(lens.entropy[-1], -(logs.exp() * logs).sum(-1), atol=2e-4)


@torch.inference_mode()
def test_the_lens_at_earlier_layers_norms_once(model, rows):
    blocks = patchable(model, "it")
    norm = final_norm(blocks, "it")
    lens = logit_lens(blocks, norm, rows, CONTEXT)
    states = model.network(input_ids=torch.from_numpy(rows[:, :-1]), output_hidden_states=True).hidden_states
    truth = torch.from_numpy(rows[:, CONTEXT:])
    for layer in range(model.layers):  # the last of these is normalised already
        logits = model.network.get_output_embeddings()(norm(states[layer][:, CONTEXT - 1 :]))[..., :V]
        expected = torch.log_softmax(logits.double(), -1).gather(-1, truth[..., None])[..., 0]
        np.testing.assert_allclose(lens.log_probability[layer], expected, atol=2e-4)
    twice = model.network.get_output_embeddings()(norm(states[-1][:, CONTEXT - 1 :]))[..., :V]
    wrong = torch.log_softmax(twice.double(), -1).gather(-1, truth[..., None])[..., 0]
    assert np.abs(wrong.numpy() - lens.log_probability[-1]).max() > 1e-2, "norming twice is not the same"


# ----------------------------------------------------------------------------------------------------------- spellings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_network(neox(), tmp_path_factory.mktemp("models") / "tiny")


def test_a_changed_model_is_spelled_and_loaded_like_any_other(folder, rows):
    base = find_model(str(folder))
    noisy, ablated_model = find_model(f"noise:.3/7@{folder}"), find_model(f"heads:1.0+2.3@{folder}")
    assert noisy.card.label == "tiny~noise-0.3-seed7"
    assert noisy.card.intervention == "noise:0.3/7"
    assert ablated_model.card.label == "tiny~heads-1.0+2.3"
    assert len({source.card.fingerprint for source in (base, noisy, ablated_model)}) == 3
    plain = score(base.load(LoadOptions("cpu")), rows)["log_probability"]
    for name in ("noise:0@", "noise:0.3/7@", "heads:1.0+2.3@", "heads-zero:1.0+1.1+1.2+1.3@"):
        changed = score(find_model(f"{name}{folder}").load(LoadOptions("cpu")), rows)["log_probability"]
        assert np.array_equal(changed, plain) == (name == "noise:0@")
    by_hand = causal_model(neox())
    with ablated(attention_heads(patchable(by_hand, "it"), "it"), [(1, 0), (2, 3)]):
        expected = score(by_hand, rows)["log_probability"]
    found = score(ablated_model.load(LoadOptions("cpu")), rows)["log_probability"]
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("noise:0.1", "noise:0.1 names no strength or no model; write noise:0.1@MODEL"),
        ("noise:-1@{}", "noise:-1 states no strength of 0 or more (and seed); write noise:0.1 or noise:0.1/7."),
        ("noise:nan@{}", "noise:nan states no strength of 0 or more"),
        ("noise:0.1/x@{}", "noise:0.1/x states no strength of 0 or more"),
        ("heads:@{}", "heads:@"),
        ("heads:1@{}", "heads:1 names no heads; write layer, from 1, and head, from 0, as in heads:2.0+2.5."),
        ("heads:1.-2@{}", "heads:1.-2 names no heads"),
    ],
)
def test_a_wrong_spelling_is_explained(folder, spec, message):
    with pytest.raises(ModelError) as error:
        find_model(spec.format(folder))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("heads:3.0@{}", "has no head 3.0: its 2 layers count from 1, and their 4 heads from 0."),
        ("heads:0.0@{}", "has no head 0.0"),
        ("heads:1.4@{}", "has no head 1.4"),
        ("heads:1.0+1.1+1.2+1.3@{}", "leaves no other head in a layer to take the mean of; use heads-zero."),
        ("noise:0.1@uniform:50", "changes hidden states, and uniform:50 has none; name a model of transformers."),
    ],
)
def test_what_a_model_does_not_have_is_said_on_loading(folder, spec, message):
    with pytest.raises(ModelError) as error:
        find_model(spec.format(folder)).load(LoadOptions("cpu"))
    assert message in str(error.value)


@pytest.mark.parametrize("change", ["noise:0.1", "heads:1.0"])
def test_models_without_blocks_of_attention_are_refused(tmp_path, change):
    torch.manual_seed(0)
    network = MambaForCausalLM(MambaConfig(vocab_size=V, hidden_size=32, num_hidden_layers=2)).eval()
    save_network(network, tmp_path / "recurrent")
    with pytest.raises(ModelError, match="recurrent state"):
        find_model(f"{change}@{tmp_path / 'recurrent'}").load(LoadOptions("cpu"))


def test_models_with_blocks_of_attention_have_heads():
    assert isinstance(attention_heads(patchable(causal_model(gpt2()), "it"), "it"), AttentionHeads)
