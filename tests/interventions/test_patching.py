"""States put in place of others: against transformers' own pass, on planted networks, and where nothing may change."""

import importlib.util
from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import MambaConfig, MambaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from mematlas.errors import ModelError
from mematlas.interventions.blocks import PatchableModel, block_outputs, patchable
from mematlas.interventions.patching import dependency, patched_argmax
from tests.tiny_networks import V, causal_model, gpt2, llama, neox

CONTEXT, CONTINUATION = 8, 5


def qwen2() -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "intermediate_size": 64, "max_position_embeddings": 128}
    return Qwen2ForCausalLM(Qwen2Config(vocab_size=V, num_attention_heads=4, num_key_value_heads=2, **sizes)).eval()


def scaled(network):
    """A random network whose states decide, and not the last token alone, as in trained ones."""
    for parameter in network.parameters():
        parameter.data *= 3
    return network


NETWORKS = {"neox": neox, "llama": llama, "gpt2": gpt2, "qwen2": qwen2}


@pytest.fixture(scope="module", params=NETWORKS)
def model(request) -> PatchableModel:
    network = NETWORKS[request.param]()
    return patchable(causal_model(scaled(network)), request.param)


@pytest.fixture(scope="module")
def row(model) -> torch.Tensor:
    """A row whose last tokens are the model's own: all of them are recited, except one."""
    tokens = torch.randint(0, V, (CONTEXT,), generator=torch.Generator().manual_seed(1))
    for _ in range(CONTINUATION):
        answer = model.model.network(input_ids=tokens[None]).logits[0, -1].argmax()
        tokens = torch.cat([tokens, answer[None]])
    tokens[-2] = (tokens[-2] + 1) % V
    return tokens


@pytest.fixture(scope="module")
def sources() -> torch.Tensor:
    return torch.randint(0, V, (3, CONTEXT), generator=torch.Generator().manual_seed(2))


def logits_by_hook(model: PatchableModel, tokens, layer, position, value) -> torch.Tensor:
    """What transformers' own forward pass gives with one hook that writes one state."""

    def write(_module, _inputs, output):
        state = output[0] if isinstance(output, tuple) else output
        state[:, position] = value

    handle = model.blocks[layer - 1].register_forward_hook(write)
    try:
        return model.model.network(input_ids=tokens[None]).logits[0]
    finally:
        handle.remove()


def logits_of(model: PatchableModel, tokens) -> torch.Tensor:
    return model.model.network(input_ids=tokens[None]).logits[0]


def naive(model: PatchableModel, row, sources) -> torch.Tensor:
    """`dependency` one patch at a time, by transformers' own pass."""
    values = block_outputs(model, sources)
    truth = row[CONTEXT:]
    recited = logits_of(model, row[:-1])[CONTEXT - 1 :].argmax(-1) == truth
    changed = torch.zeros((model.layers, CONTEXT, CONTINUATION), dtype=torch.int64)
    for layer in range(model.layers):
        for position in range(CONTEXT):
            for source in range(len(sources)):
                logits = logits_by_hook(model, row[:-1], layer + 1, position, values[layer, source, position])
                changed[layer, position] += (logits[CONTEXT - 1 :].argmax(-1) == truth) != recited
    return changed


@torch.inference_mode()
def test_the_outputs_are_those_of_transformers(model, row):
    found = block_outputs(model, row[None])
    expected = model.model.network(input_ids=row[None], output_hidden_states=True).hidden_states
    assert model.layers == model.model.layers == len(found)
    for layer in range(1, model.layers):  # the last of `hidden_states` is normalised
        assert torch.equal(found[layer - 1], expected[layer])


@torch.inference_mode()
def test_it_agrees_with_one_patch_at_a_time(model, row, sources):
    found = dependency(model, row, CONTEXT, block_outputs(model, sources))
    assert torch.equal(found.changed, naive(model, row, sources))
    assert found.changed.sum() > 0
    assert found.patches == len(sources)
    assert (found.predicted == row[CONTEXT:]).tolist() == [True] * 3 + [False, found.predicted[-1] == row[-1]]


