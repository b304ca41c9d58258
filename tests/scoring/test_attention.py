"""The entropy of attention to a prompt against its formula, and where there is none."""

import numpy as np
import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from mematlas.models.causal import CausalModel
from mematlas.scoring.engines.attention import attention_entropy

PROMPT, OUTPUT = np.array([5, 3, 8, 1, 9]), np.array([2, 7, 4])


@pytest.fixture
def network():
    torch.manual_seed(0)
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=16, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
            max_position_embeddings=32,
        )
    ).eval()  # fmt: skip


def entropy(network, prompt=PROMPT, output=OUTPUT):
    return attention_entropy(CausalModel(network, 16, torch.device("cpu")), prompt, output)


def test_equals_the_formula_and_leaves_the_model_as_it_was(network):
    before = network.config._attn_implementation
    value = entropy(network)
    assert network.config._attn_implementation == before != "eager"
    network.set_attn_implementation("eager")
    tokens = torch.tensor([[*PROMPT, *OUTPUT]])
    weights = network(tokens, output_attentions=True).attentions[-1][0].detach()
    a = np.array([float(weights[:, 4:7, j].mean()) for j in range(5)])
    a = a / a.sum()
    assert value == pytest.approx(-(a * np.log(a)).sum() / np.log(5), abs=1e-6)
    assert 0 < value < 1


def test_equal_attention_is_1(network):
    with torch.no_grad():
        network.gpt_neox.layers[-1].attention.query_key_value.weight.zero_()
        network.gpt_neox.layers[-1].attention.query_key_value.bias.zero_()
    assert entropy(network) == pytest.approx(1.0, abs=1e-6)


def test_attention_to_one_token_is_0():
    class OneToken:
        """Stands in for a network whose every step looks at the third token."""

        config = type("Config", (), {"_attn_implementation": "eager"})()

        def set_attn_implementation(self, name):
            assert name == "eager"

        def __call__(self, input_ids, **_):
            weights = torch.zeros(1, 2, input_ids.shape[1], input_ids.shape[1])
            weights[..., 2] = 1.0
            return type("Output", (), {"attentions": (weights,)})()

    model = type("Model", (), {"network": OneToken(), "device": torch.device("cpu")})()
    assert attention_entropy(model, PROMPT, OUTPUT) == 0.0


@pytest.mark.parametrize(("prompt", "output"), [(PROMPT[:1], OUTPUT), (PROMPT, OUTPUT[:0])])
def test_nothing_to_spread_over_is_none(network, prompt, output):
    assert entropy(network, prompt, output) is None


def test_a_model_without_a_network_is_none():
    assert attention_entropy(object(), PROMPT, OUTPUT) is None
