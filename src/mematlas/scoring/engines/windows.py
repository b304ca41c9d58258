"""How probable the second part of windows of one text is after the first, and how far greedy decoding gives it.

The windows of a text overlap, yet each is read by itself: a model reads the same tokens differently after another
beginning. Windows have one length, so that many go through the model at once, in one pass.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from mematlas.models.base import Model
from mematlas.scoring.engines.memory import score_or_halve
from mematlas.scoring.engines.readout import Readout
from mematlas.types import Ids

_TOKENS_AT_ONCE: Final = {"cpu": 3_200, "cuda": 51_200}  # our choice


@dataclass(frozen=True, slots=True, eq=False)
class WindowScores:
    """All of shape [windows].

    log_probability_top40: of the suffix if each token is drawn from the 40 most probable ones at temperature 1, -inf if
    one of its tokens is not among these (K3, K11); log_probability: of the suffix among all tokens; both in nats.
    right: number of first tokens of the suffix that greedy decoding after the prefix gives.
    """

    log_probability_top40: NDArray[np.float64]
    log_probability: NDArray[np.float64]
    right: NDArray[np.int64]


def score_windows(
    model: Model, windows: Ids, prefix: int, advance: Callable[[int], None] = lambda done: None
) -> WindowScores:
    """Score windows [windows, prefix + suffix] of token ids.

    Args:
        advance: called with the number of windows that were finished.

    Raises:
        OutOfMemory: one window does not fit into memory.
    """
    at_once = max(1, _TOKENS_AT_ONCE.get(model.device.type, 3_200) // windows.shape[1])
    readout, parts = Readout(model), []

    def score(part: Ids) -> list[NDArray[np.float64]]:
        found = _score(model, readout, windows[part], prefix)
        advance(len(part))
        return [found]

    for start in range(0, len(windows), at_once):
        rows = np.arange(start, min(start + at_once, len(windows)))
        too_large = f"One window of {windows.shape[1]} tokens does not fit into memory; use a smaller model or device."
        parts += score_or_halve(score, rows, too_large=too_large, on_halving=lambda before, after: model.release())
    top, log_probability, right = np.concatenate(parts, axis=1) if parts else np.empty((3, 0))
    return WindowScores(top, log_probability, right.astype(np.int64))


@torch.inference_mode()
def _score(model: Model, readout: Readout, windows: Ids, prefix: int) -> NDArray[np.float64]:
    """The three numbers of every window: [3, windows]."""
    tokens = torch.from_numpy(windows.astype(np.int64)).to(model.device)
    suffix = tokens.shape[1] - prefix
    states = model.start(len(tokens), tokens.shape[1]).feed(tokens[:, :-1], suffix)
    truth = tokens[:, prefix:]
    found = readout.likelihood(states.flatten(0, 1), truth.flatten())
    shape = (len(tokens), suffix)
    right = (found["token"].view(shape) == truth).cumprod(1).sum(1)
    sums = [found[name].view(shape).double().sum(1) for name in ("log_probability_top40", "log_probability")]
    return np.asarray(torch.stack([*sums, right.double()]).cpu().numpy(), np.float64)


def greedy_run(model: Model, prefix: Ids, text: Ids) -> int:
    """The number of first tokens of `text` [tokens] that greedy decoding after `prefix` [tokens] gives."""
    window = np.concatenate([prefix, text])[None]
    return int(_score(model, Readout(model), window, len(prefix))[2, 0])
