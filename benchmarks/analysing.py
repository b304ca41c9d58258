"""Time and peak resident memory of all analyses on a study with many rows of scores.

    python benchmarks/analysing.py [--lines 10_000_000] [--cells grid|one] [--features] [--documents ROWS] [--work DIR]
        [--apart | --check]

The study is synthetic, not scored: seven models of Pythia's sizes on the same rows, a tenth of them control rows.
Scores are bimodal, grow with size, context and repetitions, and are consistent between models and cells (a longer
continuation extends the same hits). --cells grid: 15 cells; --cells one: 32 + 32 only, so that there are 15 times as
many rows. --documents makes so many consecutive rows one document, whose rows are alike. --features adds row features,
which the analyses of the input need. The analyses then run one after the other in a new process and share cached
tables, as in `mematlas analyze`; --apart runs each in a separate process. --check then runs them all once more without
the short columns of scores that are made where rows are many, and compares every file of the findings.
"""

import argparse
import filecmp
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

MODELS = {
    "70m": 70_426_624,
    "160m": 162_322_944,
    "410m": 405_334_016,
    "1b": 1_011_781_632,
    "2.8b": 2_775_208_960,
    "6.9b": 6_857_302_016,
    "12b": 11_846_072_320,
}
GRIDS = {"grid": ((32, 48, 64), (16, 32, 48, 64, 96)), "one": ((32,), (32,))}
SHARD_ROWS = 8192
LINES = "findings-from-lines"


