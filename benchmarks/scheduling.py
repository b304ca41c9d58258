"""Driver memory and rows a second where the model costs nothing: ``python benchmarks/scheduling.py [--rows N ...]``.

A sparse file of uint16 tokens stands for a corpus of any size; shards are as many as `mematlas score` makes. Three
ways, each in a fresh process that drives workers of `LocalExecutor`: workers that answer at once ("scheduling"), that
read their shard's rows as a scorer does ("reading and scheduling"), and `mematlas score` itself with a stand-in of two
tokens ("scoring"; rows of a sparse file are all equal, and equal rows of a shard are scored once, so that what is left
is reading, finding equal rows, and writing tables). Memory is the highest resident size (VmHWM of /proc).
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

from rows import markdown

import mematlas
from mematlas.executors.base import WorkerPool
from mematlas.executors.local import LocalExecutor
from mematlas.progress import Silent
from mematlas.scoring.config import resolve_config
from mematlas.scoring.job import resolve_job
from mematlas.scoring.job_spec import JobSpec, from_spec, to_spec
from mematlas.scoring.worker import ShardTask

WAYS = ("scheduling", "reading and scheduling", "scoring")
MEMORY = ("before", "peak", "worker_peak")
CPU = ("driver_cpu", "worker_cpu")
WANTED = 200_000  # rows a second of reading and scheduling


@dataclass(frozen=True)
class Read:
    """What a worker tells of its shard. sum: of the tokens read; peak: resident bytes of its process so far; cpu: its
    seconds of CPU so far."""

    rows: int
    sum: int
    peak: int
    process: int
    cpu: float


def resident() -> tuple[int, int]:
    """Resident bytes of this process now, and the most that there were."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    now, most = (int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


def _read(rows: int, total: int) -> Read:
    return Read(rows, total, resident()[1], os.getpid(), time.process_time())


def make_idler(errand: JobSpec, threads: int) -> Callable[[ShardTask], Read]:
    """Answers at once: what is left is the executor."""
    plan = from_spec(errand).plan
    return lambda task: _read(plan.size(task.index), 0)


def make_reader(errand: JobSpec, threads: int) -> Callable[[ShardTask], Read]:
    """Reads the tokens of its shard, and no more."""
    plan, width = from_spec(errand).plan, errand.options.grid.width

    def work(task: ShardTask) -> Read:
        tokens, ids = plan.read(task.index, width)
        return _read(len(ids), int(tokens.ids.sum()))

    return work


def rate(heard: list[tuple[float, int]]) -> float:
    """Rows a second in the second half of what was heard (when, rows), so that no worker's start counts."""
    half = heard[len(heard) // 2 :]
    return sum(rows for _, rows in half[1:]) / (half[-1][0] - half[0][0])


def drive(way: str, options: dict[str, Any], workers: int) -> dict[str, float]:
    """One way, in this process as the driver: shards, rows a second, the workers' peak."""
    question = resolve_job(["uniform:2"], resolve_config(**options))
    (label,), count = question.sources, question.run.shards
    tasks = [ShardTask(label, index, count) for index in range(count)]
    heard: list[tuple[float, float, Read]] = []
    make = make_reader if way == "reading and scheduling" else make_idler
    LocalExecutor(WorkerPool(workers)).run(
        partial(make, to_spec(question)),
        tasks,
        lambda read: heard.append((time.monotonic(), time.process_time(), read)),
        print,
    )
    assert sum(read.rows for *_, read in heard) == question.plan.total
    rows = sum(read.rows for *_, read in heard[1:])
    return {
        "shards": count,
        "rows_per_second": rate([(when, read.rows) for when, _, read in heard]),
        "worker_peak": max(read.peak for *_, read in heard),
        "driver_cpu": (heard[-1][1] - heard[0][1]) / rows,
        "worker_cpu": cpu_of([read for *_, read in heard]),
    }


def cpu_of(reads: list[Read]) -> float:
    """CPU seconds a row of all workers, each from its first answer to its last."""
    rows, seconds, before = 0, 0.0, dict[int, float]()
    for read in reads:
        if read.process in before:
            rows += read.rows
            seconds += read.cpu - before[read.process]
        before[read.process] = read.cpu
    return seconds / rows


class Clock(Silent):
    """Hears of finished rows, and when."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, int]] = []

    def advance(self, rows: int) -> None:
        self.heard.append((time.monotonic(), rows))


def score(options: dict[str, Any], workers: int) -> dict[str, float]:
    """`mematlas.score` as it is, counted as in `drive`."""
    clock = Clock()
    study = mematlas.score("uniform:2", progress=clock, workers=workers, **options)
    return {"shards": study.run().shards, "rows_per_second": rate(clock.heard)}


def child(way: str, options: dict[str, Any], workers: int) -> None:
    """Print the measures of one way as JSON."""
    resolve_config(**options)
    from mematlas.scoring import shards  # noqa: F401  what every driver imports, before its memory is taken

    before, began = resident()[0], time.monotonic()
    found = score(options, workers) if way == "scoring" else drive(way, options, workers)
    print(json.dumps(found | {"seconds": time.monotonic() - began, "before": before, "peak": resident()[1]}))


def measured(way: str, rows: int, given: argparse.Namespace, folder: Path) -> dict[str, float]:
    """One way over `rows` rows, in a fresh process."""
    corpus = folder / f"{rows}.bin"
    with corpus.open("wb") as file:
        file.truncate(rows * given.row_length * 2)
    options: dict[str, Any] = {"corpus": str(corpus), "format": "memmap", "row_length": given.row_length}
    options |= {"token_dtype": "uint16", "depth": "verbatim", "study": str(folder / f"{way} {rows}")}
    words = [sys.executable, __file__, "--child", json.dumps([way, options, given.workers])]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def line(way: str, rows: int, found: dict[str, float]) -> list[object]:
    """The measures as cells of the table."""
    cells: list[object] = [way, f"{rows:,}", int(found["shards"])]
    cells += [f"{found[name] / 1e6:.0f}" if name in found else "not measured" for name in MEMORY]
    cells += [f"{found['rows_per_second']:,.0f}", f"{found['seconds']:.1f}"]
    return cells + [f"{found[name] * 1e6:.2f}" if name in found else "not measured" for name in CPU]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000, 10_000_000])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--row-length", type=int, default=2049)
    parser.add_argument("--workers", type=int, default=2, help="at least two, so that the driver only drives")
    parser.add_argument("--work", type=Path, help="a folder on a file system that knows sparse files")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(*json.loads(given.child))
        return
    if min(given.rows) < 10_000:
        parser.error(f"--rows {min(given.rows)}: too few shards for a rate; give at least 10,000")
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load} at the start; rows of {given.row_length} tokens, 64 read\n")
    lines, head = [], ["way", "rows", "shards", "driver before, MB", "driver peak, MB", "worker peak, MB"]
    with tempfile.TemporaryDirectory(dir=given.work) as name:
        for way, rows in product(given.ways, given.rows):
            lines.append(line(way, rows, measured(way, rows, given, Path(name))))
            print(*lines[-1], sep="; ", flush=True)
    head += [f"rows/s in the second half (wanted: {WANTED:,})", "s in all"]
    print(f"\n{markdown([*head, 'CPU us a row: driver', 'workers'], lines)}")


if __name__ == "__main__":
    main()
