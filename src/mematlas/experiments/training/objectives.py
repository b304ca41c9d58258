"""The loss of one batch and its gradient, for causal and masked language models."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mematlas.experiments.training.arm import Precision
from mematlas.experiments.training.masking import hide_tokens
from mematlas.types import Ids

ROWS_AT_ONCE = 4
"""Rows whose logits are computed at one time: the vocabulary is large, and logits that fit the cache are faster."""


class CausalObjective:
    """Every token of a row but its first, predicted from those before.

    prefix: tokens in front of every row that are only read; the first one after them is not predicted either.
    """

    def __init__(self, network: Any, device: torch.device, precision: Precision, prefix: int = 0) -> None:
        self._network, self._device, self._precision, self._prefix = network, device, precision, prefix
        self._is_split = _has_plain_head(network, device)

    def backward(self, batch: Ids) -> float:
        """Add the gradient for `batch` [rows, row_length]; returns the mean loss in nats per token."""
        tokens = torch.from_numpy(batch).to(self._device)
        inputs, targets = tokens[:, :-1], tokens[:, 1 + self._prefix :]
        with _autocast(self._device, self._precision):
            if self._is_split:
                return self._backward_in_parts(inputs, targets)
            logits = self._network(input_ids=inputs, use_cache=False).logits[:, self._prefix :]
            loss = functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        loss.backward()
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
    """The hidden tokens of every row, predicted from all others; which are hidden depends on seed and step alone."""

    def __init__(self, network: Any, device: torch.device, precision: Precision, mask_token: int) -> None:
        self._network, self._device, self._precision = network, device, precision
        self._mask_token = mask_token

    def backward(self, batch: Ids, seed: Sequence[int]) -> float:
        """Add the gradient for `batch` [rows, row_length]; returns the mean loss in nats per hidden token."""
        hidden, is_hidden = hide_tokens(batch, self._mask_token, seed)
        chosen = torch.from_numpy(is_hidden).to(self._device)
        targets = torch.from_numpy(batch).to(self._device)[chosen]
        with _autocast(self._device, self._precision):
            logits = self._network(input_ids=torch.from_numpy(hidden).to(self._device)).logits
        loss = functional.cross_entropy(logits[chosen].float(), targets)
        loss.backward()
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
