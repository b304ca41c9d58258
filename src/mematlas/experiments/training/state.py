"""What a training resumes from: weights and Adam's moments as one safetensors file, by parameter name.

The names are those of the network in memory. transformers renames some weights (GPT-NeoX's output layer, Mixtral's
experts) when it saves a model; its own trainer does not undo that when it resumes, and silently goes on with the first
weights. Nothing is renamed here, and a weight that is missing is an error.
"""

from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from mematlas.errors import StudyError
from mematlas.study import write_bytes

MOMENTS: Final = ("exp_avg", "exp_avg_sq", "step")


def trained_parameters(network: Any) -> dict[str, torch.nn.Parameter]:
    """The weights that the optimizer changes, by name; a tied weight is listed once."""
    return {name: weight for name, weight in network.named_parameters() if weight.requires_grad}


def whole_tensor(tensor: Tensor) -> Tensor:
    """A tensor with all its shards, for which all processes call this at the same time; itself if it has none."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def moments_by_name(network: Any, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's moments and step counts: `exp_avg/NAME` and so on; weights that never had a gradient have none."""
    return {
        f"{kind}/{name}": whole_tensor(optimizer.state[weight][kind].detach()).cpu().contiguous()
        for name, weight in trained_parameters(network).items()
        for kind in MOMENTS
        if weight in optimizer.state
    }


def optimizer_bytes(network: Any, optimizer: torch.optim.Optimizer) -> bytes:
    """The content of optimizer.safetensors."""
    return save(moments_by_name(network, optimizer))


def load_moments(path: Path, network: Any, optimizer: torch.optim.Optimizer) -> None:
    """Start the optimizer from a file with moments by parameter name.

    Raises:
        StudyError: the file cannot be read, or is of another network.
    """
    tensors, _ = _read(path)
    _set_moments(path, tensors, network, optimizer)


def write_state(path: Path, network: Any, optimizer: torch.optim.Optimizer, facts: dict[str, str]) -> None:
    """Write weights, moments and `facts` to `path`, completely or not at all."""
    weights = {
        f"weight/{name}": weight.detach().cpu().contiguous() for name, weight in trained_parameters(network).items()
    }
    content = save({**weights, **moments_by_name(network, optimizer)}, metadata=facts)
    write_bytes(path, content)


def read_facts(path: Path) -> dict[str, str] | None:
    """The facts of a state, None if there is no such file."""
    return _read(path, only_facts=True)[1] if path.is_file() else None


@torch.no_grad()
def restore_state(path: Path, network: Any, optimizer: torch.optim.Optimizer) -> None:
    """Set weights and moments to those at `path`.

    Raises:
        StudyError: the file cannot be read, or lacks a weight.
    """
    tensors, _ = _read(path)
    for name, weight in trained_parameters(network).items():
        if f"weight/{name}" not in tensors:
            raise StudyError(f"{path} lacks the weight {name}; delete it, and the training starts again.")
        weight.copy_(tensors[f"weight/{name}"])
    _set_moments(path, tensors, network, optimizer)


def _set_moments(path: Path, tensors: dict[str, Tensor], network: Any, optimizer: torch.optim.Optimizer) -> None:
    parameters = trained_parameters(network)
    names = {name.partition("/")[2] for name in tensors if name.startswith("exp_avg/")}
    if unknown := sorted(names - set(parameters)):
        raise StudyError(f"{path} has moments of {unknown[0]}, which the model does not train; name the model's own.")
    for name in names:
        weight, moments = parameters[name], {kind: tensors[f"{kind}/{name}"] for kind in MOMENTS}
        if moments["exp_avg"].shape != weight.shape:
            raise StudyError(f"{path} has moments of another shape for {name}; name the model's own.")
        optimizer.state[weight] = {kind: _placed_as(weight, moments[kind]) for kind in MOMENTS}


def _placed_as(weight: Tensor, tensor: Tensor) -> Tensor:
    """A moment on the device of its weight, and this process's shard of it if the weight is sharded."""
    moved = tensor.to(weight.device)
    if not isinstance(weight, DTensor) or not tensor.ndim:
        return moved
    return distribute_tensor(moved, weight.device_mesh, weight.placements, src_data_rank=None)


def _read(path: Path, *, only_facts: bool = False) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = [] if only_facts else list(file.keys())
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise StudyError(f"{path} cannot be read ({error}); delete it, or name another.") from error
