"""Driver memory and rows per second if the model costs nothing: ``python benchmarks/scheduling.py [--rows N ...]``.

A sparse file of uint16 tokens represents a corpus of any size; the number of shards is that of `mematlas score`. Each
mode runs in a new process, which coordinates workers of `LocalExecutor`: workers that return immediately
("scheduling"), workers that read the rows of their shard ("reading and scheduling"), and `mematlas score` itself with a
stand-in model of two tokens ("scoring"; all rows of a sparse file are equal, and equal rows of a shard are scored once,
so only reading, finding equal rows and writing tables remain). Memory is the peak resident size (VmHWM of /proc).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import mematlas
from mematlas.executors.base import WorkerPool
from mematlas.executors.local import LocalExecutor
from mematlas.progress import Silent
from mematlas.scoring.config import resolve_config
from mematlas.scoring.job import resolve_job
from mematlas.scoring.job_spec import JobSpec, from_spec, to_spec
from mematlas.scoring.worker import ShardTask
from rows import markdown_table

MODES = ("scheduling", "reading and scheduling", "scoring")
MEMORY = ("before", "peak", "worker_peak")
CPU = ("driver_cpu", "worker_cpu")
TARGET = 200_000  # rows per second of reading and scheduling


@dataclass(frozen=True)
class ShardReading:
    """The result of one shard. sum: of the tokens read; peak: peak resident bytes of the worker process so far; cpu:
    its CPU seconds so far."""

    rows: int
    sum: int
    peak: int
    process: int
    cpu: float


def resident_memory() -> tuple[int, int]:
    """Current and peak resident bytes of this process."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    current, peak = (int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return current, peak


def _shard_reading(rows: int, total: int) -> ShardReading:
    return ShardReading(rows, total, resident_memory()[1], os.getpid(), time.process_time())


def make_idle_worker(spec: JobSpec, threads: int) -> Callable[[ShardTask], ShardReading]:
    """A worker that returns immediately, so that only the executor takes time."""
    plan = from_spec(spec).plan
    return lambda task: _shard_reading(plan.size(task.index), 0)


def make_reading_worker(spec: JobSpec, threads: int) -> Callable[[ShardTask], ShardReading]:
    """A worker that only reads the tokens of its shard."""
    plan, width = from_spec(spec).plan, spec.options.grid.width

    def work(task: ShardTask) -> ShardReading:
        tokens, ids = plan.read(task.index, width)
        return _shard_reading(len(ids), int(tokens.ids.sum()))

    return work


