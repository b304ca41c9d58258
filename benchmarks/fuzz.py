"""Read ten thousand damaged inputs: ``python -m benchmarks.fuzz [--count 10000] [--seed 0]``.

Run it from the repository's root. The inputs are divided among all corpus readers and the reader of study files; each
is made by one to three random edits of a small valid input (tests/fuzz). A reader must return rows that agree with a
simple second reader, or an error of one line. Everything else is a defect, which is printed with the number that
reproduces it (--only NAME:NUMBER). The readers run in a process with 3 GiB of additional address space, so that
allocating a damaged length fails; a reader that crashes the process is detected as well.
"""

import argparse
import multiprocessing
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz import inputs, outcome
from tests.fuzz.mutations import apply_edits, draw_edits

ADDRESS_SPACE_BYTES = 3 << 30
STUDY = "study file"
Job = tuple[str, int]


def examine(sources: dict[str, inputs.Input], name: str, seed: int, number: int, folder: Path) -> str:
    """The outcome of input `number` of reader `name`."""
    rng = random.Random(f"{seed}/{name}/{number}")
    if name == STUDY:
        return outcome.study_file_outcome(apply_edits(outcome.STUDY.encode(), draw_edits(rng)), folder)
    source = sources[name]
    file = rng.choice(source.mutable_files)
    inside = rng.random() < 0.5
    return outcome.corpus_outcome(source, source.damage(file, draw_edits(rng), inside=inside), folder)


def run_jobs(sender: Connection, sources: dict[str, inputs.Input], jobs: list[Job], seed: int) -> None:
    """Send (outcome, traceback or "", seconds) of each job."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_SPACE_BYTES, resource.RLIM_INFINITY))
    for name, number in jobs:
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        start = time.perf_counter()
        try:
            result = (examine(sources, name, seed, number, folder), "")
        except Exception as error:  # noqa: BLE001  unexpected exceptions are the defects to find
            result = (f"DEFECT {type(error).__name__}", traceback.format_exc())
        sender.send((*result, time.perf_counter() - start))
        shutil.rmtree(folder, ignore_errors=True)


def outcomes(sources: dict[str, inputs.Input], jobs: list[Job], seed: int) -> Iterator[tuple[Job, str, str, float]]:
    """The outcomes of all jobs in order; a worker that dies is a defect, and a new one continues with the next job."""
    while jobs:
        receiver, sender = multiprocessing.Pipe(duplex=False)
        worker = multiprocessing.get_context("fork").Process(target=run_jobs, args=(sender, sources, jobs, seed))
        worker.start()
        sender.close()
        done = 0
        try:
            for job in jobs:
                yield job, *receiver.recv()
                done += 1
        except EOFError:
            worker.join()
            yield jobs[done], "DEFECT process died", f"exit code {worker.exitcode}", 0.0
            done += 1
        worker.join()
        jobs = jobs[done:]


def main() -> int:
    """Print one line per reader, and every defect."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one reader, or READER:NUMBER for one input")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sources = {source.name: source for source in inputs.inputs(Path(folder))}
    names = [*sources, STUDY]
    jobs = [(names[i % len(names)], i // len(names)) for i in range(arguments.count)]
    if arguments.only:
        only, _, number = arguments.only.partition(":")
        jobs = [(only, int(number))] if number else [job for job in jobs if job[0] == only]
    return report(names, outcomes(sources, jobs, arguments.seed))


def report(names: list[str], results: Iterator[tuple[Job, str, str, float]]) -> int:
    """Print the table of results; returns the exit status: 1 if there is a defect."""
    counts: Counter[tuple[str, str]] = Counter()
    slowest: Counter[str] = Counter()
    for (name, number), result, details, seconds in results:
        counts[name, result] += 1
        slowest[name] = max(slowest[name], seconds)
        if details:
            print(f"{name}:{number}: {result}\n{details}", file=sys.stderr)
    columns = sorted({result for _, result in counts})
    print(f"| reader | {' | '.join(columns)} | slowest, s |\n|---|{'--:|' * (len(columns) + 1)}")
    for name in [name for name in names if name in slowest]:
        print(f"| {name} | {' | '.join(str(counts[name, result]) for result in columns)} | {slowest[name]:.2f} |")
    totals = [sum(counts[name, result] for name in names) for result in columns]
    print(f"| all | {' | '.join(map(str, totals))} | {max(slowest.values()):.2f} |")
    return int(any(result.startswith("DEFECT") for result in columns))


if __name__ == "__main__":
    sys.exit(main())
