"""A network fed in steps, forked and rewound gives the same logits as one forward pass."""

import numpy as np
import pytest
import torch
import transformers
from generate_oracle import oracle

from mematlas.models.base import LoadOptions
from mematlas.models.causal import CachedSession, RecomputingSession, load_causal
from mematlas.scoring.options import ScoringOptions
from tests import tiny_networks as networks

SIZES = {
    "vocab_size": 211,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
MAMBA = {"vocab_size": 211, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4, "eos_token_id": 0}
NETS = {
    "GPTNeoX": {**SIZES},
    "Gemma2": {**SIZES, "head_dim": 8, "sliding_window": 8, "final_logit_softcapping": 0.5},
    "Gemma3": {**SIZES, "head_dim": 8, "sliding_window": 8},
    "Mistral": {**SIZES, "sliding_window": 8},
    "Cohere": {**SIZES, "logit_scale": 0.25},
    "Granite": {**SIZES, "logits_scaling": 8.0},
    "Mamba": {**MAMBA, "bos_token_id": 0, "pad_token_id": 0},
}


@pytest.fixture(scope="module", params=NETS)
def net(request):
    torch.manual_seed(0)
    kind = {"Gemma3": "Gemma3Text"}.get(request.param, request.param)
    config = getattr(transformers, f"{kind}Config")(**NETS[request.param])
    config._attn_implementation = "eager" if request.param == "Gemma2" else None
    network = getattr(transformers, f"{request.param}ForCausalLM")(config).eval()
    with torch.inference_mode():
        # larger weights than at the start of training: decisions differ from token to token
        for name, weight in network.named_parameters():
            if weight.dim() == 2 and "A_log" not in name:
                weight.mul_(4)
    return request.param, network, networks.causal_model(network)


def logits(model, states):
    return model.head(states.reshape(-1, states.shape[-1])).view(*states.shape[:2], -1)


def sample(rows=5, width=30):
    return torch.from_numpy(np.random.default_rng(2).integers(0, 211, (rows, width)))


@torch.inference_mode()
def test_one_feed_gives_the_networks_own_logits(net):
    name, network, model = net
    tokens = sample()
    states = model.start(5, 30).feed(tokens)
    whole = network(input_ids=tokens, use_cache=False).logits
    assert torch.allclose(logits(model, states), whole, atol=1e-5)
    assert float(whole.abs().max()) > 0.05
    assert name != "Gemma2" or float(whole.abs().max()) <= 0.5


@torch.inference_mode()
def test_feeding_in_pieces_forking_and_rewinding_equal_one_whole_forward(net):
    name, network, model = net
    tokens, other = sample(), sample(5, 30).flip(1)
    session = model.start(5, 30)
    assert isinstance(session, RecomputingSession if name == "Mamba" else CachedSession)
    pieces = [session.feed(tokens[:, :13]), session.feed(tokens[:, 13:14]), session.feed(tokens[:, 14:22])]
    whole = network(input_ids=tokens[:, :22], use_cache=False).logits
    assert torch.allclose(logits(model, torch.cat(pieces, dim=1)), whole, atol=1e-4)

    rows = torch.tensor([4, 1, 1])
    fork = session.fork(rows, 11)
    mixed = torch.cat([tokens[rows, :11], other[rows, 11:20]], dim=1)
    expected = network(input_ids=mixed, use_cache=False).logits[:, 11:]
    assert torch.allclose(logits(model, fork.feed(mixed[:, 11:])), expected, atol=1e-4)

    session.rewind(17)
    mixed = torch.cat([tokens[:, :17], other[:, 17:25]], dim=1)
    expected = network(input_ids=mixed, use_cache=False).logits[:, -3:]
    assert torch.allclose(logits(model, session.feed(mixed[:, 17:], 3)), expected, atol=1e-4)


@torch.inference_mode()
def test_the_kept_layer_equals_that_of_transformers_however_it_is_fed(net):
    _, network, model = net
    tokens, rows = sample(), torch.tensor([4, 1, 1])
    whole = network(input_ids=tokens, use_cache=False, output_hidden_states=True).hidden_states
    assert model.layers == len(whole) - 1
    for layer in (*range(len(whole) - 1), model.layers):
        model.keep(layer)
        session = model.start(5, 30)
        for start, stop in ((0, 13), (13, 14), (14, 22)):
            session.feed(tokens[:, start:stop])
            assert torch.allclose(session.kept, whole[layer][:, start:stop], atol=1e-4)
        states = session.feed(tokens[:, 22:30], 3)
        assert torch.allclose(session.kept, whole[layer][:, 27:30], atol=1e-4)
        assert torch.allclose(states, whole[-1][:, 27:30], atol=1e-4)
        fork = session.fork(rows, 11)
        fork.feed(tokens[rows, 11:20], 4)
        assert torch.allclose(fork.kept, whole[layer][rows, 16:20], atol=1e-4)
        assert layer == model.layers or not torch.allclose(session.kept, whole[layer + 1][:, 27:30], atol=1e-2)


@pytest.mark.parametrize("depth", ["graded", "verbatim"])
def test_scores_equal_generate_beyond_any_window(net, depth):
    _, network, model = net
    shape = networks.grid([6, 12], [4, 14])
    rows = networks.partly_recited_rows(network, shape, 30)
    truth = oracle(network, rows, shape.contexts, shape.continuations)
    records = networks.score_cells(model, rows, ScoringOptions(shape, depth, batch=7))
    assert (truth[12, 14][0] == 14).sum() >= 3
    wrong = []
    for (row, context, length), record in records.items():
        matches, verbatim = (int(values[row]) for values in truth[context, length])
        expected = (matches if depth == "graded" or verbatim == length else None, verbatim)
        if (record["matches"], record["verbatim"]) != expected:
            wrong.append(((row, context, length), record["margin"]))
    assert wrong == []


@pytest.mark.parametrize("head", ["cpu", "disk"])
def test_a_partly_offloaded_network_gives_the_same_scores(tmp_path, head):
    """With a device map of accelerate, layers on disk are loaded one by one while they run."""
    network = networks.neox()
    folder = str(networks.save_network(network, tmp_path / "tiny"))
    devices = {"embed_in": "disk", "emb_dropout": "cpu", "rotary_emb": "cpu", "final_layer_norm": "cpu"}
    devices |= {"layers.0": "cpu", "layers.1": "disk"}
    device_map = {f"gpt_neox.{name}": device for name, device in devices.items()} | {"lm_head": head}
    options = LoadOptions(device="cpu", device_map=device_map)
    model = load_causal(folder, networks.card(), options, offload_folder=str(tmp_path / "disk"))
    assert model.network.get_input_embeddings().weight.device.type == "meta"
    assert model.device.type == "cpu"
    shape = networks.grid([4, 9], [3, 8])
    rows = networks.partly_recited_rows(network, shape, 12)
    for depth in ("graded", "verbatim"):
        options = ScoringOptions(shape, depth, ("free",), batch=5)
        expected, records = (
            networks.score_cells(each, rows, options) for each in (networks.causal_model(network), model)
        )
        assert records == expected
