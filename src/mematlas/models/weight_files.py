"""The files of a model folder, read without loading a weight: configuration, weights, training step, fingerprint."""

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any, Final

from mematlas.errors import ModelError

_PICKLED: Final = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_STEP_NAME: Final = re.compile(r"(?:^|[-_/@])(?:step|checkpoint|global_step)[-_]?(\d+)$")


def digest_files(paths: list[Path], *, first: str = "") -> str:
    """A blake2b hash of the names and contents of `paths`, in their order."""
    digest = hashlib.blake2b(first.encode(), digest_size=16)
    for path in paths:
        digest.update(f"{path.name}:{path.stat().st_size};".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`, {} if there is no such file."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON ({error}); fetch or save the model again.") from None
    return value if isinstance(value, dict) else {}


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of `folder`.

    Raises:
        ModelError: there are none, they are pickled, or a file that the index names is missing.
    """
    index = read_json(folder / "model.safetensors.index.json")
    names = sorted(set(index.get("weight_map", {}).values()))
    paths = [folder / name for name in names] or sorted(folder.glob("*.safetensors"))
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise ModelError(f"{folder} lacks {missing[0]}, which its index names; fetch the model again.")
    if not paths:
        if any((folder / name).is_file() for name in _PICKLED):
            raise ModelError(
                f"{folder} contains only pickled weights; mematlas reads safetensors. "
                "Load it once with transformers and save it with save_pretrained."
            )
        raise ModelError(f"{folder} contains no *.safetensors weights; give a folder made by save_pretrained.")
    return paths


def count_parameters(paths: list[Path]) -> int:
    """Number of weights in safetensors files, from their headers alone.

    Raises:
        ModelError: a file is truncated.
    """
    return sum(math.prod(shape) for path in paths for shape in tensor_shapes(path).values())


def tensor_shapes(path: Path) -> dict[str, list[int]]:
    """The shape of each tensor in a safetensors file, from its header alone.

    Raises:
        ModelError: the file is truncated.
    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > path.stat().st_size - 8:
            raise ModelError(f"{path} is truncated: its header says {size:,} bytes; fetch the model again.")
        header = json.loads(file.read(size))
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    end = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    if 8 + size + end > path.stat().st_size:
        raise ModelError(
            f"{path} is truncated: {path.stat().st_size:,} bytes of {8 + size + end:,}; fetch the model again."
        )
    return {name: entry["shape"] for name, entry in tensors.items()}


def training_step(folder: Path, spec: str) -> int | None:
    """Optimizer steps of a checkpoint: from mematlas.json, trainer_state.json, or a name such as step1000."""
    for name, key in (("mematlas.json", "training_step"), ("trainer_state.json", "global_step")):
        step = read_json(folder / name).get(key)
        if isinstance(step, int):
            return step
    return step_of_name(spec)


def step_of_name(name: str) -> int | None:
    """The step that a name ends with, such as 1000 for step1000, checkpoint-1000 or global_step1000."""
    match = _STEP_NAME.search(name.rstrip("/"))
    return int(match[1]) if match else None
