"""Two Ray actors against two bare processes, the same rows: ``python benchmarks/throughput.py --work FOLDER``.

A bare process has an engine with one thread and the tokens of its rows, and scores one shard of 256 rows after another,
without executor, tables and markers; two such processes run at once. The other side is `mematlas.score(...,
executor="ray", workers=2)` as users call it, including everything that it reads, sends and writes. The sides alternate
(bare, Ray, bare). Start-up does not count: bare processes wait for each other after loading, and Ray's rows are counted
from the second finished shard to the last but one. The model is that of `benchmarks/scoring.py`, in the shape of
Pythia-70M, graded 32 + 32 in float32.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scheduling import Clock

import mematlas
from mematlas.models.base import LoadOptions
from mematlas.models.resolve import find_model
from mematlas.models.threads import limit_threads
from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Grid, TokenRows
from rows import markdown_table, zipf_tokens
from scoring import neox70m

SHARD, SHARDS, WIDTH, VOCABULARY = 256, 256, 64, 50304
TARGET = 0.9


def run_bare_process(model: str, corpus: str, process: int, seconds: float) -> None:
    """One bare process: prints that it is ready, waits for a line, scores for `seconds`, prints rows and seconds."""
    limit_threads(1)
    source = find_model(model)
    engine = Engine(source.load(LoadOptions("cpu")), source.card, ScoringOptions(Grid((32,), (32,)), "graded"))
    tokens = np.load(corpus, mmap_mode="r")
    shards = range(process, len(tokens) // SHARD, 2)
    print("ready", flush=True)
    sys.stdin.readline()
    start, rows = time.monotonic(), 0
    for shard in shards:
        ids = np.arange(shard * SHARD, (shard + 1) * SHARD)
        engine.score(TokenRows(tokens[ids].astype(np.int64), np.full(SHARD, WIDTH)), ids)
        rows += SHARD
        if time.monotonic() - start >= seconds:
            break
    print(json.dumps([rows, time.monotonic() - start]), flush=True)


def measure_bare_processes(model: Path, corpus: Path, seconds: float) -> list[tuple[int, float]]:
    """Rows and seconds of two bare processes at once."""
    words = [sys.executable, __file__, "--bare", str(model), str(corpus)]
    children = [
        subprocess.Popen([*words, str(k), str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for k in range(2)
    ]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    results = [json.loads(child.communicate()[0]) for child in children]
    return [(int(rows), float(seconds)) for rows, seconds in results]


def measure_actors(model: Path, corpus: Path, rows: int, study: Path) -> tuple[int, float]:
    """Rows and seconds of two actors, from the second finished shard to the last but one."""
    clock = Clock()
    mematlas.score(
        str(model),
        progress=clock,
        corpus=str(corpus),
        study=str(study),
        rows=f"first:{rows}",
        executor="ray",
        workers=2,
        shards=rows // SHARD,
    )
    counted = clock.events[1:-1]
    return sum(rows for _, rows in counted[1:]), counted[-1][0] - counted[0][0]


def rows_per_second(parts: Sequence[tuple[int, float]]) -> float:
    """Rows per second of processes that ran at once."""
    return sum(rows / seconds for rows, seconds in parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder for the model, the corpus and the study")
    parser.add_argument(
        "--seconds", type=float, default=330, help="duration of the Ray side; each bare part takes half"
    )
    parser.add_argument("--bare", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        model, corpus, process, seconds = arguments.bare
        run_bare_process(model, corpus, int(process), float(seconds))
        return
    if arguments.work is None:
        parser.error("--work FOLDER is needed: it stores the trained model for later runs")
    arguments.work.mkdir(parents=True, exist_ok=True)
    model, corpus = neox70m(arguments.work, 60), arguments.work / "throughput.npy"
    np.save(corpus, zipf_tokens((SHARDS * SHARD, WIDTH), VOCABULARY, 3).astype(np.uint16))
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load} at the start", flush=True)
    before = measure_bare_processes(model, corpus, arguments.seconds / 2)
    print("bare", before, flush=True)
    rows = min(max(6, round(rows_per_second(before) * arguments.seconds / SHARD)), SHARDS) * SHARD
    study = arguments.work / f"throughput-{time.time():.0f}"
    actors = measure_actors(model, corpus, rows, study)
    print("ray", actors, flush=True)
    after = measure_bare_processes(model, corpus, arguments.seconds / 2)
    bares = [rows_per_second(before), rows_per_second(after)]
    ratio = rows_per_second([actors]) / (sum(bares) / 2)
    lines = [["two bare processes, before", f"{bares[0]:.2f}", f"{max(seconds for _, seconds in before):.0f}", ""]]
    lines += [["two Ray actors", f"{rows_per_second([actors]):.2f}", f"{actors[1]:.0f}", f"{ratio:.3f}"]]
    lines += [["two bare processes, after", f"{bares[1]:.2f}", f"{max(seconds for _, seconds in after):.0f}", ""]]
    print(markdown_table(["side", "rows/s", "seconds counted", f"relative to bare (target {TARGET})"], lines))


if __name__ == "__main__":
    main()
