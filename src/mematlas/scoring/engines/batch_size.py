"""`--batch auto`: how many rows fit into memory at a time, found by measuring a few made-up rows once.

What scoring takes is a constant (a piece of the logits) and so many bytes a row (its keys, values and states): the line
through two small batches says how many rows fit. A line drawn from so few rows may lie, so that a batch which should
take more than half of the room is tried before it is trusted. How much of the memory is used is our choice.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import torch

from mematlas.scoring.engines.memory import is_out_of_memory

#: Share of the free memory that a batch may take: the rest is left to fragments and to rows that recite.
SAFE: Final = 0.85
#: Rows in step at most. From 64 rows on a CPU's matrix products are near their best; for a GPU it is our choice.
MOST: Final = {"cpu": 128, "cuda": 4096}
_SMALL, _STEP = 8, 8
_RESET = "5"  # what Linux takes for "forget the highest resident size" (proc_pid_clear_refs(5))


class Meter(Protocol):
    """Memory of the device that scores, in bytes."""

    def free(self) -> int:
        """What may still be taken."""
        ...

    def peak(self, work: Callable[[], None]) -> int:
        """What `work` took at most, beyond what was taken before it."""
        ...


class CudaMeter:
    """Memory of the CUDA devices that hold something of this process, as torch's allocator counts it.

    With a device map there are several, of which the tightest decides: the least free, the most taken.
    """

    def __init__(self) -> None:
        devices = range(torch.cuda.device_count())
        self._devices = [device for device in devices if torch.cuda.memory_allocated(device)] or [0]

    def free(self) -> int:
        torch.cuda.empty_cache()  # else memory that torch holds without using it would count as taken
        return min(torch.cuda.mem_get_info(device)[0] for device in self._devices)

    def peak(self, work: Callable[[], None]) -> int:
        before = []
        for device in self._devices:
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            before.append(torch.cuda.memory_allocated(device))
        work()
        return max(torch.cuda.max_memory_allocated(at) - had for at, had in zip(self._devices, before, strict=True))


class ResidentMeter:
    """Resident memory of this process, as Linux counts it; its limit is the machine's or the control group's."""

    def __init__(self, proc: Path = Path("/proc"), group: Path = Path("/sys/fs/cgroup")) -> None:
        self._proc, self._group = proc, group

    def known(self) -> bool:
        """Whether this system lets the highest resident size be measured."""
        try:
            self._reset()
            return self._field("self/status", "VmHWM") > 0
        except (OSError, KeyError):
            return False

    def free(self) -> int:
        free = self._field("meminfo", "MemAvailable")
        try:
            limit = (self._group / "memory.max").read_text().strip()
            taken = int((self._group / "memory.current").read_text())
        except OSError:
            return free
        return free if limit == "max" else max(0, min(free, int(limit) - taken))

    def peak(self, work: Callable[[], None]) -> int:
        self._reset()
        before = self._field("self/status", "VmRSS")
        work()
        return max(0, self._field("self/status", "VmHWM") - before)

    def _reset(self) -> None:
        (self._proc / "self/clear_refs").write_text(_RESET)

    def _field(self, file: str, name: str) -> int:
        lines = dict(line.split(":", 1) for line in (self._proc / file).read_text().splitlines() if ":" in line)
        return int(lines[name].split()[0]) * 1024


def meter_of(device: torch.device) -> Meter | None:
    """How memory is measured on `device`; None where it cannot be."""
    if device.type == "cuda":
        return CudaMeter()
    resident = ResidentMeter()
    return resident if device.type == "cpu" and os.name == "posix" and resident.known() else None


def largest_batch(score: Callable[[int], None], meter: Meter, most: int) -> int:
    """The most rows that can be scored at a time, at most `most`; a multiple of 8 where it is less than that.

    Args:
        score: scores so many made-up rows in one batch, or raises what `is_out_of_memory` knows.
        meter: of the device that it runs on.
    """
    small, large = min(_SMALL, most), min(2 * _SMALL, most)
    if _peak(score, meter, 1) is None:  # and what the first batch alone takes (kernels, workspaces) is no row's
        return 1
    room = SAFE * meter.free()
    taken = [_peak(score, meter, rows) for rows in (small, large)]
    if taken[0] is None or taken[1] is None:
        return small if taken[0] is not None else max(1, small // 2)
    a_row = max(taken[1] - taken[0], 0) / max(large - small, 1)
    constant = taken[0] - a_row * small
    rows = most if not a_row else int(max(small, min(most, (room - constant) / a_row)))
    if constant + a_row * rows > room / 2:
        rows = _tried(score, meter, rows, room)
    return rows if rows in (most, small) else max(1, rows // _STEP * _STEP)


def _tried(score: Callable[[int], None], meter: Meter, rows: int, room: float) -> int:
    """`rows`, halved until they were seen to fit."""
    while rows > _SMALL:
        taken = _peak(score, meter, rows)
        if taken is not None and taken <= room:
            break
        rows //= 2
    return rows


def _peak(score: Callable[[int], None], meter: Meter, rows: int) -> int | None:
    """Bytes that so many rows take, None if more than there are."""
    try:
        return meter.peak(lambda: score(rows))
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    return None