def make_study(folder: Path, lines: int, cells: str, features: bool, documents: int) -> int:
    """Write the study, shard by shard; returns its number of rows of scores.

    documents: rows of each document, 0 where none are known.
    """
    from mematlas.study import shard_name, write_json, write_shard, write_table

    contexts, continuations = GRIDS[cells]
    rows = max(1, lines // (len(MODELS) * len(contexts) * len(continuations)))
    shards = -(-rows // SHARD_ROWS)
    rng = np.random.default_rng(0)
    for label, parameters in MODELS.items():
        record = {"model": label, "spec": label, "parameters": parameters, "training_step": 143_000, "tokenizer": "t"}
        write_table(folder / "models" / f"{label}.parquet", pa.Table.from_pylist([record]))
    for index in range(shards):
        ids = np.arange(index * SHARD_ROWS, min(rows, (index + 1) * SHARD_ROWS))
        table, ease = row_table(rng, ids, documents)
        write_shard(folder / "rows" / "made", shard_name(index, shards), table, {})
        for i, label in enumerate(MODELS):
            noise = rng.normal(0, 0.4, len(ids))  # models do not differ by size alone
            scores = score_table(rng, label, ids, ease + 0.35 * i + noise, contexts, continuations)
            write_shard(folder / "scores" / "made" / label, shard_name(index, shards), scores, {})
        if features:
            for kind, features_table in feature_tables(rng, ids, contexts, continuations).items():
                write_shard(folder / "features" / "made" / kind, shard_name(index, shards), features_table, {})
    if features:
        write_json(folder / "features" / "made" / "facts.json", {"scope": "rows", "tokens": 10**9})
    control = int(((np.arange(rows) // max(1, documents)) % 10 == 0).sum())
    question = {
        "context": contexts,
        "continuation": continuations,
        "depth": "graded",
        "align": "start",
        "signals": [],
        "row_counts": {"train": rows - control, "control": control},
    }
    run = {"key": "made", "rows_key": "made", "shards": shards, "models": {label: label for label in MODELS}}
    write_json(folder / "runs" / "made.json", {**run, "question": question, "asked": 0.0})
    return rows * len(MODELS) * len(contexts) * len(continuations)


def row_table(rng: np.random.Generator, ids: np.ndarray, documents: int) -> tuple[pa.Table, np.ndarray]:
    """The rows table of `ids`, and how easy each row is to memorize."""
    control = (ids // max(1, documents)) % 10 == 0
    repetitions = 2 ** rng.integers(0, 9, len(ids))
    ease = rng.normal(-3.8, 1.5, len(ids)) + 0.25 * np.log2(repetitions)
    if documents:
        ease += rng.normal(0, 1, len(ids) // documents + 2)[ids // documents - ids[0] // documents]
    ease[control] = -9
    known = np.full(len(ids), documents > 0)
    columns = {
        "row": pa.array(ids, pa.int64()),
        "role": pa.array(np.where(control, "control", "train")),
        "repetitions": pa.array(repetitions, pa.int64(), mask=control),
        "document": pa.array(ids // max(1, documents), pa.int64(), mask=~known),
        "source": pa.array(np.where(known, "corpus", ""), pa.string(), mask=~known),
    }
    return pa.table(columns), ease


def feature_tables(
    rng: np.random.Generator, ids: np.ndarray, contexts: tuple[int, ...], continuations: tuple[int, ...]
) -> dict[str, pa.Table]:
    """The row features of a shard: counts with a heavy tail, few copies, texts of every kind."""
    from mematlas.study.schemas.features import SCHEMAS

    width, rows = max(contexts) + max(continuations), len(ids)
    offsets = pa.array(np.arange(0, rows * width + 1, width, dtype=np.int32))

    def lists(n: int) -> pa.Array:
        values = (1e7 / (rng.pareto(0.7, rows * width) + 1) ** n).astype(np.int64)
        return pa.ListArray.from_arrays(offsets, pa.array(values, mask=np.arange(rows * width) % width < n - 1))

    kinds = pa.ListArray.from_arrays(offsets, pa.array(rng.integers(0, 5, rows * width, dtype=np.int8)))
    columns = {"row": pa.array(ids), "unigrams": lists(1), "bigrams": lists(2), "trigrams": lists(3), "kinds": kinds}
    cells = [(context, length) for context in contexts for length in continuations]
    lines = rows * len(cells)
    copies = 2 ** rng.integers(0, 9, lines)
    shared = {
        "row": np.tile(ids, len(cells)),
        "context": np.repeat([context for context, _ in cells], rows).astype(np.int32),
        "continuation": np.repeat([length for _, length in cells], rows).astype(np.int32),
    }
    tables = {
        "counts": columns,
        "copies": shared | dict.fromkeys(SCHEMAS["copies"].names[3:], copies),
        "texts": shared
        | {name: rng.random(lines) < 0.1 for name in ("repeating", "incrementing")}
        | {f"distinct_{n}": rng.random(lines) for n in (1, 2, 3)}
        | {"bytes": np.full(lines, 200, np.int32), "compressed_bytes": rng.integers(20, 200, lines, dtype=np.int32)},
    }
    return {kind: pa.table(columns, schema=SCHEMAS[kind]) for kind, columns in tables.items()}


def score_table(
    rng: np.random.Generator,
    label: str,
    ids: np.ndarray,
    skill: np.ndarray,
    contexts: tuple[int, ...],
    continuations: tuple[int, ...],
) -> pa.Table:
    """One model's scores of a shard: position by position a hit with a probability that is mostly near 0 or near 1."""
    parts = []
    for context in contexts:
        chance = 0.02 + 0.98 / (1 + np.exp(-3.5 * (skill + 0.02 * (context - 32))))
        hits = rng.random((len(ids), max(continuations)), dtype=np.float32) < chance[:, None]
        for length in continuations:
            cell_hits = hits[:, :length]
            verbatim = np.where(cell_hits.all(1), length, (~cell_hits).argmax(1))
            columns = {
                "model": pa.repeat(label, len(ids)),
                "row": pa.array(ids, pa.int64()),
                "context": pa.repeat(pa.scalar(context, pa.int32()), len(ids)),
                "continuation": pa.repeat(pa.scalar(length, pa.int32()), len(ids)),
                "matches": pa.array(cell_hits.sum(1), pa.int32()),
                "verbatim": pa.array(verbatim, pa.int32()),
                "margin": pa.array(rng.random(len(ids), dtype=np.float32)),
                "reason": pa.nulls(len(ids), pa.string()),
            }
            parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def run_analyses(study: Path, findings: str, names: list[str]) -> None:
    """In a new process: run the analyses, write findings, and print seconds and claims as JSON lines.

    findings: name of their folder; LINES for those from score lines alone.
    """
    start = time.perf_counter()
    from mematlas.analyses import ANALYSES
    from mematlas.analyses.frames import score_blocks
    from mematlas.analyses.frames.study_tables import read_tables
    from mematlas.executors.allocation import keep_freed_memory
    from mematlas.findings.finding import write_finding
    from mematlas.study import open_study

    keep_freed_memory()
    if findings == LINES:
        score_blocks._FEWEST_ROWS = sys.maxsize
    tables = read_tables(open_study(study))
    print_record({"name": "start", "seconds": time.perf_counter() - start, "claim": ""})
    for name in names:
        start = time.perf_counter()
        finding = ANALYSES.load(name).compute(tables)
        write_finding(study / findings / name, finding)
        print_record({"name": name, "seconds": time.perf_counter() - start, "claim": finding.claim})


def print_record(record: dict) -> None:
    """Print a record with the peak memory so far as one JSON line."""
    scale = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e9
    print(json.dumps(record | {"peak": peak}), flush=True)


def measure(study: Path, names: list[str], findings: str = "findings") -> Iterator[dict]:
    """The records that `run_analyses` prints, run in a separate process."""
    command = [sys.executable, __file__, "--answer", str(study), findings, *names]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode:
        raise SystemExit(completed.stderr)
    yield from map(json.loads, completed.stdout.splitlines())


def print_records(records: list[dict]) -> None:
    print("| analysis | seconds | peak resident memory so far, GB |\n|---|---|---|")
    for record in records:
        print(f"| {record['name']} | {record['seconds']:.2f} | {record['peak']:.2f} |")
    total, peak = sum(record["seconds"] for record in records), max(record["peak"] for record in records)
    print(f"| all | {total:.2f} | {peak:.2f} |\n", flush=True)


def compare(first: Path, second: Path) -> None:
    """Print how many files of two folders of findings are equal, byte for byte."""
    names = sorted({path.relative_to(folder) for folder in (first, second) for path in folder.rglob("*.*")})
    _, different, missing = filecmp.cmpfiles(first, second, names, shallow=False)
    others = [str(name) for name in (*different, *missing)]
    print(f"{len(names) - len(others)} of {len(names)} files of findings are equal {' '.join(others)}\n", flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--cells", choices=GRIDS, default="grid")
    parser.add_argument("--features", action="store_true", help="with row features")
    parser.add_argument("--documents", type=int, default=0, metavar="ROWS", help="rows of each document")
    parser.add_argument("--work", type=Path, help="folder for the study, by default a temporary one")
    parser.add_argument("--apart", action="store_true", help="run each analysis in a separate process")
    parser.add_argument("--check", action="store_true", help="compare with the findings from score lines alone")
    parser.add_argument("--answer", nargs="+", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    if options.answer:
        run_analyses(Path(options.answer[0]), options.answer[1], options.answer[2:])
        return
    from mematlas.analyses import ANALYSES

    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        start = time.perf_counter()
        lines = make_study(Path(folder), options.lines, options.cells, options.features, options.documents)
        documents = f"documents of {options.documents} rows" if options.documents else "no documents"
        size = sum(file.stat().st_size for file in Path(folder).rglob("*.parquet")) / 1e6
        print(
            f"{lines:,} score lines of {len(MODELS)} models ({options.cells}, {documents}), {size:.0f} MB of Parquet, "
            f"made in {time.perf_counter() - start:.0f} s; {os.cpu_count()} cores, {pl.thread_pool_size()} polars "
            f"threads, load {os.getloadavg()[0]:.1f}\n"
        )
        groups = [[name] for name in ANALYSES] if options.apart else [list(ANALYSES)]
        records = [record for group in groups for record in measure(Path(folder), group)]
        print_records(records)
        if options.check:
            print("From score lines alone:\n")
            print_records([*measure(Path(folder), list(ANALYSES), LINES)])
            compare(Path(folder) / "findings", Path(folder) / LINES)
        for record in records:
            if record["claim"]:
                print(f"{record['name']}: {record['claim']}")


if __name__ == "__main__":
    main()
