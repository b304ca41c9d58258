"""One arm trained by several processes, each of which holds a shard of the weights and takes a slice of every batch.

    torchrun --nproc-per-node 2 -m mematlas experiment forget forget.yaml
    train_arm(arm, folder, placement=Sharded(device))     in any process of an initialised process group

The second line is all that the `train_loop_per_worker` of Ray Train needs, too. Weights are sharded by PyTorch's
`fully_shard` (FSDP2; Zhao et al. 2023, arXiv 2304.11277), block by block. The gradient is that of the mean loss over
the whole batch, so the number of processes changes nothing but the order of sums. The first process also holds the
whole network, without gradients, and measures and saves with it.

    ARM/  training-state.json            the facts of the state, and its folder; written after it
          training-state-000012/         a safetensors file of every process, by torch.distributed.checkpoint
"""

import copy
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from mematlas.errors import MematlasError, MissingExtra, OptionError, StudyError
from mematlas.experiments.folders import read_json
from mematlas.experiments.training.network import inner_network
from mematlas.experiments.training.placement import Part, Placement, launched_processes
from mematlas.experiments.training.state import MOMENTS, trained_parameters, whole_tensor
from mematlas.models.base import pick_device
from mematlas.study import write_json

T = TypeVar("T")

_FACTS: Final = "training-state.json"
_STATES: Final = "training-state-"
#: How long processes wait for the first one while it measures and writes.
_PATIENCE: Final = timedelta(hours=4)