@torch.inference_mode()
def test_passes_that_begin_behind_the_patch_end_in_the_same_bits(model, row, sources):
    assert model.restarts
    whole = replace(model, restarts=False)
    values = block_outputs(model, sources)
    assert torch.equal(dependency(model, row, CONTEXT, values).changed, dependency(whole, row, CONTEXT, values).changed)


@torch.inference_mode()
def test_a_state_put_in_its_own_place_changes_nothing(model, row):
    own = block_outputs(model, row[None])
    for layer in range(1, model.layers + 1):
        for position in (0, CONTEXT // 2, len(row) - 1):
            patched = logits_by_hook(model, row, layer, position, own[layer - 1, 0, position].clone())
            assert torch.equal(patched, logits_of(model, row))
    found = dependency(model, row, CONTEXT, own[:, :, :CONTEXT])
    assert not found.changed.any()


@torch.inference_mode()
def test_the_last_block_changes_the_prediction_at_its_position_alone(model, row, sources):
    found = dependency(model, row, CONTEXT, block_outputs(model, sources)).changed
    assert not found[-1, :-1].any()  # positions before the last of the context
    assert not found[-1, -1, 1:].any()  # predictions made at later positions
    assert found[-1, -1, 0] > 0
    assert found[0].sum() > found[-1].sum()  # the first block reaches later positions


@torch.inference_mode()
def test_a_patch_reaches_no_earlier_position(model, row, sources):
    values = block_outputs(model, sources)
    logits = logits_by_hook(model, row, 1, 5, values[0, 0, 5])
    assert torch.equal(logits[:5], logits_of(model, row)[:5])
    assert not torch.equal(logits[6:], logits_of(model, row)[6:])


@torch.inference_mode()
@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_batch_size_changes_nothing(model, row, sources, batch):
    values = block_outputs(model, sources)
    counted = []
    found = dependency(model, row, CONTEXT, values, batch, counted.append)
    assert torch.equal(found.changed, dependency(model, row, CONTEXT, values).changed)
    assert sum(counted) == model.layers * CONTEXT * len(sources)


@torch.inference_mode()
def test_patches_of_one_call_do_not_meet(model, row, sources):
    values = block_outputs(model, sources)[0, :, 3]
    together = patched_argmax(model, row, 1, torch.full((len(sources),), 3), values, len(row))
    for source, answers in enumerate(together):
        assert torch.equal(answers, logits_by_hook(model, row, 1, 3, values[source]).argmax(-1))


def changes(model) -> list:
    """The hooks of each block, and the forward pass that it has of its own."""
    return [(list(block._forward_hooks), block.__dict__.get("forward")) for block in model.blocks]


@torch.inference_mode()
def test_the_network_is_left_as_it_was(model, row, sources):
    before, hooks = logits_of(model, row), changes(model)
    dependency(model, row, CONTEXT, block_outputs(model, sources))
    dependency(replace(model, restarts=False), row, CONTEXT, block_outputs(model, sources))
    assert torch.equal(logits_of(model, row), before)
    assert changes(model) == hooks


# ----------------------------------------------------------------------------------------------------- planted networks


class LooksBack(nn.Module):
    """A block that adds to every state that of one position, if it is not a later one."""

    def __init__(self, position: int | None) -> None:
        super().__init__()
        self.position = position

    def forward(self, hidden_states, *_args, **_kwargs):
        if self.position is None or self.position >= hidden_states.shape[1]:
            return hidden_states
        mixed = hidden_states.clone()
        mixed[:, self.position + 1 :] = hidden_states[:, [self.position]]
        return mixed


@torch.inference_mode()
@pytest.mark.parametrize("position", [0, 4, 7])
def test_only_the_planted_position_is_found(position):
    """Block 2 overwrites all later states by that of one position: before it this one decides, behind it each alone."""
    network = neox(num_hidden_layers=3)
    network.gpt_neox.layers = nn.ModuleList([LooksBack(None), LooksBack(position), LooksBack(None)])
    model = patchable(causal_model(network), "planted")
    row = torch.randint(0, V, (CONTEXT + CONTINUATION,), generator=torch.Generator().manual_seed(3))
    row[CONTEXT:] = network(input_ids=row[None]).logits[0, -1].argmax()  # all later predictions are the same
    sources = torch.randint(0, V, (8, CONTEXT), generator=torch.Generator().manual_seed(4))
    found = dependency(model, row, CONTEXT, block_outputs(model, sources))
    assert torch.equal(found.predicted, row[CONTEXT:])
    assert found.changed[0, position].min() >= 6  # another token's state predicts the same one by chance alone
    elsewhere = torch.ones(CONTEXT, dtype=torch.bool)
    elsewhere[position] = False
    assert not found.changed[0, elsewhere].any()
    assert not found.changed[1:, :-1].any()


# ------------------------------------------------------------------------------------------------------------- refusals


def test_a_recurrent_model_is_refused():
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4}
    network = MambaForCausalLM(MambaConfig(vocab_size=V, **sizes)).eval()
    with pytest.raises(ModelError, match=r"^mamba carries a recurrent state from token to token, so that .*; name a "):
        patchable(causal_model(network), "mamba")


