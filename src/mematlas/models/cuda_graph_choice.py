"""`--graphs`: whether a model's decoding steps are replayed as CUDA graphs, decided by measuring when it is loaded."""

import time
from collections.abc import Callable
from itertools import accumulate
from math import isnan
from statistics import median
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import torch
from torch import Tensor

from mematlas.errors import ModelError
from mematlas.models.base import Model, ModelCard, Session

if TYPE_CHECKING:
    from mematlas.models.causal import CausalModel

Graphs = Literal["auto", "on", "off"]

#: Parameters from which a step is bound by arithmetic, not by launches; our choice, after the cost model.
LARGE: Final = 2e9
#: Logits of the two ways may differ by so much: what batch shapes alone were seen to do, doubled (performance.md, 4).
TOLERANCE: Final = {torch.float32: 2e-4, torch.bfloat16: 1.6, torch.float16: 0.2}
_PREFIX, _STEPS = 8, 8
#: Tokens fed at once while comparing: single ones, then stages of `scoring/branches.py`, each until it is replayed.
_FEEDS: Final = (1,) * 2 * _STEPS + (2, 2, 2, 4, 4, 4, 8, 8, 8)


class Compared(NamedTuple):
    """plain, replayed: median seconds a step; apart: the largest difference of a logit."""

    plain: float
    replayed: float
    apart: float


def with_graphs(
    model: Model, card: ModelCard, wanted: Graphs, rows: int, capacity: int, say: Callable[[str], None]
) -> Model:
    """`model`, its steps replayed if that is wanted, possible, and right; for "auto" also only if it is faster.

    Args:
        rows, capacity: in step, and tokens a row, for the measurement.
        say: hears what was decided, where that needed a measurement.

    Raises:
        ModelError: "on" for a model or a device that has no such steps.
    """
    if wanted == "off":
        return model
    reason = unsuited(model)
    if reason is not None:
        if wanted == "on":
            raise ModelError(f"--graphs on is not for {card.label}, {reason}; leave it out.")
        return model
    if wanted == "auto" and (card.parameters or 0) >= LARGE:
        return model
    return better_of(model, card.label, wanted, (rows, capacity), say)  # type: ignore[arg-type]


def unsuited(model: Model) -> str | None:
    """Why a model's steps cannot be replayed, None if they may be."""
    from mematlas.models.causal import CausalModel

    if not isinstance(model, CausalModel):
        return "which is no transformers network"
    if not model.cached:
        return "whose state is no key-value cache"
    if not getattr(model.network, "_can_compile_fullgraph", False):
        return "whose network transformers does not call fit for a cache of fixed size"
    if model.device.type != "cuda":
        return f"which is on the device {model.device}, and not on a CUDA device"
    if len(set((getattr(model.network, "hf_device_map", None) or {}).values())) > 1:
        return "whose layers are on several devices"
    return None


def better_of(
    model: "CausalModel", label: str, wanted: Graphs, shape: tuple[int, int], say: Callable[[str], None]
) -> "CausalModel | Model":
    """The model as it is or with replayed steps, whichever a measurement speaks for; shape: rows and tokens a row."""
    from mematlas.models.cuda_graphs import GraphedModel, first_line

    failed: list[str] = []
    graphed = GraphedModel(model, failed.append)
    try:
        found = compare(model, graphed, *shape)
    except Exception as error:  # noqa: BLE001  a network not made for a fixed cache says so in any way
        failed.append(first_line(error))
    if failed:
        say(f"{label}: going on without CUDA graphs, which could not be recorded ({failed[0]})")
        return model
    if not found.apart <= TOLERANCE[model.dtype]:
        say(f"{label}: going on without CUDA graphs, whose logits are apart by up to {found.apart:.2g}")
        return model
    if wanted == "auto" and found.replayed >= found.plain:
        return model
    times = f"{1e3 * found.replayed:.2f} ms a step instead of {1e3 * found.plain:.2f}"
    say(f"{label}: decoding steps are replayed as CUDA graphs, {times} with {shape[0]} rows")
    return graphed


@torch.inference_mode()
def compare(model: "CausalModel", graphed: Model, rows: int, capacity: int = 0) -> Compared:
    """Both ways over the same random tokens, alternating step by step.

    Args:
        capacity: of the caches, which hold what is fed here at least: a mask may depend on it.
    """
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(model.vocabulary, (rows, _PREFIX + sum(_FEEDS)), generator=random).to(model.device)
    ways: tuple[Model, Model] = (model, graphed)
    sessions = [way.start(rows, max(capacity, tokens.shape[1])) for way in ways]
    for session in sessions:
        session.feed(tokens[:, :_PREFIX])
    seconds: list[list[float]] = [[], []]
    differences = []
    for place, count in zip(accumulate(_FEEDS, initial=_PREFIX), _FEEDS, strict=False):
        logits = []
        for way, session, times in zip(ways, sessions, seconds, strict=True):
            states, taken = _timed(session, tokens[:, place : place + count], model.device)
            times.append(taken)
            logits.append(way.head(states[:8, 0]).clone())
        differences.append(float((logits[0] - logits[1]).abs().max()))
    apart = max(differences, key=lambda apart: (isnan(apart), apart))
    # the first single tokens warm up, are recorded, and are no measurement; nor are the longer feeds
    return Compared(median(seconds[0][_STEPS : 2 * _STEPS]), median(seconds[1][_STEPS : 2 * _STEPS]), apart)


def _timed(session: Session, tokens: Tensor, device: torch.device) -> tuple[Tensor, float]:
    """The states after one token, and the seconds it took."""
    began = _now(device)
    return session.feed(tokens, 1), _now(device) - began


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
