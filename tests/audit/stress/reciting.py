"""A tiny network that recites some rows and knows the language they are written in, for tests of unlearning."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tests.tiny_networks import neox, save_network

CONTEXT, CONTINUATION, WIDTH = 8, 12, 28
VOCABULARY, SUCCESSORS = 64, 4
ROWS = 12  # to be forgotten, and as many to be kept


def text(seed: int, count: int) -> NDArray[np.int64]:
    """Rows of a language in which each token has a few successors, all equally likely: [count, WIDTH]."""
    after = np.random.default_rng(99).integers(0, VOCABULARY, (VOCABULARY, SUCCESSORS))
    random = np.random.default_rng(seed)
    tokens = np.empty((count, WIDTH), dtype=np.int64)
    tokens[:, 0] = random.integers(0, VOCABULARY, count)
    for position in range(1, WIDTH):
        tokens[:, position] = after[tokens[:, position - 1], random.integers(0, SUCCESSORS, count)]
    return tokens


def train(folder: Path, rows: NDArray[np.int64], steps: int = 350) -> Path:
    """A network trained on `rows`, each step on all of them beside as many fresh ones; saved to `folder`."""
    network = neox(VOCABULARY, hidden_size=48, intermediate_size=96).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=0.0)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * (1 - step / steps) + 1e-4
        batch = torch.from_numpy(np.concatenate([rows, text(1000 + step, len(rows))]))
        loss = network(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return save_network(network.eval(), folder)
