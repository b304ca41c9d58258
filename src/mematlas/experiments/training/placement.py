"""Where an arm's weights are while it trains: whole in one process, or in shards over several (`sharded.py`).

The training loop is the same for both. It asks the placement which rows of a batch this process takes, for the whole
network when one is measured or saved, and to save and restore the state that a training resumes from.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import torch

from mematlas.experiments.training.state import read_facts, restore_state, write_state

T = TypeVar("T")

STATE: Final = "training-state.safetensors"


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of a batch that a process takes.

    share: their share of the batch, 0 if the process only computes along with the others, so that all take part in
    their exchange of weights; weight: of the gradient of their mean loss.
    """

    rows: slice
    share: float = 1.0
    weight: float = 1.0


WHOLE: Final = Part(slice(None))


def launched_processes() -> int:
    """The number of processes that torchrun, or a launcher with the same variables, started together; 1 without."""
    return int(os.environ.get("WORLD_SIZE") or 1)


class Placement(Protocol):
    """One process, or several that train together.

    size: number of processes; is_first: whether this one writes files; is_sharded: whether weights are exchanged when a
    network is called, which is then called as a whole only; device: of this process.
    """

    size: int
    is_first: bool
    is_sharded: bool
    device: torch.device

    def from_first(self, decide: Callable[[], T]) -> T:
        """What `decide` returns, or raises for the user, in the first process, in all of them."""

    def place(self, network: Any) -> Any:
        """The network with its weights where they belong."""

    def part(self, rows: int) -> Part:
        """Which rows of a batch of so many this process takes."""

    def total(self, loss: float, part: Part) -> float:
        """The mean loss of the batch, from that of this process's part."""

    def whole(self, network: Any) -> Any | None:
        """The network with all its weights in the first process, None in others; all call it at the same time."""

    def read_facts(self, folder: Path) -> dict[str, str] | None:
        """The facts of the state saved in an arm's folder; None if there is none."""

    def write_state(self, folder: Path, network: Any, optimizer: torch.optim.Optimizer, facts: dict[str, str]) -> None:
        """Save weights, moments and facts, completely or not at all."""

    def restore_state(self, folder: Path, network: Any, optimizer: torch.optim.Optimizer) -> None:
        """Set weights and moments to those that were saved."""

    def finish(self, folder: Path, write: Callable[[], None]) -> None:
        """Let the first process `write` that the training is finished, and delete the state; all wait for it."""


class OneProcess:
    """The whole network in this process; see `Placement`."""

    size, is_first, is_sharded = 1, True, False

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def from_first(self, decide: Callable[[], T]) -> T:
        return decide()

    def place(self, network: Any) -> Any:
        return network.to(self.device)

    def part(self, rows: int) -> Part:
        return WHOLE

    def total(self, loss: float, part: Part) -> float:
        return loss

    def whole(self, network: Any) -> Any | None:
        return network

    def read_facts(self, folder: Path) -> dict[str, str] | None:
        return read_facts(folder / STATE)

    def write_state(self, folder: Path, network: Any, optimizer: torch.optim.Optimizer, facts: dict[str, str]) -> None:
        write_state(folder / STATE, network, optimizer, facts)

    def restore_state(self, folder: Path, network: Any, optimizer: torch.optim.Optimizer) -> None:
        restore_state(folder / STATE, network, optimizer)

    def finish(self, folder: Path, write: Callable[[], None]) -> None:
        write()
        (folder / STATE).unlink(missing_ok=True)
