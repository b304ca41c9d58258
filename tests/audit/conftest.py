"""A small model fine-tuned on tickets in which secrets are planted 1, 4 and 16 times, its base, and their files."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tests.audit import tickets

COPIES = (1, 4, 16)


@dataclass(frozen=True)
class Ground:
    """codes: planted secrets, the i-th in COPIES[i % 3] copies; absent: secrets of the same format that are nowhere."""

    base: Path
    tuned: Path
    lora: Path
    train: Path
    control: Path
    secrets: Path
    codes: list[str]
    absent: list[str]
    texts: list[str]


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    folder = tmp_path_factory.mktemp("audit")
    tokens, threads = tickets.tokenizer(), torch.get_num_threads()
    torch.set_num_threads(1)
    others = [tickets.with_secret(*pair) for pair in zip(tickets.tickets(160, 1), tickets.secrets(160, 1), strict=True)]
    network = tickets.train(tickets.network(len(tokens)), tokens(others)["input_ids"], 5, 4e-3)
    base = tickets.save(network, tokens, folder / "base")
    mine, codes = tickets.tickets(60, 2), tickets.secrets(18, 2)
    planted = [tickets.with_secret(*pair) for pair in zip(mine[:18], codes, strict=True)]
    texts = [text for i, text in enumerate(planted) for _ in range(COPIES[i % 3])] + mine[18:]
    rows = tokens(texts)["input_ids"]
    lora = _lora(base, rows, folder / "lora", tokens)
    tuned = tickets.save(tickets.train(network, rows, 20, 2e-3), tokens, folder / "tuned")
    torch.set_num_threads(threads)
    absent = tickets.secrets(50, 5)
    secrets = folder / "codes.txt"
    secrets.write_text("\n".join([*codes, *absent]), encoding="utf-8")
    train = tickets.write_jsonl(folder / "train.jsonl", texts)
    unseen = tickets.tickets(50, 3)
    unseen[:15] = [tickets.with_secret(*pair) for pair in zip(unseen[:15], tickets.secrets(15, 3), strict=True)]
    control = tickets.write_jsonl(folder / "control.jsonl", unseen)
    return Ground(base, tuned, lora, train, control, secrets, codes, absent, texts)


def _lora(base: Path, rows: list[list[int]], folder: Path, tokens: object) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = LoraConfig(r=32, lora_alpha=64, target_modules="all-linear", lora_dropout=0.0, task_type="CAUSAL_LM")
        network = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    tickets.train(network, rows, 20, 1e-2)
    network.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder
