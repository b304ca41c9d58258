"""Time and memory of counting n-grams with mematlas, tokengrams, infini-gram, and a polars group-by.

    python benchmarks/ngrams.py prepare TEXT_FOLDER... --tokenizer tokenizer.json --out tokens.bin [--tokens 50_000_000]
    python benchmarks/ngrams.py run tokens.bin --peers PYTHON [--sizes 1 10 50] [--repeats 3]

`prepare` tokenizes all distinct text files of the folders as uint16; each file is a document that token 0 ends.
`run` takes the first 1, 10 and 50 million tokens as rows of 64 and counts how often each 1- to 5-gram of 10,000 of the
rows occurs in them. The methods run in turn, each in a new process, `--repeats` times; the table gives medians. PYTHON
is an interpreter with tokengrams and infini-gram (Python 3.11: they have no wheels for later versions).

Building and querying are timed, but not starting Python and importing; the compiled loops of mematlas are in numba's
cache, as they are from its second run on. The peers get the distinct n-grams as Python lists; mematlas gets all n-grams
as they occur in the rows. infini-gram's own builder sorts the tokens (writing them in its layout is not timed). Because
it takes about half a millisecond per count, a sample is queried and its time extrapolated, as the table says.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROW, ROWS, LENGTHS, SAMPLE, BATCH = 64, 10_000, range(1, 6), 20_000, 200_000
TEXTS = (".py", ".txt", ".md", ".rst", ".h", ".hpp", ".html", ".c")


# ------------------------------------------------------------------------------------------------------------ methods


def scan(folder: Path, threads: int | None) -> np.ndarray:
    """All three scopes at once; the counts of the stream are compared."""
    from mematlas.corpus.base import CorpusOptions
    from mematlas.corpus.opening import open_corpus
    from mematlas.index.scan import Scan
    from mematlas.index.stream import CorpusStream

    corpus = open_corpus(folder / "tokens.bin", format="memmap", options=CorpusOptions(ROW, "uint16"))
    rows = corpus.read(np.load(folder / "rows.npy"), ROW).ids
    scan = Scan(CorpusStream(corpus, eod=0), threads)
    queries = [np.lib.stride_tricks.sliding_window_view(rows, n, axis=1).reshape(-1, n) for n in LENGTHS]
    return scan.count_scopes(queries)[2]


def polars_group_by(folder: Path) -> np.ndarray:
    """Count every n-gram of the corpus, then look up the queries."""
    import polars as pl

    tokens = np.fromfile(folder / "tokens.bin", np.uint16)
    counts = []
    for n in LENGTHS:
        length = len(tokens) - n + 1
        names = [f"t{i}" for i in range(n)]
        ngrams = pl.DataFrame({name: tokens[i : i + length] for i, name in enumerate(names)})
        table = ngrams.group_by(names).len()
        queries = pl.DataFrame(np.load(folder / f"distinct{n}.npy").astype(np.uint16), schema=names)
        counts.append(queries.join(table, on=names, how="left", maintain_order="left")["len"].fill_null(0).to_numpy())
    return np.concatenate(counts)


def tokengrams(folder: Path) -> np.ndarray:
    from tokengrams import InMemoryIndex

    queries = [query for n in LENGTHS for query in np.load(folder / f"distinct{n}.npy").tolist()]
    started = elapsed()
    index = InMemoryIndex.from_token_file(str(folder / "tokens.bin"))
    report_time("build", started)
    return np.array([index.count(query) for query in queries])


def infini_gram(folder: Path) -> np.ndarray:
    from infini_gram.engine import InfiniGramEngine

    with tempfile.TemporaryDirectory(dir=folder) as work:
        write_infini_gram(folder, Path(work))
        queries = [query for n in LENGTHS for query in np.load(folder / f"distinct{n}.npy").tolist()]
        sample = np.random.default_rng(0).choice(len(queries), min(SAMPLE, len(queries)), replace=False)
        started = elapsed()
        build_infini_gram(Path(work))
        report_time("build", started)
        engine = InfiniGramEngine(work, eos_token_id=0, vocab_size=65535, version=4, token_dtype="u16")
        started = elapsed()
        counts = [engine.count(input_ids=queries[i])["count"] for i in sample.tolist()]
        report_time("query", started, share=len(sample) / len(queries))
    result = np.full(len(queries), -1)
    result[sample] = counts
    return result


def suffix_array(folder: Path) -> np.ndarray:
    from mematlas.corpus.base import CorpusOptions
    from mematlas.corpus.opening import open_corpus
    from mematlas.index.building import IndexOptions, build_index
    from mematlas.index.folder import open_index

    corpus = open_corpus(folder / "tokens.bin", format="memmap", options=CorpusOptions(ROW, "uint16"))
    queries = np.load(folder / "distinct5.npy")[:BATCH]
    with tempfile.TemporaryDirectory(dir=folder) as work:
        started = elapsed()
        build_index(corpus, Path(work), IndexOptions("tokens.bin", eod=0, workers=1))
        report_time("build", started)
        started = elapsed()
        index, _ = open_index(Path(work))
        report_time("open", started)
        started = elapsed()
        counts = index.count(queries, "stream")
        report_time("query", started)
    return counts


def tokengrams_memmap(folder: Path) -> np.ndarray:
    from tokengrams import MemmapIndex

    queries = np.load(folder / "distinct5.npy")[:BATCH].tolist()
    with tempfile.TemporaryDirectory(dir=folder) as work:
        started = elapsed()
        MemmapIndex.build(str(folder / "tokens.bin"), f"{work}/i.idx")
        report_time("build", started)
        started = elapsed()
        index = MemmapIndex(str(folder / "tokens.bin"), f"{work}/i.idx")
        report_time("open", started)
        started = elapsed()
        counts = np.array([index.count(query) for query in queries])
        report_time("query", started)
    return counts


#: name -> (function, whether it runs with the peers' interpreter, which queries it counts)
METHODS: dict[str, tuple[Callable[[Path], np.ndarray], bool, str]] = {
    "mematlas": (lambda folder: scan(folder, None), False, "all"),
    "mematlas, one thread": (lambda folder: scan(folder, 1), False, "all"),
    "tokengrams": (tokengrams, True, "distinct"),
    "infini-gram": (infini_gram, True, "distinct"),
    "polars group-by": (polars_group_by, False, "distinct"),
    "mematlas suffix array": (suffix_array, False, "batch"),
    "tokengrams mapped": (tokengrams_memmap, True, "batch"),
}


# --------------------------------------------------------------------------------------------------------- one process


def elapsed() -> tuple[float, float]:
    """Wall and CPU seconds so far, including children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(usage.ru_utime + usage.ru_stime for usage in used)


def report_time(what: str, started: tuple[float, float], **more: float) -> None:
    wall, cpu = (now - then for now, then in zip(elapsed(), started, strict=True))
    print(json.dumps({"what": what, "wall": wall, "cpu": cpu, **more}), flush=True)


def work(method: str, folder: Path, out: Path) -> None:
    """Run one method in this process; print the times of its parts and of the whole, and the peak resident memory."""
    function = METHODS[method][0]
    warm_up(method)
    started = elapsed()
    counts = function(folder)
    report_time("whole", started)
    np.save(out, counts)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"what": "memory", "megabytes": peak / 1024}), flush=True)


def warm_up(method: str) -> None:
    """Import the libraries of the method, and load the compiled loops."""
    if not method.startswith("mematlas"):
        __import__({"tokengrams": "tokengrams", "infini-gram": "infini_gram.engine"}.get(method.split()[0], "polars"))
        return
    from mematlas.corpus.base import CorpusOptions
    from mematlas.corpus.opening import open_corpus
    from mematlas.index.building import IndexOptions, build_index
    from mematlas.index.folder import open_index
    from mematlas.index.scan import Scan
    from mematlas.index.stream import CorpusStream

    with tempfile.TemporaryDirectory() as folder:
        np.arange(8, dtype=np.uint16).tofile(f"{folder}/tokens.bin")
        corpus = open_corpus(f"{folder}/tokens.bin", format="memmap", options=CorpusOptions(4, "uint16"))
        Scan(CorpusStream(corpus)).count([[1], [2, 3], [1, 2, 3, 4]])
        build_index(corpus, Path(folder, "index"), IndexOptions("", workers=1))
        open_index(Path(folder, "index"))[0].count([[1], [2, 3]], "rows")