def test_a_model_without_equal_blocks_is_refused():
    class Other(LooksBack):
        pass

    network = neox()
    network.gpt_neox.layers = nn.ModuleList([LooksBack(None), Other(None)])
    with pytest.raises(ModelError, match=r"^odd has no list of equal blocks that all tokens pass one after another; "):
        patchable(causal_model(network), "odd")


def test_a_stand_in_is_refused():
    with pytest.raises(ModelError, match=r"^uniform:9 has no hidden states to replace: .*; name one that is\.$"):
        patchable(object(), "uniform:9")


@torch.inference_mode()
def test_states_that_are_not_numbers_are_refused():
    network = neox()
    model = patchable(causal_model(network), "m")
    network.gpt_neox.final_layer_norm.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="NaN or infinite"):
        dependency(model, torch.arange(8), 4, block_outputs(model, torch.arange(4)[None]))


@torch.inference_mode()
def test_a_network_that_cannot_restart_is_run_whole():
    """A block that also hands its successor something on the side."""

    handed = []

    class Handing(LooksBack):
        def forward(self, hidden_states, *_args, **_kwargs):
            if self.position is None:
                handed.append(hidden_states)
                return hidden_states
            return hidden_states * handed.pop()

    network = neox()
    network.gpt_neox.layers = nn.ModuleList([Handing(None), Handing(0)])
    assert not patchable(causal_model(network), "handing").restarts


@pytest.mark.skipif(importlib.util.find_spec("nnsight") is None, reason="nnsight is not installed")
def test_it_agrees_with_nnsight():
    from nnsight import NNsight

    network = scaled(neox())
    model = patchable(causal_model(network), "neox")
    row, sources = torch.arange(CONTEXT + CONTINUATION) * 31 % V, torch.arange(3 * CONTEXT).view(3, -1) * 17 % V
    values = block_outputs(model, sources)
    other, unchanged = NNsight(network), logits_of(model, row[:-1]).argmax(-1)
    for layer, position, source in ((1, 2, 0), (2, 7, 2), (1, 7, 1)):
        value = values[layer - 1, source, position]
        with other.trace(input_ids=row[None, :-1]):
            other.gpt_neox.layers[layer - 1].output[0, position] = value
            saved = other.lm_head.output.save()
        found = patched_argmax(model, row[:-1], layer, torch.tensor([position]), value[None], len(row) - 1)[0]
        assert torch.equal(found, saved[0].argmax(-1))
        assert not torch.equal(found, unchanged)
