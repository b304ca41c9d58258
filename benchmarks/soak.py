"""Kill runs at twenty random points and check their tables: ``python benchmarks/soak.py [--points 20] [--seed 0]``.

Each point starts a new study and kills one of its processes with SIGKILL (the driver, one of its worker processes, a
Ray worker, one of several `--shard i/n` processes) at a random time after its start or after a random number of
finished shards. It then runs the same command again, with a new random number of workers or n, until the study is
complete. The tables must equal those of one undisturbed process: keys, matches, verbatim and reason identical, margin
within 2e-4, no row duplicated or lost, also for a plain read of the Parquet folder. Shards that were finished at the
kill must not have been written again, and `mematlas verify` must find no fault. Needs /proc.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mematlas.cli.commands.study.slurm import option_words
from mematlas.errors import MematlasError
from mematlas.scoring.config import resolve_config
from mematlas.study import Study
from mematlas.verification.verify import verify
from rows import markdown_table

ROWS, KNOWN, WIDTH, VOCABULARY = 2400, 1000, 24, 50
KEYS = ["model", "row", "context", "continuation"]
EXACT = [*KEYS, "matches", "verbatim", "reason"]
MARGIN = 2e-4
LIMIT = 180.0  # seconds for one command
ATTEMPTS = 5  # random moments to try, if the command finishes before the kill


@dataclass(frozen=True)
class StudyCase:
    """The models and options of a study, the study that one undisturbed process writes, and the seconds it takes."""

    name: str
    models: tuple[str, ...]
    options: dict[str, object]
    undisturbed: Study
    seconds: float

    def command(self, study: Path, *more: str, workers: int = 1, executor: str = "local") -> list[str]:
        config = resolve_config(**self.options, study=study, workers=workers, executor=executor)
        return [sys.executable, "-m", "mematlas", "score", *self.models, *option_words(config), *more]

    @property
    def tasks(self) -> int:
        return len(self.models) * int(str(self.options["shards"]))


FinishedShards = dict[Path, int]


@dataclass(frozen=True)
class Kill:
    """What was killed, when, the shards that were finished at that time, and how many commands were run afterwards."""

    what: str
    when: str
    finished: FinishedShards
    commands: int


def study_cases(folder: Path) -> list[StudyCase]:
    """Stand-ins that recite some of the rows: without signals, with both signals, and two models in one run."""
    rows = np.random.default_rng(0).integers(0, VOCABULARY, (ROWS, WIDTH))
    rows[-ROWS // 8 :] = rows[: ROWS // 8]  # equal rows, in other shards
    np.save(folder / "rows.npy", rows)
    np.save(folder / "known.npy", rows[:KNOWN])
    parrot, ngram = f"parrot:{folder / 'known.npy'}", f"ngram:{folder / 'known.npy'}"
    cases: list[tuple[str, tuple[str, ...], dict[str, object]]] = [
        ("parrot", (parrot,), {"shards": 40}),
        ("ngram, both signals", (ngram,), {"shards": 24, "signals": ["free", "truth"]}),
        ("parrot and ngram, free", (parrot, ngram), {"shards": 20, "signals": ["free"]}),
    ]
    return [_study_case(folder, *case) for case in cases]


def _study_case(folder: Path, name: str, models: tuple[str, ...], options: dict[str, object]) -> StudyCase:
    grid = {"corpus": str(folder / "rows.npy"), "context": [8, 12], "continuation": [4, 12], "batch": 8}
    study = folder / f"undisturbed {name}"
    case = StudyCase(name, models, grid | options, Study(study), 0.0)
    start = time.monotonic()
    subprocess.run(case.command(study), check=True, capture_output=True, timeout=LIMIT)
    return replace(case, seconds=time.monotonic() - start)


def finished(study: Path) -> FinishedShards:
    """The finished shards of scores, and when they were written."""
    shards = study.glob("scores/*/*/shard-*.parquet")
    return {path: path.stat().st_mtime_ns for path in shards if path.with_suffix(".done").exists()}


def descendants(process: int) -> Iterator[int]:
    """Its children and their descendants, as /proc lists them now."""
    try:
        children = [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return
    for child in children:
        yield child
        yield from descendants(child)


def command_line(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@contextmanager
def run_commands(commands: list[list[str]]) -> Iterator[list[subprocess.Popen[str]]]:
    """Run commands side by side; at the end, they and all their descendants are killed."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    piped: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "env": environment}
    running: list[subprocess.Popen[str]] = [subprocess.Popen(words, **piped) for words in commands]
    try:
        yield running
    finally:
        for process in running:
            children = [*descendants(process.pid)]
            process.kill()
            process.wait()
            for child in children:
                _kill(child)


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def wait_for(running: list[subprocess.Popen[str]], killed: int | None = None) -> None:
    """Wait for the commands; all except the killed one must succeed."""
    for process in running:
        _, errors = process.communicate(timeout=LIMIT)
        succeeded = process.pid == killed or process.returncode == 0
        _assert(succeeded, f"a command failed with exit code {process.returncode}: {errors.strip()[-500:]}")