def write_infini_gram(folder: Path, out: Path) -> None:
    """Write the corpus in infini-gram's layout, as its tokenizer step would."""
    tokens = np.fromfile(folder / "tokens.bin", np.uint16)
    ends = np.flatnonzero(tokens == 0)
    tokens[ends] = 65535  # the separator precedes a document, so it ends the previous one
    np.concatenate([[np.uint16(65535)], tokens]).astype(np.uint16).tofile(out / "tokenized.0")
    (np.concatenate([[0], ends + 1]) * 2).astype("<u8").tofile(out / "offset.0")


def build_infini_gram(out: Path) -> None:
    command = [sys.executable, "-m", "infini_gram.indexing", "--data_dir", str(out), "--save_dir", str(out)]
    command += ["--temp_dir", str(out), "--token_dtype", "u16", "--cpus", "2", "--mem", "4"]
    command += ["--ulimit", str(resource.getrlimit(resource.RLIMIT_NOFILE)[1])]
    subprocess.run(command, check=True, capture_output=True)


# -------------------------------------------------------------------------------------------------------------- table


def run(tokens: Path, peers: str | None, sizes: list[float], repeats: int, methods: list[str]) -> None:
    for millions in sizes:
        with tempfile.TemporaryDirectory(dir=tokens.parent) as path:
            folder = Path(path)
            queries = prepare_corpus(tokens, int(millions * 1e6), folder)
            print(f"\n{millions:g} million tokens, {queries:,} distinct n-grams\n", flush=True)
            timed: dict[str, list[dict[str, Any]]] = {
                method: [] for method in methods if peers or not METHODS[method][1]
            }
            for _ in range(repeats):
                for method in timed:
                    timed[method].append(measure(method, folder, peers))
            compare(folder, list(timed))
            for line in table(timed):
                print(line, flush=True)


