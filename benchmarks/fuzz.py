"""Ten thousand damaged inputs, and what came of each: ``python -m benchmarks.fuzz [--count 10000] [--seed 0]``.

Run from the repository's root. Every reader of a corpus and the reader of study files gets its share of inputs, made
by one to three random edits of a small valid one (tests/fuzz). Allowed are rows that agree with a simple second reader,
or an error of one line; all else is a defect, printed with the number that makes it again (--only NAME:NUMBER). Work is
done in a process with 3 GiB of address space beyond its start, so that an allocation of what a damaged length says
fails, and a reader that takes the process with it is seen as well.
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
from tests.fuzz.mutations import drawn, mutated

ROOM_BYTES = 3 << 30
STUDY = "study file"
Job = tuple[str, int]


def examine(given: dict[str, inputs.Input], name: str, seed: int, number: int, folder: Path) -> str:
    """The outcome of input `number` of reader `name`."""
    draw = random.Random(f"{seed}/{name}/{number}")
    if name == STUDY:
        return outcome.of_study_file(mutated(outcome.STUDY.encode(), drawn(draw)), folder)
    source = given[name]
    touched = draw.choice(source.touched)
    inside = draw.random() < 0.5
    return outcome.of_corpus(source, source.damaged(touched, drawn(draw), inside=inside), folder)


def work(sender: Connection, given: dict[str, inputs.Input], jobs: list[Job], seed: int) -> None:
    """Send (outcome, traceback or "", seconds) of each job."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM_BYTES, resource.RLIM_INFINITY))
    for name, number in jobs:
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        start = time.perf_counter()
        try:
            found = (examine(given, name, seed, number, folder), "")
        except Exception as error:  # noqa: BLE001  that is what is looked for
            kind = type(error).__name__
            found = (f"DEFECT {kind}", traceback.format_exc())
        sender.send((*found, time.perf_counter() - start))
        shutil.rmtree(folder, ignore_errors=True)


def outcomes(given: dict[str, inputs.Input], jobs: list[Job], seed: int) -> Iterator[tuple[Job, str, str, float]]:
    """Of all jobs in their order; a worker that dies is a defect, and the next one goes on behind it."""
    while jobs:
        receiver, sender = multiprocessing.Pipe(duplex=False)
        worker = multiprocessing.get_context("fork").Process(target=work, args=(sender, given, jobs, seed))
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
    """Print a line a reader, and every defect."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one reader, or READER:NUMBER for one input")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        given = {found.name: found for found in inputs.inputs(Path(folder))}
    names = [*given, STUDY]
    jobs = [(names[at % len(names)], at // len(names)) for at in range(arguments.count)]
    if arguments.only:
        only, _, number = arguments.only.partition(":")
        jobs = [(only, int(number))] if number else [job for job in jobs if job[0] == only]
    return report(names, outcomes(given, jobs, arguments.seed))


def report(names: list[str], found: Iterator[tuple[Job, str, str, float]]) -> int:
    """The exit status: 1 if there is a defect."""
    counts: Counter[tuple[str, str]] = Counter()
    slowest: Counter[str] = Counter()
    for (name, number), result, details, seconds in found:
        counts[name, result] += 1
        slowest[name] = max(slowest[name], seconds)
        if details:
            print(f"{name}:{number}: {result}\n{details}", file=sys.stderr)
    results = sorted({result for _, result in counts})
    print(f"| reader | {' | '.join(results)} | slowest, s |\n|---|{'--:|' * (len(results) + 1)}")
    for name in [name for name in names if name in slowest]:
        print(f"| {name} | {' | '.join(str(counts[name, result]) for result in results)} | {slowest[name]:.2f} |")
    totals = [sum(counts[name, result] for name in names) for result in results]
    print(f"| all | {' | '.join(map(str, totals))} | {max(slowest.values()):.2f} |")
    return int(any(result.startswith("DEFECT") for result in results))


if __name__ == "__main__":
    sys.exit(main())
