"""The slow and simple way to score: one call of transformers' `generate` per cell. The engine is checked against it."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

Cells = dict[tuple[int, int], tuple[NDArray[np.int64], NDArray[np.int64]]]


@torch.inference_mode()
def greedy_text(
    network: torch.nn.Module, prompts: torch.Tensor, new_tokens: int, batch: int, **options: object
) -> torch.Tensor:
    """Greedy text [n, new_tokens] after `prompts` [n, C]; end-of-text counts as an ordinary token."""
    network.generation_config.eos_token_id = None
    network.generation_config.pad_token_id = 0
    parts = []
    for part in prompts.split(batch):
        output = network.generate(
            input_ids=part,
            attention_mask=torch.ones_like(part),
            do_sample=False,
            num_beams=1,
            min_new_tokens=new_tokens,
            max_new_tokens=new_tokens,
            **options,
        )
        parts.append(output[:, part.shape[1] :])
    return torch.cat(parts)


def oracle(
    network: torch.nn.Module,
    rows: NDArray[np.int64],
    contexts: Iterable[int],
    continuations: Iterable[int],
    *,
    align: str = "start",
    batch: int = 64,
) -> Cells:
    """matches and verbatim length [n] of every cell, each from a separate call of `generate`."""
    contexts, continuations = list(contexts), list(continuations)
    cells: Cells = {}
    for context in contexts:
        split = context if align == "start" else max(contexts)
        prompts = torch.from_numpy(rows[:, split - context : split])
        for length in continuations:
            text = greedy_text(network, prompts, length, batch).numpy()
            hit = text == rows[:, split : split + length]
            cells[context, length] = hit.sum(1), np.where(hit.all(1), length, (~hit).argmax(1))
    return cells
