"""Networks that read later tokens are refused by what they compute, whatever their name; causal ones never are."""

import copy

import numpy as np
import pytest
import torch
import transformers

import mematlas
from mematlas.cli import run as command
from mematlas.errors import ModelError
from mematlas.models.causality import check_causal, share_before
from tests import tiny_networks as networks

V = 211
IDS = {"vocab_size": V, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
PLAIN = {**IDS, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES = {**PLAIN, "num_key_value_heads": 2, "max_position_embeddings": 128}
WINDOWS = {**SIZES, "head_dim": 8, "sliding_window": 4}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_d_state": 8, "mamba_chunk_size": 4}
GPT = {**IDS, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
LATENT = {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8}
YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10_000.0, "original_max_position_embeddings": 32}
#: Those of the outside check (26 architectures), and others with convolutions, recurrences or experts.
CAUSAL = {
    "GPT2": GPT,
    "GPTJ": {**GPT, "rotary_dim": 4},
    "GPTNeoX": {**PLAIN, "max_position_embeddings": 128},
    "GPTNeo": {
        **IDS,
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
    },
    "OPT": {**IDS, "hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
    "Bloom": {**IDS, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    "Falcon": PLAIN,
    "Mistral": WINDOWS,
    "Gemma2": WINDOWS,
    "Gemma3": WINDOWS,
    "Qwen2": SIZES,
    "Qwen3Moe": {**SIZES, **EXPERTS, "num_experts": 4, "head_dim": 8},
    "Mixtral": {**SIZES, "num_local_experts": 4, "num_experts_per_tok": 2},
    "Olmo2": SIZES,
    "Olmo3": {**SIZES, "sliding_window": 4},
    "Phi3": SIZES,
    "Mamba": {**IDS, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
    "Mamba2": {**IDS, "hidden_size": 32, "num_hidden_layers": 2, "num_heads": 8, "head_dim": 8, "state_size": 8}
    | {"n_groups": 1, "chunk_size": 4},
    "Rwkv": {**IDS, "hidden_size": 32, "attention_hidden_size": 32, "num_hidden_layers": 2, "context_length": 128},
    "Jamba": {**SIZES, "num_experts": 4, "mamba_d_state": 4, "mamba_dt_rank": 4, "use_mamba_kernels": False}
    | {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1},
    "Bamba": {**SIZES, **MAMBA, "attn_layer_indices": [1]},
    "GraniteMoeHybrid": {**SIZES, **MAMBA, "layer_types": ["mamba", "attention"], "num_local_experts": 4}
    | {"num_experts_per_tok": 2, "shared_intermediate_size": 32},
    "Lfm2": {**SIZES, "layer_types": ["conv", "full_attention"]},
    "DeepseekV3": {**SIZES, **LATENT, **EXPERTS, "n_routed_experts": 4, "n_group": 1, "topk_group": 1}
    | {"first_k_dense_replace": 1, "num_key_value_heads": 4},
    "Cohere": SIZES,
    "Granite": SIZES,
    "GptOss": {**WINDOWS, "num_local_experts": 4, "num_experts_per_tok": 2},
    "XGLM": {**IDS, "d_model": 32, "ffn_dim": 64, "num_layers": 2, "attention_heads": 4},
    "Bart": {**IDS, "d_model": 32, "decoder_ffn_dim": 64, "decoder_layers": 2, "decoder_attention_heads": 4},
    "Llama": {**SIZES, "rope_parameters": YARN},
}
ENCODERS = {
    "Bert": {**PLAIN, "max_position_embeddings": 128},
    "Roberta": {**PLAIN, "max_position_embeddings": 128},
    "Electra": {**PLAIN, "embedding_size": 16},
    "XLNet": {**IDS, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64},
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def build(name, sizes, strength=1.0):
    """The tiny network called `name` with random weights, the matrices of which are multiplied by `strength`."""
    torch.manual_seed(0)
    config = getattr(transformers, {"Gemma3": "Gemma3Text"}.get(name, name) + "Config")(**sizes)
    network = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.inference_mode():
        for weight in network.parameters():
            if weight.dim() == 2:
                weight.mul_(strength)
    return network


def check_network(network):
    check_causal(network, V, torch.device("cpu"), "tiny")


@pytest.mark.parametrize("name", CAUSAL)
def test_no_causal_network_is_refused(name):
    for strength in (1.0, 4.0):
        network = build(name, CAUSAL[name], strength)
        for dtype in ("float32", "bfloat16"):
            check_network(copy.deepcopy(network).to(DTYPES[dtype]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_are_refused(name, dtype):
    for strength in (1.0, 4.0):
        with pytest.raises(ModelError, match=r"^'tiny' predicts each token from later ones too .* give a causal"):
            check_network(build(name, ENCODERS[name], strength).to(DTYPES[dtype]))


@pytest.mark.parametrize("name", ["Bert", "Roberta"])
def test_the_same_encoder_as_a_decoder_is_causal(name):
    check_network(build(name, {**ENCODERS[name], "is_decoder": True}))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layers", [1, 2])
def test_a_causal_network_made_bidirectional_is_refused(monkeypatch, dtype, layers):
    network = build("Llama", {**SIZES, "num_hidden_layers": layers}).to(DTYPES[dtype])
    check_network(network)
    monkeypatch.setattr(
        "transformers.models.llama.modeling_llama.create_causal_mask",
        lambda inputs_embeds, **_: torch.zeros((1, 1, *[inputs_embeds.shape[1]] * 2), dtype=inputs_embeds.dtype),
    )
    with pytest.raises(ModelError, match="later ones too"):
        check_network(network)


class Fixed(torch.nn.Module):
    """A network whose logits `logits_of(tokens)` are computed by a function."""

    def __init__(self, logits_of):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.logits_of = logits_of

    def forward(self, input_ids, use_cache):
        return transformers.modeling_outputs.CausalLMOutput(logits=self.logits_of(input_ids))


def one_hot(tokens):
    return torch.nn.functional.one_hot(tokens, V).float()


def test_a_network_without_memory_and_one_that_draws_random_numbers_are_not_refused():
    check_network(Fixed(one_hot))  # only the token itself counts: nothing changes before or after
    check_network(Fixed(lambda tokens: torch.rand((*tokens.shape, V))))
    check_network(Fixed(lambda tokens: torch.full((*tokens.shape, V), torch.nan)))


def test_a_network_that_sees_only_the_next_token_is_refused():
    with pytest.raises(ModelError, match="later ones too"):
        check_network(Fixed(lambda tokens: one_hot(tokens.roll(-1, dims=1))))


def test_one_text_alone_refuses_nothing():
    """A near tie between experts, which rounding decides for one text, is no sign of bidirectional attention."""
    first_text = torch.arange(12) * 7919 % V

    def logits_of(tokens):
        logits = one_hot(tokens).cumsum(1)
        is_first = len(tokens) == 2 and torch.equal(tokens[0], first_text)
        return logits + torch.arange(len(tokens))[:, None, None] * float(is_first)

    check_network(Fixed(logits_of))


def test_the_share_is_that_of_changes_before_the_changed_token():
    assert share_before(torch.tensor([1.0, 1.0, 9.0, 2.0])) == pytest.approx(0.5)
    assert share_before(torch.tensor([0.0, 0.0, 9.0, 2.0])) == 0
    assert share_before(torch.zeros(12)) == 0


@pytest.mark.parametrize("name", ["Bert", "Roberta"])
def test_scoring_an_encoder_is_one_line(tmp_path, capsys, name):
    networks.save_network(build(name, ENCODERS[name]), tmp_path / "encoder")
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).integers(0, V, (20, 16)))
    study = str(tmp_path / "s")
    arguments = ["--corpus", str(tmp_path / "rows.npy"), "--context", "8", "--continuation", "8", "--study", study]
    assert command(["score", str(tmp_path / "encoder"), *arguments]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == (
        f"mematlas: '{tmp_path / 'encoder'}' predicts each token from later ones too (its attention is bidirectional, "
        "as in BERT), so it cannot be asked to recite a text; give a causal language model, or score a masked one with "
        "--objective masked."
    )
    assert not any("Traceback" in line for line in lines)
    assert mematlas.open_study(study).done(mematlas.open_study(study).run(), "encoder") == 0
