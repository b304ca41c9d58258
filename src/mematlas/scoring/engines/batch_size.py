"""`--batch auto`: how many rows fit into memory at a time, found by measuring a few random rows once.

Scoring takes a constant (a chunk of the logits) plus a number of bytes per row (its keys, values and states): a line
through two small batches gives the number of rows that fit. Such a line may be wrong, so a batch that should take more
than half of the available memory is tried first. How much of the memory is used is our choice.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import torch

from mematlas.executors.allocation import return_freed_memory
from mematlas.scoring.engines.memory import is_out_of_memory

#: Share of the free memory that a batch may take; the rest is for fragmentation and for rows that recite.
SAFE_SHARE: Final = 0.85
#: The most rows per batch. From 64 rows on, matrix products on a CPU are near their best; for a GPU it is our choice.
MAX_ROWS: Final = {"cpu": 128, "cuda": 4096}
_PROBE_ROWS, _MULTIPLE = 8, 8
_RESET_PEAK = "5"  # resets the peak resident size on Linux (proc_pid_clear_refs(5))


class MemoryMeter(Protocol):
    """Memory of the device that scores, in bytes."""

    def free(self) -> int:
        """Free memory."""
        ...

    def peak(self, function: Callable[[], None]) -> int:
        """The most memory in use during `function()`, beyond what was in use before."""
        ...


class CudaMeter:
    """Memory of the CUDA devices that this process uses, as torch's allocator counts it.

    With a device map there are several; the fullest one counts: least free memory, highest peak.
    """

    def __init__(self) -> None:
        devices = range(torch.cuda.device_count())
        self._devices = [device for device in devices if torch.cuda.memory_allocated(device)] or [0]

    def free(self) -> int:
        torch.cuda.empty_cache()  # otherwise memory that torch has cached would not count as free
        return min(torch.cuda.mem_get_info(device)[0] for device in self._devices)

    def peak(self, function: Callable[[], None]) -> int:
        before = []
        for device in self._devices:
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            before.append(torch.cuda.memory_allocated(device))
        function()
        peaks = [torch.cuda.max_memory_allocated(device) for device in self._devices]
        return max(after - start for after, start in zip(peaks, before, strict=True))


class ResidentMeter:
    """Resident memory of this process, as Linux counts it; limited by the machine or by its control group."""

    def __init__(self, proc: Path = Path("/proc"), group: Path = Path("/sys/fs/cgroup")) -> None:
        self._proc, self._group = proc, group

    def is_available(self) -> bool:
        """Whether this system can measure the peak resident size."""
        try:
            self._reset()
            return self._field("self/status", "VmHWM") > 0
        except (OSError, KeyError):
            return False

    def free(self) -> int:
        free = self._field("meminfo", "MemAvailable")
        try:
            limit = (self._group / "memory.max").read_text().strip()
            used = int((self._group / "memory.current").read_text())
        except OSError:
            return free
        return free if limit == "max" else max(0, min(free, int(limit) - used))

    def peak(self, function: Callable[[], None]) -> int:
        return_freed_memory()
        self._reset()
        before = self._field("self/status", "VmRSS")
        function()
        return max(0, self._field("self/status", "VmHWM") - before)

    def _reset(self) -> None:
        (self._proc / "self/clear_refs").write_text(_RESET_PEAK)

    def _field(self, file: str, name: str) -> int:
        fields = dict(line.split(":", 1) for line in (self._proc / file).read_text().splitlines() if ":" in line)
        return int(fields[name].split()[0]) * 1024


def memory_meter(device: torch.device) -> MemoryMeter | None:
    """The memory meter of `device`; None if its memory cannot be measured."""
    if device.type == "cuda":
        return CudaMeter()
    resident = ResidentMeter()
    return resident if device.type == "cpu" and os.name == "posix" and resident.is_available() else None


def largest_batch(score: Callable[[int], None], meter: MemoryMeter, max_rows: int) -> int:
    """The most rows that can be scored at a time, at most `max_rows`; a multiple of 8 if it is less than that.

    Args:
        score: scores the given number of random rows in one batch, or raises an error that `is_out_of_memory` accepts.
        meter: measures the memory of the device that `score` runs on.
    """
    small, large = min(_PROBE_ROWS, max_rows), min(2 * _PROBE_ROWS, max_rows)
    # measured once before, since the first batch also loads kernels and workspaces, which later rows share
    if _peak_bytes(score, meter, 1) is None:
        return 1
    available = SAFE_SHARE * meter.free()
    peaks = [_peak_bytes(score, meter, rows) for rows in (small, large)]
    if peaks[0] is None or peaks[1] is None:
        return small if peaks[0] is not None else max(1, small // 2)
    per_row = max(peaks[1] - peaks[0], 0) / max(large - small, 1)
    constant = peaks[0] - per_row * small
    rows = max_rows if not per_row else int(max(small, min(max_rows, (available - constant) / per_row)))
    if constant + per_row * rows > available / 2:
        rows = _halve_until_it_fits(score, meter, rows, available)
    return rows if rows in (max_rows, small) else max(1, rows // _MULTIPLE * _MULTIPLE)


def _halve_until_it_fits(score: Callable[[int], None], meter: MemoryMeter, rows: int, available: float) -> int:
    """`rows`, halved until a trial batch fits into `available` bytes."""
    while rows > _PROBE_ROWS:
        peak = _peak_bytes(score, meter, rows)
        if peak is not None and peak <= available:
            break
        rows //= 2
    return rows


def _peak_bytes(score: Callable[[int], None], meter: MemoryMeter, rows: int) -> int | None:
    """Bytes that scoring this number of rows takes; None if memory runs out."""
    try:
        return meter.peak(lambda: score(rows))
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    return None
