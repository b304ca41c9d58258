"""V against a greedy loop that decodes every prompt, on a network that has learnt a sequence half by heart."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from mematlas.errors import OptionError
from mematlas.experiments import Size
from mematlas.experiments.training.network import neox_config
from mematlas.experiments.training.recital import Recital, measure_recital, recite
from mematlas.experiments.training.recital_text import recite_text, text_length

LENGTH, VOCABULARY = 20, 60
RECITAL = Recital(LENGTH, prompts=(4, 8), cap=8)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    """Knows the middle of the first sequence, all of the second, and nothing of the third."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = AutoModelForCausalLM.from_config(neox_config(Size(32, 1, 2, 1e-2), VOCABULARY, LENGTH)).eval()
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
        known = torch.from_numpy(sequences())[:2]
        for step in range(60):
            tokens = known[1:, step % 8 : step % 8 + 12] if step % 2 else known[:1, 5:13]
            network(input_ids=tokens, labels=tokens).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    return network


def sequences() -> np.ndarray:
    return np.random.default_rng(0).integers(1, VOCABULARY, (3, LENGTH))


@torch.inference_mode()
def greedy_length(network, sequence: np.ndarray, recital: Recital) -> int:
    """The definition, decoded prompt by prompt."""
    longest = 0
    for prompt in recital.prompts:
        for start in range(len(sequence) - prompt - recital.cap + 1):
            read = torch.from_numpy(sequence[None, start : start + prompt])
            run = 0
            for true in sequence[start + prompt : start + prompt + recital.cap]:
                token = network(input_ids=read).logits[0, -1].argmax()
                if token != true:
                    break
                run += 1
                read = torch.cat([read, token.view(1, 1)], dim=1)
            longest = max(longest, run)
    return longest


def test_v_is_what_a_greedy_loop_finds(network):
    found = measure_recital(network, sequences(), RECITAL, CPU)["V"].tolist()
    assert found == [greedy_length(network, sequence, RECITAL) for sequence in sequences()]
    assert found[1] == 8 > found[0] > found[2], "the cap, a piece, nothing: otherwise the test says little"


def test_tokens_beyond_the_length_are_not_part_of_the_sequence(network):
    longer = np.concatenate([sequences(), np.ones((3, 4), dtype=np.int64)], axis=1)
    found = measure_recital(network, longer, RECITAL, CPU)
    assert found["V"].tolist() == measure_recital(network, sequences(), RECITAL, CPU)["V"].tolist()
    assert found["cap"].tolist() == [8.0] * 3


def test_a_sequence_of_k_and_cap_tokens_has_one_prompt():
    assert Recital(12, prompts=(4,), cap=8).cells == ((0, 4),)
    assert Recital(13, prompts=(4, 8), cap=8).cells == ((0, 4), (1, 4)), "the prompt of 8 has no place"
    assert len(Recital(128).cells) == sum(128 - k - 64 + 1 for k in (8, 16, 32, 64))
    with pytest.raises(OptionError, match=r"Sequences of 11 tokens have no place for a prompt of 4 and 8 more"):
        Recital(11, prompts=(4,), cap=8)


class Session:
    """Rows whose states are the tokens themselves."""

    kept = torch.zeros(1)

    def feed(self, tokens, last=None):
        return tokens[:, -(last or tokens.shape[1]) :, None].float()

    def fork(self, rows, length):
        return Session()

    def rewind(self, length):
        pass


class Counting:
    """A model that goes on with the next number, and with 0 after the last one."""

    vocabulary, layers, dtype, device = 40, 1, torch.float32, CPU

    def __init__(self, last: int) -> None:
        self.last = last

    def start(self, rows, capacity):
        return Session()

    def keep(self, layer):
        pass

    def release(self):
        pass

    def head(self, states):
        return torch.nn.functional.one_hot((states[:, 0].long() + 1) % (self.last + 1), self.vocabulary).float()


def test_only_an_answer_that_stands_in_its_prompt_is_copied():
    counting, cycle = np.arange(20), np.arange(20) % 4
    found = recite(Counting(39), counting[None], Recital(20, prompts=(12,), cap=8))
    assert (found["V"].item(), found["copied"].item()) == (8.0, 0.0)
    found = recite(Counting(3), np.array([cycle, counting]), Recital(20, prompts=(12,), cap=8))
    assert found["V"].tolist() == [8.0, 0.0]
    assert found["copied"].tolist() == [1.0, 0.0]
    found = recite(Counting(3), cycle[None], Recital(20, prompts=(4, 12), cap=8))
    assert found["copied"].item() == 0.0, "a prompt of 4 reaches the cap and does not hold the answer"


class Words:
    """A tokenizer of which every token is a word, followed by a comma if it is odd."""

    def decode(self, ids):
        return " ".join(f"w{token}," if token % 2 else f"w{token}" for token in ids)

    def __call__(self, text, add_special_tokens):
        return {"input_ids": text.split()}


def test_the_length_on_text_is_that_of_the_papers_code():
    counting = np.arange(20)
    recital = Recital(20, prompts=(4, 8), cap=8)
    assert recite_text(Counting(39), counting[None], recital, Words()).tolist() == [8.0]
    assert recite_text(Counting(13), counting[None], recital, Words()).tolist() == [8.0], "from an early start"
    one = Recital(20, prompts=(11,), cap=8)
    assert recite_text(Counting(13), counting[None], one, Words()).tolist() == [3.0], "11, 12, 13, then others"
    assert recite(Counting(13), counting[None], one)["V"].tolist() == [3.0]
    assert recite_text(Counting(39), counting[None], Recital(20, prompts=(12,), cap=8), Words()).tolist() == [0.0], (
        "the last start, here the only one, is left out"
    )


def test_the_length_on_text_ignores_marks_has_a_floor_and_drops_copies():
    assert text_length("a b", "w1! w2", "w1, w2", Words()) == 2
    assert text_length("a b", "other words", "w1, w2", Words()) == 1, "never below 1: a property of the paper's code"
    long = "w1 w2 w3 w4 w5 w6 w7"
    assert text_length("a b", long, long, Words()) == 7
    assert text_length(f"a {long} b", long, long, Words()) == 0, "it stands in the prompt"
    assert text_length("a w1 w2 b", "w1 w2", "w1 w2", Words()) == 2, "short answers are not dropped"
