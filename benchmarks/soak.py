"""Twenty random kill points, and the tables that came of each: ``python benchmarks/soak.py [--points 20] [--seed 0]``.

Each point begins a study afresh, kills one of its processes with SIGKILL (the driver, one of its worker processes, a
Ray worker, one of several `--shard i/n` processes) at a random moment after its start or after a random number of
finished shards, and gives the same command again, with workers or an n drawn anew, until all is there. The tables must
be those of one undisturbed process: keys, matches, verbatim and reason identical, margin within 2e-4, no row twice and
none lost, also for a plain read of the Parquet folder; what was finished at the kill must not have been written again;
`mematlas verify` must find nothing. Needs /proc.
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
from rows import markdown

from mematlas.cli.commands.slurm import option_words
from mematlas.errors import MematlasError
from mematlas.scoring.config import resolve_config
from mematlas.study import Study
from mematlas.verification.verify import verify

ROWS, KNOWN, WIDTH, VOCABULARY = 2400, 1000, 24, 50
KEYS = ["model", "row", "context", "continuation"]
EXACT = [*KEYS, "matches", "verbatim", "reason"]
MARGIN = 2e-4
LIMIT = 180.0  # seconds for one command
ATTEMPTS = 5  # draws of a moment, where the command was done before it came


@dataclass(frozen=True)
class Question:
    """A study's question, what one undisturbed process says to it, and the seconds it takes."""

    name: str
    models: tuple[str, ...]
    options: dict[str, object]
    whole: Study
    seconds: float

    def command(self, study: Path, *more: str, workers: int = 1, executor: str = "local") -> list[str]:
        given = resolve_config(**self.options, study=study, workers=workers, executor=executor)
        return [sys.executable, "-m", "mematlas", "score", *self.models, *option_words(given), *more]

    @property
    def tasks(self) -> int:
        return len(self.models) * int(str(self.options["shards"]))


Finished = dict[Path, int]


@dataclass(frozen=True)
class Kill:
    """What was killed, when, the shards that were finished then, and how many commands came after."""

    what: str
    when: str
    kept: Finished
    commands: int


