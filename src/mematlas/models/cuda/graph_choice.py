"""`--graphs`: decide by a measurement whether a model's decoding steps are replayed as CUDA graphs."""

import time
from collections.abc import Callable
from itertools import accumulate
from math import isnan
from statistics import median
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import torch
from torch import Tensor

from mematlas.errors import ModelError
from mematlas.models.base import Model, ModelCard, Session, first_line

if TYPE_CHECKING:
    from mematlas.models.causal import CausalModel

Graphs = Literal["auto", "on", "off"]

#: Parameters from which a step is bound by arithmetic, not by kernel launches; our choice, after the cost model.
LARGE_PARAMETERS: Final = 2e9
#: Largest accepted difference of logits: twice the difference seen between batch shapes alone (docs/gpu.md).
LOGIT_TOLERANCE: Final = {torch.float32: 2e-4, torch.bfloat16: 1.6, torch.float16: 0.2}
_PREFIX, _STEPS = 8, 8
#: Tokens fed at once in the comparison: single ones, then the stages of `engines/batch.py`, each until it is replayed.
_FEED_SIZES: Final = (1,) * 2 * _STEPS + (2, 2, 2, 4, 4, 4, 8, 8, 8)


class DecodingComparison(NamedTuple):
    """plain_seconds, replayed_seconds: median seconds per step; logit_difference: the largest difference of a logit."""

    plain_seconds: float
    replayed_seconds: float
    logit_difference: float


def with_graphs(
    model: Model, card: ModelCard, wanted: Graphs, rows: int, capacity: int, say: Callable[[str], None]
) -> Model:
    """`model`, with steps replayed as CUDA graphs if that is wanted, possible and correct, and for "auto" also faster.

    Args:
        rows, capacity: number of rows and tokens per row in the measurement.
        say: called with the decision if it needed a measurement.

    Raises:
        ModelError: "on" for a model or a device that does not support CUDA graphs.
    """
    if wanted == "off":
        return model
    reason = unsuitable_reason(model, capacity)
    if reason is not None:
        if wanted == "on":
            raise ModelError(f"--graphs on cannot be used for {card.label}, {reason}; leave it out.")
        return model
    if wanted == "auto" and (card.parameters or 0) >= LARGE_PARAMETERS:
        return model
    return choose_faster(model, card.label, wanted, (rows, capacity), say)  # type: ignore[arg-type]


def unsuitable_reason(model: Model, capacity: int = 0) -> str | None:
    """Why a model's steps on rows of `capacity` tokens cannot be replayed as CUDA graphs; None if they can."""
    from mematlas.models.causal import CausalModel

    if not isinstance(model, CausalModel):
        return "which is not a transformers network"
    if not model.cached:
        return "whose state is not a key-value cache"
    if model.dependence is not None and capacity > model.dependence.length:
        return f"whose rotary positions depend on the number of tokens beyond {model.dependence.length}"
    if not getattr(model.network, "_can_compile_fullgraph", False):
        return "which transformers does not support with a cache of fixed size"
    if model.device.type != "cuda":
        return f"which is on the device {model.device}, not on a CUDA device"
    if len(set((getattr(model.network, "hf_device_map", None) or {}).values())) > 1:
        return "whose layers are on several devices"
    return None


def choose_faster(
    model: "CausalModel", label: str, wanted: Graphs, shape: tuple[int, int], say: Callable[[str], None]
) -> "CausalModel | Model":
    """The model as it is or with replayed steps, as a measurement decides; shape: number of rows and tokens per row."""
    from mematlas.models.cuda.graphs import GraphedModel

    failures: list[str] = []
    graphed = GraphedModel(model, failures.append)
    try:
        comparison = compare_decoding(model, graphed, *shape)
    except Exception as error:  # noqa: BLE001  a network without support for a fixed cache may raise anything
        failures.append(first_line(error))
    if failures:
        say(f"{label}: continuing without CUDA graphs, which could not be recorded ({failures[0]})")
        return model
    if not comparison.logit_difference <= LOGIT_TOLERANCE[model.dtype]:
        say(f"{label}: continuing without CUDA graphs, whose logits differ by up to {comparison.logit_difference:.2g}")
        return model
    if wanted == "auto" and comparison.replayed_seconds >= comparison.plain_seconds:
        return model
    times = f"{1e3 * comparison.replayed_seconds:.2f} ms per step instead of {1e3 * comparison.plain_seconds:.2f}"
    say(f"{label}: decoding steps are replayed as CUDA graphs, {times} with {shape[0]} rows")
    return graphed


@torch.inference_mode()
def compare_decoding(model: "CausalModel", graphed: Model, rows: int, capacity: int = 0) -> DecodingComparison:
    """Decode the same random tokens with and without CUDA graphs, alternating step by step.

    Args:
        rows: number of rows.
        capacity: tokens per row that the caches have room for, since masks may depend on it; at least those fed here.
    """
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(model.vocabulary, (rows, _PREFIX + sum(_FEED_SIZES)), generator=generator).to(model.device)
    models: tuple[Model, Model] = (model, graphed)
    sessions = [each.start(rows, max(capacity, tokens.shape[1])) for each in models]
    for session in sessions:
        session.feed(tokens[:, :_PREFIX])
    seconds: list[list[float]] = [[], []]
    differences = []
    for position, count in zip(accumulate(_FEED_SIZES, initial=_PREFIX), _FEED_SIZES, strict=False):
        logits = []
        for each, session, times in zip(models, sessions, seconds, strict=True):
            states, elapsed = _timed_feed(session, tokens[:, position : position + count], model.device)
            times.append(elapsed)
            logits.append(each.head(states[:8, 0]).clone())
        differences.append(float((logits[0] - logits[1]).abs().max()))
    largest = max(differences, key=lambda difference: (isnan(difference), difference))
    # only the later single tokens are measured: the first ones warm up and are recorded
    return DecodingComparison(median(seconds[0][_STEPS : 2 * _STEPS]), median(seconds[1][_STEPS : 2 * _STEPS]), largest)


def _timed_feed(session: Session, tokens: Tensor, device: torch.device) -> tuple[Tensor, float]:
    """The states after feeding `tokens`, and the seconds it took."""
    started = _now(device)
    return session.feed(tokens, 1), _now(device) - started


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
