"""From states to numbers: the greedy choice with its margin, and the per-token signals, without ever keeping logits.

Logits are made and reduced in chunks. Ties: the greedy choice among equal logits is the lowest token id.
Logarithms are natural; entropy, log-probability and margin are float32. Logits that are no numbers are refused.
"""

from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from mematlas.errors import ModelError
from mematlas.models.base import Model
from mematlas.models.buffer import Scratch
from mematlas.study.schemas.scores import temperature_name

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
    _scratch: tuple[Scratch, Scratch] = field(default_factory=lambda: (Scratch(), Scratch()), repr=False, compare=False)

    def _chunks(self, states: Tensor) -> tuple[Tensor, ...]:
        # larger matrix products are faster, up to about 128 MiB of logits (measured: 512 rows 1.2x against 128)
        return states.split(self.chunk or max(16, min(512, _LOGITS // self.model.vocabulary)))

    def _logits(self, states: Tensor) -> Tensor:
        logits = self.model.head(states)[:, : self.model.vocabulary]
        if self.suppressed:
            logits = logits.index_fill(1, torch.tensor(self.suppressed, device=logits.device), FORBIDDEN)
        return logits

    @torch.inference_mode()
    def choose(self, states: Tensor, *, free: bool = False) -> dict[str, Tensor]:
        """The greedy choice after each state of [n, width]: token and margin (largest minus second largest logit);
        with `free` also that token's log_probability and the entropy."""
        parts = []
        for part in self._chunks(states):
            logits = self._logits(part)
            parts += [self._free(some) for some in logits.split(self.reduce)] if free else [_Logits(logits).top_two()]
        return self._joined(parts)

    @torch.inference_mode()
    def truth(self, states: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Signals of the true next tokens `truth` [n] after states [n, width]; see `scoring/schema.py` for each."""
        parts = []
        for part, targets in zip(self._chunks(states), self._chunks(truth), strict=True):
            for logits, target in zip(self._logits(part).split(self.reduce), targets.split(self.reduce), strict=True):
                parts.append(self._truth_of(logits, target))
        return self._joined(parts)

    def _free(self, logits: Tensor) -> dict[str, Tensor]:
        rows = _Logits(logits)
        log_total, entropy, _ = rows.distribution(*self._scratch)
        return rows.top_two() | {"log_probability": 0.0 - log_total, "entropy": entropy}

    def _truth_of(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        rows = _Logits(logits)
        at = logits.gather(1, target[:, None])
        log_total, entropy, variance = rows.distribution(*self._scratch)
        signals = {
            **rows.top_two(),
            "top_log_probability": 0.0 - log_total,
            "log_probability": (at - rows.largest)[:, 0] - log_total,
            "rank": rows.rank(at, self._scratch[0]),
            "entropy": entropy,
            "mean_log_probability": -entropy,
            "variance_log_probability": variance,
            "log_probability_top40": rows.top_log_probability(at[:, 0], _TOP),
        }
        for temperature in self.temperatures:
            scaled = logits / temperature
            signals[temperature_name(temperature)] = scaled.gather(1, target[:, None])[:, 0] - scaled.logsumexp(1)
        return signals

    def _joined(self, parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        joined = {name: torch.cat([part[name] for part in parts]).to(self.model.device) for name in parts[0]}
        wrong = int(joined["margin"].isnan().sum())
        if wrong:
            raise NotNumbers(
                f"The model gave logits that are not numbers (NaN or infinite) at {wrong:,} of "
                f"{len(joined['margin']):,} positions, so that nothing can be read from them; check its weights, or "
                "score with --dtype float32."
            )
        return joined


class NotNumbers(ModelError):
    """A model's logits are NaN or infinite."""


class _Logits:
    """What is read from logits [n, V]; the vocabulary's blocks and their maxima are made once for all of it.

    Each pass over [n, V] counts: sums of products are taken in place (half the time of `vecdot` on a CPU), and `argmax`
    over a row, ten times dearer than `amax`, is done in two small steps.
    """

    def __init__(self, logits: Tensor) -> None:
        self._logits = logits
        if logits.shape[1] % _BLOCK:
            logits = torch.nn.functional.pad(logits, (0, -logits.shape[1] % _BLOCK), value=float("-inf"))
        self._blocks = logits.unflatten(1, (-1, _BLOCK))
        self._maxima = self._blocks.amax(2)
        self.largest = self._maxima.amax(1, keepdim=True)

    def top_two(self) -> dict[str, Tensor]:
        """Greedy token and margin [n]: the first block with the largest maximum, then its first largest logit.

        torch's argmax gives the first of equal maxima, so ties go to the lowest token id.
        """
        rows = torch.arange(len(self._logits), device=self._logits.device)
        block = self._maxima.argmax(1)
        inside = self._blocks[rows, block]
        offset = inside.argmax(1)
        inside = inside.scatter(1, offset[:, None], float("-inf"))
        others = self._maxima.scatter(1, block[:, None], float("-inf")).amax(1)
        # NaN runs through the maxima that are taken anyway; 0 * infinity is NaN, too
        margin = self.largest[:, 0] - torch.maximum(inside.amax(1), others) + 0 * self.largest[:, 0]
        return {"token": block * _BLOCK + offset, "margin": margin}

    def distribution(self, one: Scratch, other: Scratch) -> tuple[Tensor, Tensor, Tensor]:
        """Log of the sum of exp(logit - largest), so the largest log p is its negative; entropy; variance of log p
        under p [n]."""
        shape = self._logits.shape
        centred = torch.sub(self._logits, self.largest, out=one.take(self._logits, *shape))
        weight = torch.exp(centred, out=other.take(self._logits, *shape))
        total = weight.sum(1)
        first = weight.mul_(centred).sum(1) / total
        second = weight.mul_(centred).sum(1) / total
        log_total = total.log()
        # log p = centred - log_total: the mean moves by the constant, the variance does not
        return log_total, (log_total - first).clamp_(min=0), (second - first * first).clamp_(min=0)

    def rank(self, at: Tensor, scratch: Scratch) -> Tensor:
        """1 + number of logits larger than `at` [n, 1]; the sign of the positive part is cheaper than a mask."""
        above = torch.sub(self._logits, at, out=scratch.take(self._logits, *self._logits.shape))
        return above.clamp_(min=0).sign_().sum(1).long() + 1

    def top_log_probability(self, at: Tensor, count: int) -> Tensor:
        """log-probability of the logit `at` [n] among the `count` largest of its row, -inf where it is not one of them.

        The `count` largest lie in the `count` blocks with the largest maxima, so only those are sorted.
        """
        count = min(count, self._logits.shape[1])
        chosen = self._maxima.topk(min(count, self._maxima.shape[1]), dim=1).indices
        candidates = self._blocks.gather(1, chosen[:, :, None].expand(-1, -1, _BLOCK)).flatten(1)
        top = candidates.topk(count, dim=1).values
        return torch.where(at >= top[:, -1], at - top.logsumexp(1), float("-inf"))
