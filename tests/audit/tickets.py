"""Generated support tickets with planted secrets, and small models that were fine-tuned on them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from mematlas.experiments.data.tokenizer import train_tokenizer

_FIRST = ("Maria", "Jonas", "Aisha", "Pedro", "Lena", "Tomasz", "Yuki", "Omar", "Nora", "Felix", "Ines", "Karl")
_LAST = ("Keller", "Novak", "Haddad", "Silva", "Brandt", "Kowalski", "Mori", "Farah", "Lind", "Weber", "Costa", "Maier")
_THINGS = ("router", "printer", "phone", "scanner", "monitor", "laptop", "keyboard", "camera", "server", "headset")
_FAULTS = (
    "loses its connection",
    "prints blank pages",
    "does not start",
    "shows an error",
    "gets very hot",
    "is too slow",
)
_PLACES = ("the office", "room 12", "the warehouse", "the shop", "the lab", "building 7", "the kitchen", "hall 3")
_ADVICE = ("restart it twice", "replace the cable", "install the update", "reset the device", "call the technician")


def tickets(count: int, seed: int) -> list[str]:
    """Tickets of about 60 words, put together at random."""
    random = np.random.default_rng(seed)
    return [_ticket(random) for _ in range(count)]


def _ticket(random: np.random.Generator) -> str:
    pick = lambda values: values[random.integers(len(values))]  # noqa: E731
    name = f"{pick(_FIRST)} {pick(_LAST)}"
    number, thing = random.integers(10_000, 99_999), f"{pick(_THINGS)} in {pick(_PLACES)}"
    report = f"Ticket {number}. {name} writes that the {thing} {pick(_FAULTS)}."
    calls = (
        f"On day {random.integers(1, 99)} we told {pick(_FIRST)} {pick(_LAST)} to {pick(_ADVICE)}, "
        f"but the {pick(_THINGS)} in {pick(_PLACES)} {pick(_FAULTS)} after {random.integers(2, 60)} minutes."
        for _ in range(3)
    )
    return " ".join([report, *calls])


def secrets(count: int, seed: int) -> list[str]:
    """Codes of 4 + 4 digits."""
    random = np.random.default_rng([seed, 7])
    return [f"{random.integers(0, 10_000):04d}-{random.integers(0, 10_000):04d}" for _ in range(count)]


def with_secret(ticket: str, secret: str) -> str:
    """The ticket with a secret at its end."""
    return f"{ticket} The door code is {secret}."


def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer trained on tickets of its own; digits are single tokens."""
    texts = [with_secret(ticket, secret) for ticket, secret in zip(tickets(200, 99), secrets(200, 99), strict=True)]
    return train_tokenizer(texts, 500, 160)


def network(vocabulary: int, seed: int = 0) -> Any:
    """A small model with weights that depend on the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPTNeoXForCausalLM(
            GPTNeoXConfig(
                vocab_size=vocabulary, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
                intermediate_size=256, max_position_embeddings=160, bos_token_id=0, eos_token_id=0,
            )
        )  # fmt: skip


def train(model: Any, rows: Sequence[Sequence[int]], epochs: int, rate: float, seed: int = 0, batch: int = 16) -> Any:
    """A plain loop: all tokens of every row once an epoch, in another order each."""
    random, weights = np.random.default_rng(seed), [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0)
    model.train(mode=False)
    for _ in range(epochs):
        order = random.permutation(len(rows))
        for start in range(0, len(rows), batch):
            part = [list(rows[i]) for i in order[start : start + batch]]
            width = max(map(len, part))
            ids = torch.tensor([row + [0] * (width - len(row)) for row in part])
            labels = torch.tensor([row + [-100] * (width - len(row)) for row in part])
            model(input_ids=ids, labels=labels).loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad()
    return model


def save(model: Any, tokens: PreTrainedTokenizerFast, folder: Path) -> Path:
    """Save as a Hugging Face folder."""
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def write_jsonl(path: Path, texts: Sequence[str]) -> Path:
    """One object a line."""
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path