def rows_per_second(events: list[tuple[float, int]]) -> float:
    """Rows per second in the second half of the events (time, rows), so that the start of workers does not count."""
    second_half = events[len(events) // 2 :]
    return sum(rows for _, rows in second_half[1:]) / (second_half[-1][0] - second_half[0][0])


def run_executor(mode: str, options: dict[str, Any], workers: int) -> dict[str, float]:
    """One mode, with this process as the driver: shards, rows per second, peak memory of the workers, CPU seconds."""
    job = resolve_job(["uniform:2"], resolve_config(**options))
    (label,), count = job.sources, job.run.shards
    tasks = [ShardTask(label, index, count) for index in range(count)]
    events: list[tuple[float, float, ShardReading]] = []
    make_worker = make_reading_worker if mode == "reading and scheduling" else make_idle_worker
    LocalExecutor(WorkerPool(workers)).run(
        partial(make_worker, to_spec(job)),
        tasks,
        lambda result: events.append((time.monotonic(), time.process_time(), result)),
        print,
    )
    results = [result for *_, result in events]
    assert sum(result.rows for result in results) == job.plan.total
    rows = sum(result.rows for result in results[1:])
    return {
        "shards": count,
        "rows_per_second": rows_per_second([(when, result.rows) for when, _, result in events]),
        "worker_peak": max(result.peak for result in results),
        "driver_cpu": (events[-1][1] - events[0][1]) / rows,
        "worker_cpu": worker_cpu_per_row(results),
    }


def worker_cpu_per_row(results: list[ShardReading]) -> float:
    """CPU seconds per row of all workers, each from its first to its last result."""
    rows, seconds, previous = 0, 0.0, dict[int, float]()
    for result in results:
        if result.process in previous:
            rows += result.rows
            seconds += result.cpu - previous[result.process]
        previous[result.process] = result.cpu
    return seconds / rows


class Clock(Silent):
    """Records when rows are finished."""

    def __init__(self) -> None:
        self.events: list[tuple[float, int]] = []

    def advance(self, rows: int) -> None:
        self.events.append((time.monotonic(), rows))


def score(options: dict[str, Any], workers: int) -> dict[str, float]:
    """`mematlas.score` itself, measured as in `run_executor`."""
    clock = Clock()
    study = mematlas.score("uniform:2", progress=clock, workers=workers, **options)
    return {"shards": study.run().shards, "rows_per_second": rows_per_second(clock.events)}


def run_child(mode: str, options: dict[str, Any], workers: int) -> None:
    """Print the measurements of one mode as JSON."""
    resolve_config(**options)
    from mematlas.scoring import shards  # noqa: F401  imported before memory is measured, as in every driver

    before, start = resident_memory()[0], time.monotonic()
    result = score(options, workers) if mode == "scoring" else run_executor(mode, options, workers)
    print(json.dumps(result | {"seconds": time.monotonic() - start, "before": before, "peak": resident_memory()[1]}))


def measure(mode: str, rows: int, arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    """One mode with `rows` rows, in a new process."""
    corpus = folder / f"{rows}.bin"
    with corpus.open("wb") as file:
        file.truncate(rows * arguments.row_length * 2)
    options: dict[str, Any] = {"corpus": str(corpus), "format": "memmap", "row_length": arguments.row_length}
    options |= {"token_dtype": "uint16", "depth": "verbatim", "study": str(folder / f"{mode} {rows}")}
    words = [sys.executable, __file__, "--child", json.dumps([mode, options, arguments.workers])]
    completed = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(completed.stdout.splitlines()[-1]))


def table_row(mode: str, rows: int, result: dict[str, float]) -> list[object]:
    """The measurements as cells of the table."""
    cells: list[object] = [mode, f"{rows:,}", int(result["shards"])]
    cells += [f"{result[name] / 1e6:.0f}" if name in result else "not measured" for name in MEMORY]
    cells += [f"{result['rows_per_second']:,.0f}", f"{result['seconds']:.1f}"]
    return cells + [f"{result[name] * 1e6:.2f}" if name in result else "not measured" for name in CPU]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000, 10_000_000])
    parser.add_argument("--ways", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--row-length", type=int, default=2049)
    parser.add_argument(
        "--workers", type=int, default=2, help="at least two, so that the driver itself does not work on tasks"
    )
    parser.add_argument("--work", type=Path, help="a folder on a file system that supports sparse files")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        run_child(*json.loads(arguments.child))
        return
    if min(arguments.rows) < 10_000:
        parser.error(f"--rows {min(arguments.rows)}: too few shards to measure a rate; give at least 10,000")
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load} at the start; rows of {arguments.row_length} tokens, 64 of them read\n")
    table, header = [], ["mode", "rows", "shards", "driver before, MB", "driver peak, MB", "worker peak, MB"]
    with tempfile.TemporaryDirectory(dir=arguments.work) as name:
        for mode, rows in product(arguments.ways, arguments.rows):
            table.append(table_row(mode, rows, measure(mode, rows, arguments, Path(name))))
            print(*table[-1], sep="; ", flush=True)
    header += [f"rows/s in the second half (target: {TARGET:,})", "seconds in total"]
    print(f"\n{markdown_table([*header, 'CPU us per row: driver', 'workers'], table)}")


if __name__ == "__main__":
    main()