@contextmanager
def joined_processes(device: str) -> Iterator[Placement]:
    """The processes that were launched together, on this kind of device.

    Raises:
        OptionError: the device is a GPU that all would share, or the launcher does not say which process this is.
        ModelError: this machine has no such device.
    """
    if missing := [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise OptionError(
            f"WORLD_SIZE is {launched_processes()}, but {missing[0]} is not set; start with torchrun, or unset "
            "WORLD_SIZE."
        )
    if device not in ("cpu", "cuda"):
        raise OptionError(
            f"Processes that train together use a GPU each, or the CPU, not {device!r}; write device: cuda or cpu."
        )
    own = pick_device("cpu" if device == "cpu" else f"cuda:{os.environ['LOCAL_RANK']}")
    if own.type == "cuda":
        torch.cuda.set_device(own)
    if dist.is_initialized():  # by the caller, who ends it, too
        yield Sharded(own)
        return
    dist.init_process_group("gloo" if own.type == "cpu" else "nccl", timeout=_PATIENCE)
    try:
        yield Sharded(own)
    finally:
        dist.destroy_process_group()


class Sharded:
    """Shards over the processes of the initialised process group, for one arm at a time; see `Placement`.

    Raises:
        MissingExtra: this torch cannot save the shards as safetensors.
    """

    is_sharded = True

    def __init__(self, device: torch.device) -> None:
        if not hasattr(dcp, "HuggingFaceStorageWriter"):
            raise MissingExtra(f"Training together needs a newer torch than {torch.__version__}: pip install -U torch")
        self.device, self.size, self._rank = device, dist.get_world_size(), dist.get_rank()
        self.is_first = self._rank == 0
        self._mesh = init_device_mesh(device.type, (self.size,))
        self._whole: Any = None

    def from_first(self, decide: Callable[[], T]) -> T:
        decided: list[Any] = [None, None]  # the result, and the user's error that there was instead
        if self.is_first:
            try:
                decided[0] = decide()
            except MematlasError as error:
                decided[1] = error
        dist.broadcast_object_list(decided, src=0, device=self.device)
        if decided[1] is not None:
            raise decided[1]
        result: T = decided[0]
        return result

    def place(self, network: Any) -> Any:
        """Shard every block of the outermost lists of modules, then what is left."""
        self._whole = copy.deepcopy(network).to(self.device).requires_grad_(False) if self.is_first else None
        root = inner_network(network)
        for block in _blocks(root):
            fully_shard(block, mesh=self._mesh)
        fully_shard(root, mesh=self._mesh)
        return network

    def part(self, rows: int) -> Part:
        """As `numpy.array_split` divides them; a process without rows computes along with the first, at weight 0.

        `fully_shard` averages over processes, so that a mean over n of N rows weighs n / N times their number.
        """
        least, more = divmod(rows, self.size)
        start = self._rank * least + min(self._rank, more)
        own = least + (self._rank < more)
        if not own:
            return Part(slice(0, 1), 0.0, 0.0)
        return Part(slice(start, start + own), own / rows, own / rows * self.size)

    def total(self, loss: float, part: Part) -> float:
        sums = torch.tensor(loss * part.share, dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return float(sums)

    @torch.no_grad()
    def whole(self, network: Any) -> Any | None:
        targets = dict(self._whole.named_parameters()) if self.is_first else {}
        for name, weight in trained_parameters(network).items():
            gathered = whole_tensor(weight)
            if self.is_first:
                targets[name].copy_(gathered)
        return self._whole

    def read_facts(self, folder: Path) -> dict[str, str] | None:
        return self.from_first(lambda: read_json(folder / _FACTS))

    def write_state(self, folder: Path, network: Any, optimizer: torch.optim.Optimizer, facts: dict[str, str]) -> None:
        state = folder / f"{_STATES}{int(facts['step']):06d}"
        if self.is_first and state.exists():
            shutil.rmtree(state)  # half of it, from a launch that was killed
        dist.barrier()
        writer = dcp.HuggingFaceStorageWriter(str(state), save_distributed=True)
        with _reported(f"{state} cannot be written", "free some space, and run the same command again"):
            dcp.save(_tensors(network, optimizer), storage_writer=writer)
        if self.is_first:
            write_json(folder / _FACTS, facts | {"folder": state.name})
            _delete_states(folder, keep=state.name)
        dist.barrier()

    @torch.no_grad()
    def restore_state(self, folder: Path, network: Any, optimizer: torch.optim.Optimizer) -> None:
        facts = self.read_facts(folder) or {}
        state = folder / facts["folder"]
        with _reported(f"{state} cannot be read", f"delete {folder / _FACTS}, and the training starts again"):
            self._restore(dcp.HuggingFaceStorageReader(str(state)), network, optimizer)

    def _restore(self, reader: Any, network: Any, optimizer: torch.optim.Optimizer) -> None:
        saved = reader.read_metadata().state_dict_metadata
        for name, weight in trained_parameters(network).items():
            if f"weight/{name}" not in saved:
                raise OSError(f"the weight {name} is missing")
            if f"step/{name}" in saved:
                zeros = {kind: torch.zeros_like(weight) for kind in MOMENTS if kind != "step"}
                optimizer.state[weight] = {**zeros, "step": torch.zeros((), device=self.device)}
        dcp.load(_tensors(network, optimizer), storage_reader=reader)

    def finish(self, folder: Path, write: Callable[[], None]) -> None:
        if self.is_first:
            write()
            (folder / _FACTS).unlink(missing_ok=True)
            _delete_states(folder)
        dist.barrier()


@contextmanager
def _reported(problem: str, remedy: str) -> Iterator[None]:
    """Turn an error of files into one line.

    Raises:
        StudyError: a file cannot be read or written.
    """
    try:
        yield
    except (OSError, SafetensorError, CheckpointException) as error:
        failures = error.failures.values() if isinstance(error, CheckpointException) else [(error, None)]
        reason = str(next(iter(failures))[0]).strip().partition("\n")[0]
        raise StudyError(f"{problem} ({reason}); {remedy}.") from error


def _blocks(network: Any) -> list[Any]:
    """The modules in the outermost lists of modules, which are a transformer's blocks."""
    lists = [(name, module) for name, module in network.named_modules() if isinstance(module, torch.nn.ModuleList)]
    outermost = [module for name, module in lists if not any(name.startswith(f"{other}.") for other, _ in lists)]
    return [block for blocks in outermost for block in blocks]


def _tensors(network: Any, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """This process's shards of weights and moments, by the names of `state.py`."""
    tensors: dict[str, Tensor] = {}
    for name, weight in trained_parameters(network).items():
        tensors[f"weight/{name}"] = weight.detach()
        for kind in MOMENTS if weight in optimizer.state else ():
            moment = optimizer.state[weight][kind]
            tensors[f"{kind}/{name}"] = moment if moment.ndim else moment.view(1)  # the file's slices need a dimension
    return tensors


def _delete_states(folder: Path, keep: str = "") -> None:
    for path in folder.glob(f"{_STATES}*"):
        if path.name != keep and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