def questions(folder: Path) -> list[Question]:
    """Stand-ins over rows of which they know some: without signals, with both, and two models in one run."""
    rows = np.random.default_rng(0).integers(0, VOCABULARY, (ROWS, WIDTH))
    rows[-ROWS // 8 :] = rows[: ROWS // 8]  # equal rows, in other shards
    np.save(folder / "rows.npy", rows)
    np.save(folder / "known.npy", rows[:KNOWN])
    parrot, ngram = f"parrot:{folder / 'known.npy'}", f"ngram:{folder / 'known.npy'}"
    asked: list[tuple[str, tuple[str, ...], dict[str, object]]] = [
        ("parrot", (parrot,), {"shards": 40}),
        ("ngram, both signals", (ngram,), {"shards": 24, "signals": ["free", "truth"]}),
        ("parrot and ngram, free", (parrot, ngram), {"shards": 20, "signals": ["free"]}),
    ]
    return [_asked(folder, *question) for question in asked]


def _asked(folder: Path, name: str, models: tuple[str, ...], options: dict[str, object]) -> Question:
    grid = {"corpus": str(folder / "rows.npy"), "context": [8, 12], "continuation": [4, 12], "batch": 8}
    study = folder / f"whole {name}"
    question = Question(name, models, grid | options, Study(study), 0.0)
    began = time.monotonic()
    subprocess.run(question.command(study), check=True, capture_output=True, timeout=LIMIT)
    return replace(question, seconds=time.monotonic() - began)


def finished(study: Path) -> Finished:
    """The scores' shards that are there, and when they were written."""
    shards = study.glob("scores/*/*/shard-*.parquet")
    return {path: path.stat().st_mtime_ns for path in shards if path.with_suffix(".done").exists()}


def descendants(process: int) -> Iterator[int]:
    """Its children and theirs, as /proc tells them now."""
    try:
        found = [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return
    for child in found:
        yield child
        yield from descendants(child)


def command_line(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@contextmanager
def started(commands: list[list[str]]) -> Iterator[list[subprocess.Popen[str]]]:
    """Commands running side by side; none of them or of their descendants is left behind."""
    quiet = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    piped: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "env": quiet}
    running: list[subprocess.Popen[str]] = [subprocess.Popen(words, **piped) for words in commands]
    try:
        yield running
    finally:
        for process in running:
            below = [*descendants(process.pid)]
            process.kill()
            process.wait()
            for child in below:
                _end(child)


def _end(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def ended(running: list[subprocess.Popen[str]], killed: int | None = None) -> None:
    """Wait for the commands; all but the killed one must end well."""
    for process in running:
        _, said = process.communicate(timeout=LIMIT)
        well = process.pid == killed or process.returncode == 0
        _assert(well, f"a command ended with status {process.returncode}: {said.strip()[-500:]}")


def moment(draw: random.Random, question: Question, study: Path) -> tuple[str, Callable[[], bool]]:
    """A random moment in words, and whether it has come: so long after the start, or so many shards finished."""
    if draw.random() < 0.25:
        wait, began = draw.uniform(0.0, question.seconds), time.monotonic()
        return f"after {wait:.2f} s", lambda: time.monotonic() - began >= wait
    count = draw.randrange(question.tasks * 9 // 10)
    return f"at {count} finished shards", lambda: len(finished(study)) >= count


def kill_when(due: Callable[[], bool], victims: Callable[[], list[int]], alive: Callable[[], bool]) -> list[int] | None:
    """Kill the first victim once it is due and there is one; its descendants, or None if the command was faster."""
    while alive():
        if due() and (found := victims()):
            below = [*descendants(found[0])]
            _end(found[0])
            return below
        time.sleep(0.002)
    return None


def a_driver(draw: random.Random, question: Question, study: Path) -> Kill | None:
    """The driver is killed: its workers must end with it, and the command be given again."""
    with started([question.command(study, workers=draw.choice((1, 2)))]) as (driver,):
        when, due = moment(draw, question, study)
        below = kill_when(due, lambda: [driver.pid], lambda: driver.poll() is None)
        if below is None:
            return None
        kept = finished(study)
        ended([driver], driver.pid)
        deadline = time.monotonic() + 15
        while any(command_line(child) for child in below):
            _assert(time.monotonic() < deadline, "a worker outlived its driver by 15 s")
            time.sleep(0.01)
    with started([question.command(study, workers=draw.choice((1, 2)))]) as anew:
        ended(anew)
    return Kill("driver", when, kept, 1)


def a_worker(executor: str, mark: bytes, draw: random.Random, question: Question, study: Path) -> Kill | None:
    """One of two workers is killed: the command must go on by itself."""
    with started([question.command(study, workers=2, executor=executor)]) as (driver,):
        when, due = moment(draw, question, study)
        order = draw.choice((1, -1))  # the first of them, or the last

        def workers() -> list[int]:
            return [child for child in descendants(driver.pid) if mark in command_line(child)][::order]

        if kill_when(due, workers, lambda: driver.poll() is None) is None:
            return None
        kept = finished(study)
        ended([driver])
    return Kill(f"{executor} worker", when, kept, 0)


def a_share(draw: random.Random, question: Question, study: Path) -> Kill | None:
    """One of n processes is killed; those of another n are begun while the others may still be at work."""
    n = draw.choice((2, 3))
    with started([question.command(study, "--shard", f"{i}/{n}") for i in range(1, n + 1)]) as running:
        when, due = moment(draw, question, study)
        victim = draw.choice(running)
        if kill_when(due, lambda: [victim.pid], lambda: victim.poll() is None) is None:
            return None
        kept, other = finished(study), draw.choice((1, 2, 3))
        with started([question.command(study, "--shard", f"{i}/{other}") for i in range(1, other + 1)]) as more:
            ended([*running, *more], victim.pid)
    return Kill(f"share of {n}, then {other}", when, kept, other)


def check_same(question: Question, study: Path, kept: Finished) -> float:
    """The largest difference of a margin; AssertionError where anything else differs from the undisturbed run."""
    found, whole = Study(study), question.whole
    one, other = found.scores().sort(KEYS), whole.scores().sort(KEYS)
    _assert(one.select(EXACT).equals(other.select(EXACT)), "keys, matches, verbatim or reason differ")
    _assert(one.select(KEYS).n_unique() == len(one) == len(question.models) * ROWS * 4, "a row is lost or twice there")
    plain = pl.read_parquet(study / "scores" / found.run().key / "*" / "*.parquet").sort(KEYS)
    _assert(plain.equals(one), "a plain read of the Parquet folder gives something else")
    _assert(found.rows().equals(whole.rows()), "rows differ")
    _assert(found.run().key == whole.run().key == found.manifest().get("current"), "the run or its manifest differs")
    for kind, recorded in (("free", "token"), ("truth", "hit")):
        if kind in found.run().question["signals"]:
            lists = ["model", "row", "context", recorded]
            same = [of.signals(kind).sort(KEYS).select(lists) for of in (found, whole)]
            _assert(same[0].equals(same[1]), f"signals {kind} differ")
    _assert(
        all(finished(study).get(path) == written for path, written in kept.items()), "a finished shard was rewritten"
    )
    verdict = verify(study, rows=20)
    _assert(verdict.is_sound and not verdict.unfinished and not verdict.unchecked, f"verify: {verdict.faults}")
    _assert(one["margin"].is_finite().equals(other["margin"].is_finite()), "margins are null in other places")
    apart = float(np.nan_to_num(np.abs(one["margin"].to_numpy() - other["margin"].to_numpy())).max())
    _assert(apart <= MARGIN, f"margins differ by {apart:.1e}")
    return apart


def _assert(holds: bool, said: str) -> None:
    if not holds:
        raise AssertionError(said)


KINDS: dict[str, Callable[[random.Random, Question, Path], Kill | None]] = {
    "driver": a_driver,
    "local worker": partial(a_worker, "local", b"spawn_main"),
    "share": a_share,
    "Ray worker": partial(a_worker, "ray", b"ray::_Actor"),
}


def soak(asked: list[Question], number: int, seed: int, folder: Path) -> tuple[list[object], bool]:
    """The table's line of point `number`, and whether all was as it must be."""
    kinds = [kind for kind in KINDS if kind != "Ray worker" or find_spec("ray") is not None]
    kind, began = kinds[number % len(kinds)], time.monotonic()
    try:
        for attempt in range(ATTEMPTS):
            draw = random.Random(f"{seed}/{number}/{attempt}")
            question, study = draw.choice(asked), folder / f"point-{number}-{attempt}"
            if (kill := KINDS[kind](draw, question, study)) is not None:
                break
        else:
            raise AssertionError(f"{ATTEMPTS} commands were done before they could be killed")
        apart = check_same(question, study, kill.kept)
    except (AssertionError, MematlasError, subprocess.TimeoutExpired) as error:
        return [number, kind, "", "", "", "", f"DIFFERENT: {error}", ""], False
    cells = [number, kill.what, question.name, kill.when, f"{len(kill.kept)} of {question.tasks}", kill.commands]
    return [*cells, f"same, {apart:.0e}", f"{time.monotonic() - began:.1f}"], True


def main() -> int:
    """Print a line a point, then the table; 1 if a point's tables differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="where studies are made; default the system's temporary folder")
    given = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(dir=given.work) as name:
        asked = questions(Path(name))
        for number in range(given.points):
            found.append(soak(asked, number, given.seed, Path(name)))
            print(*found[-1][0], sep="; ", flush=True)
    head = ["point", "killed", "question", "when", "shards then", "commands after", "tables, margins apart", "s"]
    print(f"\n{markdown(head, [line for line, _ in found])}")
    return int(not all(good for _, good in found))


if __name__ == "__main__":
    sys.exit(main())
