"""`--graphs`: whether a model's decoding steps are replayed as CUDA graphs, decided by measuring when it is loaded."""

import time
from collections.abc import Callable
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


class Compared(NamedTuple):
    """plain, replayed: median seconds a step; apart: the largest difference of a logit."""

    plain: float
    replayed: float
    apart: float


def with_graphs(model: Model, card: ModelCard, wanted: Graphs, rows: int, say: Callable[[str], None]) -> Model:
    """`model`, its steps replayed if that is wanted, possible, and right; for "auto" also only if it is faster.

    Args:
        rows: in step, for the measurement.
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
    return better_of(model, card.label, wanted, rows, say)  # type: ignore[arg-type]


def unsuited(model: Model) -> str | None:
    """Why a model's steps cannot be replayed, None if they may be."""
    from mematlas.models.causal import CausalModel

    if not isinstance(model, CausalModel):
        return "which is no transformers network"
    if not model.cached:
        return "whose state is no key-value cache"
    if model.device.type != "cuda":
        return f"which is on the device {model.device}, and not on a CUDA device"
    if len(set((getattr(model.network, "hf_device_map", None) or {}).values())) > 1:
        return "whose layers are on several devices"
    return None


def better_of(
    model: "CausalModel", label: str, wanted: Graphs, rows: int, say: Callable[[str], None]
) -> "CausalModel | Model":
    """The model as it is or with replayed steps, whichever a measurement speaks for."""
    from mematlas.models.graphed import GraphedModel

    graphed = GraphedModel(model)
    try:
        found = compare(model, graphed, rows)
    except (RuntimeError, torch.OutOfMemoryError) as error:  # what cannot be recorded says so in many ways
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        say(f"{label}: going on without CUDA graphs, which could not be recorded ({reason})")
        return model
    if not found.apart <= TOLERANCE[model.dtype]:
        say(f"{label}: going on without CUDA graphs, whose logits are apart by up to {found.apart:.2g}")
        return model
    if wanted == "auto" and found.replayed >= found.plain:
        return model
    times = f"{1e3 * found.replayed:.2f} ms a step instead of {1e3 * found.plain:.2f}"
    say(f"{label}: decoding steps are replayed as CUDA graphs, {times} with {rows} rows")
    return graphed


@torch.inference_mode()
def compare(model: "CausalModel", graphed: Model, rows: int) -> Compared:
    """Both ways over the same random tokens, alternating step by step."""
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(model.vocabulary, (rows, _PREFIX + 2 * _STEPS), generator=random).to(model.device)
    ways: tuple[Model, Model] = (model, graphed)
    sessions = [way.start(rows, tokens.shape[1]) for way in ways]
    for session in sessions:
        session.feed(tokens[:, :_PREFIX])
    seconds: list[list[float]] = [[], []]
    apart = 0.0
    for place in range(_PREFIX, tokens.shape[1]):
        logits = []
        for way, session, times in zip(ways, sessions, seconds, strict=True):
            states, taken = _timed(session, tokens[:, place : place + 1], model.device)
            times.append(taken)
            logits.append(way.head(states[:8, 0]).clone())
        apart = max(apart, float((logits[0] - logits[1]).abs().max()))
    # the first steps warm up, are recorded, and are no measurement
    return Compared(median(seconds[0][_STEPS:]), median(seconds[1][_STEPS:]), apart)


def _timed(session: Session, tokens: Tensor, device: torch.device) -> tuple[Tensor, float]:
    """The states after one token, and the seconds it took."""
    began = _now(device)
    return session.feed(tokens, 1), _now(device) - began


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
