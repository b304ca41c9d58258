"""Trainings that take seconds: 32 random texts, which a small network learns by heart, and 32 others as control."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainingArguments

from tests import tiny_networks as networks

RANDOM = np.random.default_rng(11)
TRAIN, HELD_OUT = RANDOM.integers(0, 490, (2, 32, 40))
_TIMES = ("_runtime", "_per_second")
GRID = {"context": 16, "continuation": 16}


def dataset(rows: np.ndarray) -> list[dict[str, list[int]]]:
    """Rows as a trainer takes them."""
    return [{"input_ids": row.tolist(), "labels": row.tolist()} for row in rows]


def dropout_network() -> torch.nn.Module:
    """A GPT-NeoX with dropout, so that every random number that is drawn changes the training."""
    return networks.neox(hidden_size=64, hidden_dropout=0.1, attention_dropout=0.1).train()


def trainer(folder: Path, network: torch.nn.Module | None = None, **options: Any) -> Trainer:
    """A trainer of transformers over TRAIN, 4 steps an epoch."""
    arguments: dict[str, Any] = {
        "num_train_epochs": 2,
        "per_device_train_batch_size": 8,
        "learning_rate": 5e-3,
        "lr_scheduler_type": "constant",
        "save_strategy": "no",
        "eval_strategy": "epoch",
        "logging_steps": 2,
        "use_cpu": True,
        "disable_tqdm": True,
        "report_to": "none",
        "seed": 4,
    }
    return Trainer(
        model=dropout_network() if network is None else network,
        args=TrainingArguments(str(folder), **(arguments | options)),
        train_dataset=dataset(TRAIN),
        eval_dataset=dataset(HELD_OUT),
    )


def weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def equal_weights(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


def measurements(history: list[dict[str, Any]], prefix: str = "memorization") -> list[dict[str, Any]]:
    """The records of a trainer's log history that have measurements."""
    return [record for record in history if f"{prefix}/recited" in record]


def other_logs(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All other records, without times."""
    records = [record for record in history if "memorization/recited" not in record]
    return [{name: value for name, value in record.items() if not name.endswith(_TIMES)} for record in records]
