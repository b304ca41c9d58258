"""The loss of one batch and its gradient, for causal and masked language models."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mematlas.experiments.training.arm import Precision
from mematlas.experiments.training.placement import WHOLE, Part
from mematlas.models.masked_lm.masks import Masking
from mematlas.models.masked_lm.model import SpecialTokens, rows_as_read
from mematlas.types import Ids

ROWS_AT_ONCE = 4
"""Rows whose logits are computed at one time: the vocabulary is large, and logits that fit the cache are faster."""


class CausalObjective:
    """Every token of a row but its first, predicted from those before.

    prefix: tokens in front of every row that are only read; the first one after them is not predicted either.
    """

    def __init__(
        self, network: Any, device: torch.device, precision: Precision, prefix: int = 0, *, is_sharded: bool = False
    ) -> None:
        self._network, self._device, self._precision, self._prefix = network, device, precision, prefix
        self._is_split = not is_sharded and _has_plain_head(network, device)

    def backward(self, batch: Ids, part: Part = WHOLE) -> float:
        """Add the gradient for a part of `batch` [rows, row_length]; returns its mean loss in nats per token."""
        tokens = torch.from_numpy(batch[part.rows]).to(self._device)
        inputs, targets = tokens[:, :-1], tokens[:, 1 + self._prefix :]
        with _autocast(self._device, self._precision):
            if self._is_split:
                return self._backward_in_parts(inputs, targets)
            logits = self._network(input_ids=inputs, use_cache=False).logits[:, self._prefix :]
            loss = functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        (loss * part.weight).backward()
        return float(loss.item())

    def _backward_in_parts(self, inputs: Tensor, targets: Tensor) -> float:
        """The gradient at the last hidden state, summed a few rows at a time, then through the network once."""
        hidden = self._network.base_model(input_ids=inputs, use_cache=False).last_hidden_state
        hidden = hidden[:, self._prefix :]
        leaf = hidden.detach().requires_grad_()
        head = self._network.get_output_embeddings()
        total = 0.0
        for states, tokens in zip(leaf.split(ROWS_AT_ONCE), targets.split(ROWS_AT_ONCE), strict=True):
            logits = head(states).float().flatten(0, 1)
            loss = functional.cross_entropy(logits, tokens.flatten(), reduction="sum") / targets.numel()
            loss.backward()
            total += loss.item()
        hidden.backward(leaf.grad)
        return total


class MaskedObjective:
    """The hidden tokens of every row, predicted from all others.

    One mask hides as many tokens of a row as one evaluation mask (`models.masked_lm.masks`); which ones depends on the
    row's tokens, the seed and the step alone. Rows with too few tokens that are not special have no loss.
    """

    def __init__(self, network: Any, device: torch.device, precision: Precision, tokens: SpecialTokens) -> None:
        self._network, self._device, self._precision, self._tokens = network, device, precision, tokens
        self._special = np.array(tokens.special, dtype=np.int64)

    def backward(self, batch: Ids, seed: int, step: int, part: Part = WHOLE) -> float:
        """Add the gradient for a part of `batch` [rows, row_length]; returns its mean loss in nats per hidden token.

        Every row hides the same number of tokens, so that the mean over the batch is that over its rows.
        """
        rows = batch[part.rows]
        masking = Masking(masks=1, seed=((seed + 1) << 32) + step)  # the evaluation masks have another seed, 0
        masks = [masking.positions(row, self._special) for row in rows]
        nothing = np.arange(masking.hidden(rows.shape[1]))[None]  # of weight 0: all processes take the same steps
        places = np.concatenate([nothing if mask is None else mask for mask in masks])
        tokens, hidden = (torch.from_numpy(values).to(self._device) for values in (rows, places))
        read = rows_as_read(tokens, hidden, self._tokens)
        with _autocast(self._device, self._precision):
            logits = self._network(input_ids=read, attention_mask=torch.ones_like(read)).logits
        around = (hidden + len(self._tokens.before))[..., None].expand(-1, -1, logits.shape[-1])
        chosen, targets = logits.gather(1, around).float(), tokens.gather(1, hidden)
        losses = functional.cross_entropy(chosen.flatten(0, 1), targets.flatten(), reduction="none")
        counts = torch.tensor([mask is not None for mask in masks], device=losses.device)
        loss = (losses.view_as(hidden).mean(dim=1) * counts).mean()
        (loss * part.weight).backward()
        return float(loss.item())


@torch.inference_mode()
def _has_plain_head(network: Any, device: torch.device) -> bool:
    """Whether logits are the output layer's values of the last hidden states, neither scaled nor capped."""
    probe = torch.arange(8, device=device)[None] % network.get_input_embeddings().weight.shape[0]
    expected = network(input_ids=probe, use_cache=False).logits
    try:
        states = network.base_model(input_ids=probe, use_cache=False).last_hidden_state
        return bool(torch.equal(network.get_output_embeddings()(states), expected))
    except (RuntimeError, TypeError, ValueError, AttributeError):
        return False  # this architecture cannot be split this way


def _autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """bfloat16 in the forward pass; weights and their moments stay in float32."""
    return nullcontext() if precision == "float32" else torch.autocast(device.type, dtype=torch.bfloat16)
