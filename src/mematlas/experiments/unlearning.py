"""Three ways to make a model forget rows, in their plainest form: fixtures for tests and for teaching.

    ga           gradient ascent on the loss of the continuations to be forgotten; stops as soon as no prompt works
    grad-diff    the same, plus descent on rows to be kept (gradient difference; Liu, Liu and Stone 2022, 2203.12817)
    npo          negative preference optimization (Zhang et al. 2024, 2404.05868), plus descent on rows to be kept, if
                 there are any: 2/beta mean log(1 + (p / p_before)^beta), p: of a row's continuation

They show what `mematlas stress` tells apart. Real methods come from elsewhere: any model folder can be tested.

All are AdamW at a constant rate on a model in the Hugging Face layout, in float32, in an order drawn by seed. The loss
is that of the tokens after each prompt. A prompt works while the model recites as many tokens as count as recited.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM

from mematlas.errors import OptionError
from mematlas.experiments.training.network import load_network, write_checkpoint
from mematlas.experiments.training.recital import recited_after
from mematlas.models.causal import CausalModel

Method = Literal["ga", "grad-diff", "npo"]
_BATCH: Final = 8


@dataclass(frozen=True, slots=True)
class Unlearning:
    """How a model is made to forget.

    steps: at most; rate: learning rate; context: tokens of the prompts; threshold: recited tokens below which a prompt
    fails; stops: whether training ends when all prompts fail; weight: of the loss on kept rows; beta: of npo.
    """

    method: Method
    steps: int = 100
    rate: float = 1e-3
    context: int = 32
    threshold: int = 16
    stops: bool = True
    weight: float = 1.0
    beta: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise OptionError(f"There is no method {self.method!r} of unlearning; take ga, grad-diff or npo.")
        if min(self.steps, self.context, self.threshold) < 1 or min(self.rate, self.beta) <= 0 or self.weight < 0:
            raise OptionError(
                f"{self} is not valid; give positive steps, tokens, rate and beta, and a weight that is not negative."
            )


def unlearn(
    start: str | Path, out: str | Path, how: Unlearning, forget: NDArray[Any], retain: NDArray[Any] | None = None
) -> int:
    """Train the model in folder `start` to forget rows, and save it to folder `out`; returns the steps taken.

    Args:
        forget: token ids of the rows, [rows, length]; retain: of rows to be kept, the same; ga does not read them.

    Raises:
        OptionError: the method needs rows to keep, or rows are no longer than a prompt.
        ModelError: the model cannot be loaded; StudyError: the folder cannot be written.
    """
    if how.method == "grad-diff" and retain is None:
        raise OptionError("grad-diff keeps rows while others are forgotten, and no rows to keep were given; give some.")
    for rows in (forget, *([] if retain is None else [retain])):
        if rows.ndim != 2 or not len(rows) or rows.shape[1] <= how.context:
            raise OptionError(f"Rows of shape {rows.shape} leave nothing after prompts of {how.context} tokens.")
    network = load_network(AutoModelForCausalLM, Path(start)).eval()
    rows = np.asarray(forget, dtype=np.int64)
    kept = None if retain is None or how.method == "ga" else np.asarray(retain, dtype=np.int64)
    step = _train(network, how, rows, kept)
    facts = {"method": how.method, "training_step": step, "seed": how.seed}
    write_checkpoint(Path(out), network, None, facts)
    return step


def _train(network: Any, how: Unlearning, rows: NDArray[np.int64], kept: NDArray[np.int64] | None) -> int:
    """Change the network; returns the steps taken."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=how.rate, weight_decay=0.0)
    random = np.random.default_rng(how.seed)
    with torch.no_grad():
        before = _log_probabilities(network, rows, how.context)
    for step in range(how.steps):
        if how.stops and not _some_prompt_works(network, how, rows):
            return step
        chosen = random.permutation(len(rows))[:_BATCH]
        loss = _forgetting(how)(_log_probabilities(network, rows[chosen], how.context), before[chosen])
        if kept is not None:
            own = kept[random.permutation(len(kept))[:_BATCH]]
            loss = loss - how.weight * _log_probabilities(network, own, how.context).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return how.steps


def _forgetting(how: Unlearning) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss on rows to be forgotten, of their log-probabilities per token [rows, K] now and before."""
    if how.method == "npo":
        return lambda now, before: (
            -2 / how.beta * functional.logsigmoid(-how.beta * (now - before).sum(1)).mean() / now.shape[1]
        )
    return lambda now, before: now.mean()


def _log_probabilities(network: Any, rows: NDArray[np.int64], context: int) -> Tensor:
    """Of every token after the prompts, [rows, K]."""
    tokens = torch.from_numpy(rows)
    logits = network(input_ids=tokens[:, :-1], use_cache=False).logits[:, context - 1 :]
    chosen = logits.float().log_softmax(-1).gather(2, tokens[:, context:, None])
    return chosen[..., 0]


def _some_prompt_works(network: Any, how: Unlearning, rows: NDArray[np.int64]) -> bool:
    """Whether the model recites some row after its own prompt."""
    vocabulary = network.get_input_embeddings().weight.shape[0]
    model = CausalModel(network, vocabulary, torch.device("cpu"))
    prompts, truths = list(rows[:, : how.context]), list(rows[:, how.context :])
    return bool((recited_after(model, prompts, truths) >= min(how.threshold, len(truths[0]))).any())
