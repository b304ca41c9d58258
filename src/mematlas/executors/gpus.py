"""Which GPUs of this machine a process may use, told without CUDA, so that each worker can be given one of its own."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from itertools import pairwise

_ENTRY = re.compile(r"\(UUID: ((?:GPU|MIG)-[^)]+)\)")
_PATIENCE = 30.0  # seconds for the driver to answer


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """The GPUs as CUDA_VISIBLE_DEVICES names them, numbers or UUIDs; [] where there are none, or none can be told."""
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    return _listed() if chosen is None else _chosen(chosen)


def gpu_of(place: int, gpus: list[str]) -> str | None:
    """The GPU of the worker at `place`, from 0: in turn; None where there are not two to choose from."""
    return gpus[place % len(gpus)] if len(gpus) > 1 else None


def _chosen(text: str) -> list[str]:
    """The entries of CUDA_VISIBLE_DEVICES; as CUDA does, up to the first that is none (-1, for instance)."""
    found: list[str] = []
    for entry in (part.strip() for part in text.split(",")):
        if not re.fullmatch(r"\d+|(GPU|MIG)-\S+", entry):
            break
        found.append(entry)
    return found


def _listed() -> list[str]:
    """What `nvidia-smi -L` lists."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run([program, "-L"], capture_output=True, text=True, check=False, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return listed_gpus(done.stdout) if done.returncode == 0 else []


def listed_gpus(text: str) -> list[str]:
    """UUIDs in the output of `nvidia-smi -L`; of a GPU that is cut into instances (MIG), those of the instances."""
    found = _ENTRY.findall(text)
    cut = {one for one, after in pairwise(found) if after.startswith("MIG-")}
    return [one for one in found if one.startswith("MIG-") or one not in cut]