def random_moment(draw: random.Random, case: StudyCase, study: Path) -> tuple[str, Callable[[], bool]]:
    """A random moment (a time after the start, or a number of finished shards) in words, and whether it has come."""
    if draw.random() < 0.25:
        wait, start = draw.uniform(0.0, case.seconds), time.monotonic()
        return f"after {wait:.2f} s", lambda: time.monotonic() - start >= wait
    count = draw.randrange(case.tasks * 9 // 10)
    return f"at {count} finished shards", lambda: len(finished(study)) >= count


def kill_when(due: Callable[[], bool], victims: Callable[[], list[int]], alive: Callable[[], bool]) -> list[int] | None:
    """Kill the first victim as soon as it is due; returns its descendants, or None if the command finished before."""
    while alive():
        if due() and (processes := victims()):
            children = [*descendants(processes[0])]
            _kill(processes[0])
            return children
        time.sleep(0.002)
    return None


def kill_driver(draw: random.Random, case: StudyCase, study: Path) -> Kill | None:
    """Kill the driver: its workers must end with it; then the command is run again."""
    with run_commands([case.command(study, workers=draw.choice((1, 2)))]) as (driver,):
        when, due = random_moment(draw, case, study)
        children = kill_when(due, lambda: [driver.pid], lambda: driver.poll() is None)
        if children is None:
            return None
        shards = finished(study)
        wait_for([driver], driver.pid)
        deadline = time.monotonic() + 15
        while any(command_line(child) for child in children):
            _assert(time.monotonic() < deadline, "a worker outlived its driver by 15 s")
            time.sleep(0.01)
    with run_commands([case.command(study, workers=draw.choice((1, 2)))]) as restarted:
        wait_for(restarted)
    return Kill("driver", when, shards, 1)


def kill_worker(executor: str, mark: bytes, draw: random.Random, case: StudyCase, study: Path) -> Kill | None:
    """Kill one of two workers: the command must continue by itself."""
    with run_commands([case.command(study, workers=2, executor=executor)]) as (driver,):
        when, due = random_moment(draw, case, study)
        order = draw.choice((1, -1))  # kill the first or the last worker

        def workers() -> list[int]:
            return [child for child in descendants(driver.pid) if mark in command_line(child)][::order]

        if kill_when(due, workers, lambda: driver.poll() is None) is None:
            return None
        shards = finished(study)
        wait_for([driver])
    return Kill(f"{executor} worker", when, shards, 0)


def kill_slice(draw: random.Random, case: StudyCase, study: Path) -> Kill | None:
    """Kill one of n processes; then start processes for a new n, while the others may still be running."""
    n = draw.choice((2, 3))
    with run_commands([case.command(study, "--shard", f"{i}/{n}") for i in range(1, n + 1)]) as running:
        when, due = random_moment(draw, case, study)
        victim = draw.choice(running)
        if kill_when(due, lambda: [victim.pid], lambda: victim.poll() is None) is None:
            return None
        shards, new_n = finished(study), draw.choice((1, 2, 3))
        with run_commands([case.command(study, "--shard", f"{i}/{new_n}") for i in range(1, new_n + 1)]) as more:
            wait_for([*running, *more], victim.pid)
    return Kill(f"slice of {n}, then {new_n}", when, shards, new_n)


def check_same(case: StudyCase, study: Path, finished_at_kill: FinishedShards) -> float:
    """The largest difference of a margin; AssertionError if anything else differs from the undisturbed run."""
    restarted, undisturbed = Study(study), case.undisturbed
    actual, expected = restarted.scores().sort(KEYS), undisturbed.scores().sort(KEYS)
    _assert(actual.select(EXACT).equals(expected.select(EXACT)), "keys, matches, verbatim or reason differ")
    _assert(actual.select(KEYS).n_unique() == len(actual) == len(case.models) * ROWS * 4, "a row is lost or duplicated")
    plain = pl.read_parquet(study / "scores" / restarted.run().key / "*" / "*.parquet").sort(KEYS)
    _assert(plain.equals(actual), "a plain read of the Parquet folder gives something else")
    _assert(restarted.rows().equals(undisturbed.rows()), "rows differ")
    _assert(
        restarted.run().key == undisturbed.run().key == restarted.manifest().get("current"),
        "the run or its manifest differs",
    )
    for kind, recorded in (("free", "token"), ("truth", "hit")):
        if kind in restarted.run().settings["signals"]:
            lists = ["model", "row", "context", recorded]
            tables = [version.signals(kind).sort(KEYS).select(lists) for version in (restarted, undisturbed)]
            _assert(tables[0].equals(tables[1]), f"signals {kind} differ")
    _assert(
        all(finished(study).get(path) == written for path, written in finished_at_kill.items()),
        "a finished shard was rewritten",
    )
    verdict = verify(study, rows=20)
    _assert(verdict.is_sound and not verdict.unfinished and not verdict.unchecked, f"verify: {verdict.faults}")
    _assert(actual["margin"].is_finite().equals(expected["margin"].is_finite()), "margins are null in other cells")
    difference = float(np.nan_to_num(np.abs(actual["margin"].to_numpy() - expected["margin"].to_numpy())).max())
    _assert(difference <= MARGIN, f"margins differ by {difference:.1e}")
    return difference


def _assert(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


KILLERS: dict[str, Callable[[random.Random, StudyCase, Path], Kill | None]] = {
    "driver": kill_driver,
    "local worker": partial(kill_worker, "local", b"spawn_main"),
    "slice": kill_slice,
    "Ray worker": partial(kill_worker, "ray", b"ray::_Actor"),
}


def run_point(cases: list[StudyCase], number: int, seed: int, folder: Path) -> tuple[list[object], bool]:
    """The table row of point `number`, and whether all checks passed."""
    kinds = [kind for kind in KILLERS if kind != "Ray worker" or find_spec("ray") is not None]
    kind, start = kinds[number % len(kinds)], time.monotonic()
    try:
        for attempt in range(ATTEMPTS):
            draw = random.Random(f"{seed}/{number}/{attempt}")
            case, study = draw.choice(cases), folder / f"point-{number}-{attempt}"
            if (kill := KILLERS[kind](draw, case, study)) is not None:
                break
        else:
            raise AssertionError(f"{ATTEMPTS} commands finished before they could be killed")
        difference = check_same(case, study, kill.finished)
    except (AssertionError, MematlasError, subprocess.TimeoutExpired) as error:
        return [number, kind, "", "", "", "", f"DIFFERENT: {error}", ""], False
    cells = [number, kill.what, case.name, kill.when, f"{len(kill.finished)} of {case.tasks}", kill.commands]
    return [*cells, f"same, {difference:.0e}", f"{time.monotonic() - start:.1f}"], True


def main() -> int:
    """Print one line per point, then the table; the exit status is 1 if the tables of a point differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="folder for the studies; default: the system's temporary folder")
    arguments = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(dir=arguments.work) as name:
        cases = study_cases(Path(name))
        for number in range(arguments.points):
            results.append(run_point(cases, number, arguments.seed, Path(name)))
            print(*results[-1][0], sep="; ", flush=True)
    header = ["point", "killed", "case", "when", "shards then", "commands after", "tables, margin difference", "s"]
    print(f"\n{markdown_table(header, [row for row, _ in results])}")
    return int(not all(passed for _, passed in results))


if __name__ == "__main__":
    sys.exit(main())
