"""Lists the GPUs that a process may use, without CUDA, so that each worker can be given one of its own."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from itertools import pairwise

_ENTRY = re.compile(r"\(UUID: ((?:GPU|MIG)-[^)]+)\)")
_DRIVER_TIMEOUT = 30.0  # seconds for the driver to answer


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """The GPUs as CUDA_VISIBLE_DEVICES names them (numbers or UUIDs); [] if there are none or they cannot be listed."""
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    return _driver_gpus() if chosen is None else _chosen_gpus(chosen)


def gpu_of(position: int, gpus: list[str]) -> str | None:
    """The GPU of the worker at `position` (from 0), taken in turn; None if there are fewer than two to choose from."""
    return gpus[position % len(gpus)] if len(gpus) > 1 else None


def _chosen_gpus(text: str) -> list[str]:
    """The entries of CUDA_VISIBLE_DEVICES; as in CUDA, up to the first invalid one (-1, for instance)."""
    chosen: list[str] = []
    for entry in (part.strip() for part in text.split(",")):
        if not re.fullmatch(r"\d+|(GPU|MIG)-\S+", entry):
            break
        chosen.append(entry)
    return chosen


def _driver_gpus() -> list[str]:
    """The GPUs that `nvidia-smi -L` lists."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        listing = subprocess.run([program, "-L"], capture_output=True, text=True, check=False, timeout=_DRIVER_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return listed_gpus(listing.stdout) if listing.returncode == 0 else []


def listed_gpus(text: str) -> list[str]:
    """UUIDs in the output of `nvidia-smi -L`; for a GPU partitioned into instances (MIG), those of the instances."""
    uuids = _ENTRY.findall(text)
    partitioned = {uuid for uuid, following in pairwise(uuids) if following.startswith("MIG-")}
    return [uuid for uuid in uuids if uuid.startswith("MIG-") or uuid not in partitioned]
