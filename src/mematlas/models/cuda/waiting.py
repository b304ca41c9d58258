"""How seldom the host waits for a device: values are read every few steps, and arrays are sent from pinned memory.

A program queues work on a GPU ahead of time; reading one value stops it until all of that work is done, and then the
device idles until new work is queued. On a CPU nothing is queued, so reading costs nothing.
"""

from typing import Final

import torch
from torch import Tensor

#: Steps between two reads of which rows go on; our choice: at most seven steps more for rows that have ended.
_STEPS_BETWEEN_READS: Final = 8


def steps_between_reads(device: torch.device) -> int:
    """After how many steps the host reads which rows go on: 1 on a CPU, where dropping the others at once is a gain."""
    return 1 if device.type == "cpu" else _STEPS_BETWEEN_READS


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """`values` of the host's memory on the device; for CUDA through pinned memory, so that nothing is waited for."""
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
