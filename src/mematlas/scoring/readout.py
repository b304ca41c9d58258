"""From states to numbers: the greedy choice with its margin, and the per-token signals, without ever keeping logits.

Logits are made and reduced in chunks. Ties: the greedy choice among equal logits is the lowest token id.
Logarithms are natural; entropy, log-probability and margin are float32.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from mematlas.models.base import Model

#: logits of a suppressed token: far below any real logit, yet finite, so that 0 * logit stays 0
FORBIDDEN: Final = -1e4
_BLOCK = 64  # vocabulary entries that share one maximum in the search for the two largest
_LOGITS = 1 << 25  # logits that may exist at the same time
_TOP = 40  # top-k of the renormalised log-probability (Hayes et al. 2024, k = 40, T = 1)


@dataclass(frozen=True)
class Readout:
    """Reads a model's states.

    suppressed: token ids that may never be chosen (EOS policy `suppress`); temperatures: extra temperatures at which
    the true token's log-probability is read; chunk: states whose logits exist at the same time, by the vocabulary's
    size if None; reduce: how many of them are reduced at once, few enough to stay in a core's cache.
    """

    model: Model
    suppressed: tuple[int, ...] = ()
    temperatures: tuple[float, ...] = ()
    chunk: int | None = None
    reduce: int = 32

    def _chunks(self, states: Tensor) -> tuple[Tensor, ...]:
        # larger matrix products are faster, up to about 128 MiB of logits (measured: 512 rows 1.2x against 128)
        return states.split(self.chunk or max(16, min(512, _LOGITS // self.model.vocabulary)))

    def _logits(self, states: Tensor) -> Tensor:
        logits = self.model.head(states)[:, : self.model.vocabulary]
        if self.suppressed:
            logits = logits.index_fill(1, torch.tensor(self.suppressed, device=logits.device), FORBIDDEN)
        return logits

    def choose(self, states: Tensor, *, free: bool = False) -> dict[str, Tensor]:
        """The greedy choice after each state of [n, width]: token and margin (largest minus second largest logit);
        with `free` also that token's log_probability and the entropy."""
        parts = []
        for part in self._chunks(states):
            logits = self._logits(part)
            parts += [_free(some) for some in logits.split(self.reduce)] if free else [top_two(logits)]
        return self._joined(parts)

    def truth(self, states: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Signals of the true next tokens `truth` [n] after states [n, width]; see `scoring/schema.py` for each."""
        parts = []
        for part, targets in zip(self._chunks(states), self._chunks(truth), strict=True):
            for logits, target in zip(self._logits(part).split(self.reduce), targets.split(self.reduce), strict=True):
                parts.append(self._truth_of(logits, target))
        return self._joined(parts)

    def _truth_of(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        shape = _Distribution(logits)
        at = logits.gather(1, target[:, None])
        signals = {
            **top_two(logits),
            "top_log_probability": 0.0 - shape.log_total,
            "log_probability": shape.of(logits, target),
            # 1 + number of strictly larger logits; sign of the positive part is cheaper than a boolean mask
            "rank": (logits - at).clamp_(min=0).sign_().sum(1).long() + 1,
            "entropy": shape.entropy,
            "mean_log_probability": -shape.entropy,
            "variance_log_probability": shape.variance,
            "log_probability_top40": _top_log_probability(logits, at[:, 0], _TOP),
        }
        for temperature in self.temperatures:
            scaled = logits / temperature
            signals[temperature_name(temperature)] = scaled.gather(1, target[:, None])[:, 0] - scaled.logsumexp(1)
        return signals

    def _joined(self, parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: torch.cat([part[name] for part in parts]).to(self.model.device) for name in parts[0]}


def temperature_name(temperature: float) -> str:
    """Column of the log-probability at `temperature`."""
    return f"log_probability_t{temperature:g}"


def _free(logits: Tensor) -> dict[str, Tensor]:
    shape = _Distribution(logits)
    return top_two(logits) | {"log_probability": 0.0 - shape.log_total, "entropy": shape.entropy}


class _Distribution:
    """Moments of log p over the vocabulary, from logits [n, V] in three passes."""

    def __init__(self, logits: Tensor) -> None:
        self._largest = logits.amax(1, keepdim=True)
        centred = logits - self._largest
        weight = centred.exp()
        total = weight.sum(1)
        self.log_total = total.log()  # so the largest log p is -log_total
        weighted = centred * weight
        first = weighted.sum(1) / total
        second = torch.linalg.vecdot(weighted, centred) / total
        # log p = centred - log_total: the mean moves by the constant, the variance does not
        self.entropy = (self.log_total - first).clamp_(min=0)
        self.variance = (second - first * first).clamp_(min=0)

    def of(self, logits: Tensor, token: Tensor) -> Tensor:
        """log p of one token a row."""
        return logits.gather(1, token[:, None])[:, 0] - self._largest[:, 0] - self.log_total


def _block_maxima(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Maxima of blocks of the vocabulary [n, blocks], and the logits as blocks [n, blocks, size] (tail padded)."""
    vocabulary = logits.shape[1]
    if vocabulary % _BLOCK:
        logits = torch.nn.functional.pad(logits, (0, -vocabulary % _BLOCK), value=float("-inf"))
    blocks = logits.unflatten(1, (-1, _BLOCK))
    return blocks.amax(2), blocks


def top_two(logits: Tensor) -> dict[str, Tensor]:
    """Greedy token and margin [n] for logits [n, V]: one pass for block maxima, then a search inside the winning block.

    `argmax` over a row is ten times dearer than `amax` on a CPU, so the index is looked up in two small steps; torch's
    argmax gives the first of equal maxima, so ties go to the lowest token id.
    """
    maxima, blocks = _block_maxima(logits)
    rows = torch.arange(len(logits), device=logits.device)
    block = maxima.argmax(1)
    inside = blocks[rows, block]
    offset = inside.argmax(1)
    largest = maxima[rows, block]
    inside = inside.scatter(1, offset[:, None], float("-inf"))
    others = maxima.scatter(1, block[:, None], float("-inf")).amax(1)
    return {"token": block * _BLOCK + offset, "margin": largest - torch.maximum(inside.amax(1), others)}


def _top_log_probability(logits: Tensor, at: Tensor, count: int) -> Tensor:
    """log-probability of the logit `at` [n] among the `count` largest of its row, -inf where it is not one of them.

    The `count` largest lie in the `count` blocks with the largest maxima, so only those are sorted.
    """
    count = min(count, logits.shape[1])
    maxima, blocks = _block_maxima(logits)
    chosen = maxima.topk(min(count, maxima.shape[1]), dim=1).indices
    candidates = blocks.gather(1, chosen[:, :, None].expand(-1, -1, _BLOCK)).flatten(1)
    top = candidates.topk(count, dim=1).values
    return torch.where(at >= top[:, -1], at - top.logsumexp(1), float("-inf"))
