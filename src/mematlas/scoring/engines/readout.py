"""Turn states into the greedy choice with its margin and into per-token signals, without ever storing all logits.

Logits are computed and reduced in chunks. Among equal logits, the greedy choice is the lowest token id. Logarithms are
natural; entropy, log-probability and margin are float32. Logits that are NaN or infinite raise an error.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from mematlas.errors import ModelError
from mematlas.models.base import LogitHead
from mematlas.models.buffer import Scratch
from mematlas.models.cuda.waiting import to_device
from mematlas.study.schemas.scores import temperature_name

#: logits of a suppressed token: far below any real logit, yet finite, so that 0 * logit stays 0
FORBIDDEN_LOGIT: Final = -1e4
_BLOCK_SIZE = 64  # vocabulary entries per block in the search for the two largest logits
_MAX_LOGITS = 1 << 25  # the most logits in memory at the same time
_TOP_K = 40  # top-k of the renormalised log-probability (Hayes et al. 2024, k = 40, T = 1)


@dataclass(frozen=True)
class Readout:
    """Reads a model's states.

    suppressed: token ids that may never be chosen (EOS policy `suppress`); temperatures: extra temperatures for the
    true token's log-probability; chunk: number of states whose logits are in memory at the same time, None to choose it
    by the size of the vocabulary; reduce: how many of them are reduced at once, few enough to fit into a core's cache.
    """

    model: LogitHead
    suppressed: tuple[int, ...] = ()
    temperatures: tuple[float, ...] = ()
    chunk: int | None = None
    reduce: int = 32
    _scratch: tuple[Scratch, Scratch] = field(default_factory=lambda: (Scratch(), Scratch()), repr=False, compare=False)

    def _chunks(self, states: Tensor) -> tuple[Tensor, ...]:
        # larger matrix products are faster, up to about 128 MiB of logits (measured: 512 rows 1.2x against 128)
        return states.split(self.chunk or max(16, min(512, _MAX_LOGITS // self.model.vocabulary)))

    def _logits(self, states: Tensor) -> Tensor:
        logits = self.model.head(states)[:, : self.model.vocabulary]
        if self._excluded is not None:
            logits = logits.index_fill(1, self._excluded.to(logits.device), FORBIDDEN_LOGIT)
        return logits

    @cached_property
    def _excluded(self) -> Tensor | None:
        """The suppressed ids on the model's device, sent once."""
        if not self.suppressed:
            return None
        return to_device(torch.tensor(self.suppressed, dtype=torch.int64), self.model.device)

    @torch.inference_mode()
    def choose(self, states: Tensor, *, free: bool = False, check: bool = True) -> dict[str, Tensor]:
        """The greedy choice after each state of [n, width]: token and margin (largest minus second largest logit);
        with `free` also that token's log_probability and the entropy.

        Args:
            check: whether to raise NonFiniteLogits at once, for which the host waits; else the margins are NaN, and
                `check_finite` raises it later.
        """
        parts = []
        for part in self._chunks(states):
            if free:
                parts += [self._free_signals(piece) for piece in self._logits(part).split(self.reduce)]
            else:
                parts.append(self._top_two(part))
        return self._concatenate(parts, check)

    @torch.inference_mode()
    def truth(self, states: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Signals of the true next tokens `truth` [n] after states [n, width]; `truth_schema` describes each."""
        parts = []
        for part, targets in zip(self._chunks(states), self._chunks(truth), strict=True):
            for logits, target in zip(self._logits(part).split(self.reduce), targets.split(self.reduce), strict=True):
                parts.append(self._truth_signals(logits, target))
        return self._concatenate(parts)

    @torch.inference_mode()
    def likelihood(self, states: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Of the signals of `truth`, those that say how probable the tokens are: token, margin, log_probability and
        log_probability_top40, in half the time."""
        parts = []
        for part, targets in zip(self._chunks(states), self._chunks(truth), strict=True):
            for logits, target in zip(self._logits(part).split(self.reduce), targets.split(self.reduce), strict=True):
                rows, true_logit = _Logits(logits), logits.gather(1, target[:, None])[:, 0]
                parts.append(
                    rows.top_two()
                    | {
                        "log_probability": true_logit - logits.logsumexp(1),
                        "log_probability_top40": rows.top_log_probability(true_logit, _TOP_K),
                    }
                )
        return self._concatenate(parts)

    def _top_two(self, states: Tensor) -> dict[str, Tensor]:
        """The greedy choice, by the screened head where the model has one and it is faster."""

        def of_all() -> dict[str, Tensor]:
            return _Logits(self._logits(states)).top_two()

        screened = getattr(self.model, "screened", None)
        if screened is None or not screened.is_faster(states, of_all, self._excluded):
            return of_all()
        found = screened.top_two(states, self._excluded)
        return of_all() if found is None else {"token": found.token, "margin": found.margin}

    def _free_signals(self, logits: Tensor) -> dict[str, Tensor]:
        rows = _Logits(logits)
        log_total, entropy, _ = rows.distribution(*self._scratch)
        return rows.top_two() | {"log_probability": 0.0 - log_total, "entropy": entropy}

    def _truth_signals(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        rows = _Logits(logits)
        true_logit = logits.gather(1, target[:, None])
        log_total, entropy, variance = rows.distribution(*self._scratch)
        signals = {
            **rows.top_two(),
            "top_log_probability": 0.0 - log_total,
            "log_probability": (true_logit - rows.largest)[:, 0] - log_total,
            "rank": rows.rank(true_logit, self._scratch[0]),
            "entropy": entropy,
            "mean_log_probability": -entropy,
            "variance_log_probability": variance,
            "log_probability_top40": rows.top_log_probability(true_logit[:, 0], _TOP_K),
        }
        for temperature in self.temperatures:
            scaled = logits / temperature
            signals[temperature_name(temperature)] = scaled.gather(1, target[:, None])[:, 0] - scaled.logsumexp(1)
        return signals

    def _concatenate(self, parts: list[dict[str, Tensor]], check: bool = True) -> dict[str, Tensor]:
        joined = {name: torch.cat([part[name] for part in parts]).to(self.model.device) for name in parts[0]}
        if check:
            check_finite(joined["margin"])
        return joined


def check_finite(margin: Tensor) -> None:
    """Raise NonFiniteLogits if a margin is NaN."""
    bad = int(margin.isnan().sum())
    if bad:
        raise NonFiniteLogits(
            f"The model gave logits that are not numbers (NaN or infinite) at {bad:,} of {margin.numel():,} positions, "
            "so its choices are undefined; check its weights, or score with --dtype float32."
        )


class NonFiniteLogits(ModelError):
    """A model returned logits that are NaN or infinite."""


class _Logits:
    """Reductions of logits [n, V] that share one division of the vocabulary into blocks, with the maximum of each.

    Every pass over [n, V] takes time: products are computed in place before they are summed (half the time of `vecdot`
    on a CPU), and `argmax` over a row, ten times slower than `amax`, is done in two small steps.
    """

    def __init__(self, logits: Tensor) -> None:
        self._logits = logits
        if logits.shape[1] % _BLOCK_SIZE:
            logits = torch.nn.functional.pad(logits, (0, -logits.shape[1] % _BLOCK_SIZE), value=float("-inf"))
        self._blocks = logits.unflatten(1, (-1, _BLOCK_SIZE))
        self._maxima = self._blocks.amax(2)
        self.largest = self._maxima.amax(1, keepdim=True)

    def top_two(self) -> dict[str, Tensor]:
        """Greedy token and margin [n]: the first block with the largest maximum, then its first largest logit.

        torch's argmax returns the first of equal maxima, so ties go to the lowest token id.
        """
        rows = torch.arange(len(self._logits), device=self._logits.device)
        block = self._maxima.argmax(1)
        inside = self._blocks[rows, block]
        offset = inside.argmax(1)
        inside = inside.scatter(1, offset[:, None], float("-inf"))
        others = self._maxima.scatter(1, block[:, None], float("-inf")).amax(1)
        # NaN spreads through the maxima, and 0 * infinity is NaN as well, so bad logits give a NaN margin
        margin = self.largest[:, 0] - torch.maximum(inside.amax(1), others) + 0 * self.largest[:, 0]
        return {"token": block * _BLOCK_SIZE + offset, "margin": margin}

    def distribution(self, scratch: Scratch, scratch_2: Scratch) -> tuple[Tensor, Tensor, Tensor]:
        """Log of the sum of exp(logit - largest), whose negative is the largest log p; entropy; variance of log p
        under p: each [n]. `scratch` and `scratch_2` are used for intermediate arrays."""
        shape = self._logits.shape
        centred = torch.sub(self._logits, self.largest, out=scratch.take(self._logits, *shape))
        weight = torch.exp(centred, out=scratch_2.take(self._logits, *shape))
        total = weight.sum(1)
        first = weight.mul_(centred).sum(1) / total
        second = weight.mul_(centred).sum(1) / total
        log_total = total.log()
        # log p = centred - log_total: subtracting a constant shifts the mean but not the variance
        return log_total, (log_total - first).clamp_(min=0), (second - first * first).clamp_(min=0)

    def rank(self, logit: Tensor, scratch: Scratch) -> Tensor:
        """1 + number of logits larger than `logit` [n, 1]; the sign of the positive part is faster than a mask."""
        above = torch.sub(self._logits, logit, out=scratch.take(self._logits, *self._logits.shape))
        return above.clamp_(min=0).sign_().sum(1).long() + 1

    def top_log_probability(self, logit: Tensor, count: int) -> Tensor:
        """Log-probability of `logit` [n] among the `count` largest logits of its row, -inf where it is not one of them.

        The `count` largest are in the `count` blocks with the largest maxima, so only those are sorted.
        """
        count = min(count, self._logits.shape[1])
        blocks = self._maxima.topk(min(count, self._maxima.shape[1]), dim=1).indices
        candidates = self._blocks.gather(1, blocks[:, :, None].expand(-1, -1, _BLOCK_SIZE)).flatten(1)
        top = candidates.topk(count, dim=1).values
        return torch.where(logit >= top[:, -1], logit - top.logsumexp(1), float("-inf"))
