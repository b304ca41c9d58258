"""Single prompts, against transformers' own forward pass and generation."""

import numpy as np
import pytest
import torch

from mematlas.models.causal import CausalModel
from mematlas.scoring.engines.prompting import greedy_continuations, score_continuations
from tests.audit import tickets

VOCABULARY = 80


@pytest.fixture(scope="module")
def network():
    return tickets.network(VOCABULARY, seed=3).eval()


@pytest.fixture(scope="module")
def model(network):
    return CausalModel(network, VOCABULARY, torch.device("cpu"))


@torch.inference_mode()
def by_hand(network, prompt, continuation):
    logits = network(input_ids=torch.tensor([[*prompt, *continuation]])).logits[0].double().log_softmax(-1)
    at = range(len(prompt) - 1, len(prompt) + len(continuation) - 1)
    total = sum(float(logits[i, token]) for i, token in zip(at, continuation, strict=True))
    return total, all(int(logits[i].argmax()) == token for i, token in zip(at, continuation, strict=True))


def test_continuations_of_all_lengths_are_scored_as_by_one_pass_each(network, model):
    random = np.random.default_rng(0)
    prompt = random.integers(0, VOCABULARY, 9)
    continuations = [random.integers(0, VOCABULARY, length) for length in (3, 1, 5, 3, 1, 12)]
    greedy = greedy_continuations(model, [prompt], 5)[0]
    scores = score_continuations(model, prompt, [*continuations, greedy])
    for i, continuation in enumerate([*continuations, greedy]):
        total, is_greedy = by_hand(network, prompt.tolist(), continuation.tolist())
        assert scores.log_probability[i] == pytest.approx(total, abs=1e-4)
        assert bool(scores.is_greedy[i]) == is_greedy
    assert scores.is_greedy.tolist() == [False] * 6 + [True]


def test_greedy_continuations_are_those_of_generate(network, model):
    random = np.random.default_rng(1)
    prompts = [random.integers(1, VOCABULARY, length) for length in (4, 7, 4, 2)]
    written = greedy_continuations(model, prompts, 10)
    for prompt, ids in zip(prompts, written, strict=True):
        expected = network.generate(
            torch.from_numpy(prompt)[None], max_new_tokens=10, do_sample=False, eos_token_id=None, pad_token_id=0
        )
        assert ids.tolist() == expected[0, len(prompt) :].tolist()


def test_a_stop_token_ends_the_text(model):
    prompt = np.array([5, 6, 7])
    whole = greedy_continuations(model, [prompt], 10)[0]
    stop = int(whole[3])
    first = whole.tolist().index(stop)
    assert greedy_continuations(model, [prompt], 10, stop=[stop])[0].tolist() == whole[:first].tolist()