def prepare_corpus(tokens: Path, count: int, folder: Path) -> int:
    """Write a corpus of this size, the queried rows and their n-grams; returns the number of distinct n-grams."""
    kept = np.fromfile(tokens, np.uint16, count)
    if len(kept) < count:
        sys.exit(f"{tokens} has only {len(kept):,} tokens, not {count:,}; prepare more.")
    kept = kept[: count // ROW * ROW]
    kept.tofile(folder / "tokens.bin")
    rows = np.sort(np.random.default_rng(0).choice(len(kept) // ROW, ROWS, replace=False))
    np.save(folder / "rows.npy", rows)
    total, positions = 0, []
    for n in LENGTHS:
        windows = np.lib.stride_tricks.sliding_window_view(kept.reshape(-1, ROW)[rows], n, axis=1).reshape(-1, n)
        distinct, inverse = np.unique(windows, axis=0, return_inverse=True)
        np.save(folder / f"distinct{n}.npy", distinct.astype(np.int64))
        positions.append(inverse.reshape(-1) + total)
        total += len(distinct)
    np.save(folder / "all.npy", np.concatenate(positions))
    return total


def measure(method: str, folder: Path, peers: str | None) -> dict[str, Any]:
    python = peers if METHODS[method][1] else sys.executable
    out = folder / f"{method}.npy"
    command = [str(python), __file__, "work", method, str(folder), str(out)]
    completed = subprocess.run(command, capture_output=True, text=True)
    if completed.returncode:
        sys.exit(f"{method} failed:\n{completed.stdout}\n{completed.stderr}")
    parts = [json.loads(line) for line in completed.stdout.splitlines() if line.startswith('{"what"')]
    return {part.pop("what"): part for part in parts}


def compare(folder: Path, methods: list[str]) -> None:
    """Check that all methods give the same counts."""
    inverse, first, last = np.load(folder / "all.npy"), None, np.load(folder / "distinct5.npy").shape[0]
    for method in methods:
        counts = np.load(folder / f"{method}.npy")
        kind = METHODS[method][2]
        if kind == "all":
            distinct = np.zeros(inverse.max() + 1, np.int64)
            distinct[inverse] = counts
            assert (distinct[inverse] == counts).all(), method
            first = distinct if first is None else first
            counts = distinct
        if first is None:
            continue
        expected = first[len(first) - last :][:BATCH] if kind == "batch" else first
        queried = counts >= 0
        if method == "infini-gram":  # it counts neither n-grams across documents nor the separator itself
            assert (counts[queried] <= expected[queried]).all(), method
        else:
            assert (counts == expected).all(), method


def table(timed: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    yield "| method | wall s | cpu s | of which building: wall, cpu | querying: wall | peak MB |"
    yield "|---|---|---|---|---|---|"
    for method, runs in timed.items():
        whole = {name: median(run["whole"][name] for run in runs) for name in ("wall", "cpu")}
        build = (
            {name: median(run["build"][name] for run in runs) for name in ("wall", "cpu")}
            if "build" in runs[0]
            else None
        )
        query_seconds = median(run["query"]["wall"] for run in runs) if "query" in runs[0] else None
        note = ""
        if method == "infini-gram":
            extra = 1 / runs[0]["query"]["share"] - 1
            whole = {name: whole[name] + extra * median(run["query"][name] for run in runs) for name in whole}
            query_seconds, note = (query_seconds or 0) * (extra + 1), " (extrapolated)"
        building = f"{build['wall']:.2f}, {build['cpu']:.2f}" if build else "-"
        querying = "-" if query_seconds is None else f"{query_seconds:.2f}{note}"
        peak = median(run["memory"]["megabytes"] for run in runs)
        times = f"{whole['wall']:.2f}{note} | {whole['cpu']:.2f}{note}"
        yield f"| {method} | {times} | {building} | {querying} | {peak:,.0f} |"


def median(values: Iterator[float]) -> float:
    return statistics.median(values)


def prepare(folders: list[Path], tokenizer: Path, out: Path, count: int) -> None:
    """Write the tokens of the folders' text files, in the order of their paths; equal files are used once."""
    from tokenizers import Tokenizer

    encoder = Tokenizer.from_file(str(tokenizer))
    encoder.no_truncation()
    encoder.no_padding()
    seen: set[str] = set()
    written = 0
    with out.open("wb") as file:
        for path in (path for folder in folders for path in sorted(folder.rglob("*"))):
            if written >= count or path.suffix not in TEXTS or not path.is_file() or path.stat().st_size > 3e6:
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
            if not text or text in seen:
                continue
            seen.add(text)
            ids = np.array([*encoder.encode(text, add_special_tokens=False).ids, 0], np.uint16)
            file.write(ids.tobytes())
            written += len(ids)
    print(f"{written:,} tokens of {len(seen):,} files are in {out}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    prepare_parser = commands.add_parser("prepare")
    prepare_parser.add_argument("folders", nargs="+", type=Path)
    prepare_parser.add_argument("--tokenizer", type=Path, required=True)
    prepare_parser.add_argument("--out", type=Path, required=True)
    prepare_parser.add_argument("--tokens", type=int, default=50_000_000)
    run_parser = commands.add_parser("run")
    run_parser.add_argument("tokens", type=Path)
    run_parser.add_argument("--peers")
    run_parser.add_argument("--sizes", nargs="+", type=float, default=[1, 10, 50])
    run_parser.add_argument("--repeats", type=int, default=3)
    run_parser.add_argument("--ways", nargs="+", default=list(METHODS), choices=list(METHODS))
    work_parser = commands.add_parser("work")
    work_parser.add_argument("method")
    work_parser.add_argument("folder", type=Path)
    work_parser.add_argument("out", type=Path)
    options = parser.parse_args()
    if options.command == "prepare":
        prepare(options.folders, options.tokenizer, options.out, options.tokens)
    elif options.command == "run":
        run(options.tokens, options.peers, options.sizes, options.repeats, options.ways)
    else:
        work(options.method, options.folder, options.out)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
