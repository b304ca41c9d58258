"""Seconds and memory of counting n-grams: mematlas against tokengrams, infini-gram, and a polars group-by.

    python benchmarks/ngrams.py prepare TEXT_FOLDER... --tokenizer tokenizer.json --out tokens.bin [--tokens 50_000_000]
    python benchmarks/ngrams.py run tokens.bin --peers PYTHON [--sizes 1 10 50] [--repeats 3]

`prepare` makes uint16 tokens of all text files of the folders, each once, a document a file ended by the token 0.
`run` takes the first 1, 10 and 50 million tokens as rows of 64 and asks how often each 1- to 5-gram of 10,000 of the
rows stands in them. All ways run in turn, each in a fresh process of its own, `--repeats` times; the table gives
medians. PYTHON is an interpreter with tokengrams and infini-gram (Python 3.11: they lack wheels for later versions).

What is timed is building and asking, without starting Python and importing; the compiled loops of mematlas are in
numba's cache, as they are from its second run on. The peers are given the distinct n-grams as Python lists, mematlas
all of them, as they stand in the rows. infini-gram's own builder sorts the tokens (written in its layout beforehand,
which is not timed); as it takes about half a millisecond a count, a sample is asked and its time extrapolated, which
the table says.
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


# ---------------------------------------------------------------------------------------------------- the ways, timed


def ours(folder: Path, threads: int | None) -> np.ndarray:
    """All three scopes at once; what is compared are the counts of the stream."""
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
    """Every n-gram of the corpus is counted, whoever asks; then the queries are looked up."""
    import polars as pl

    tokens = np.fromfile(folder / "tokens.bin", np.uint16)
    counts = []
    for n in LENGTHS:
        length = len(tokens) - n + 1
        names = [f"t{place}" for place in range(n)]
        all_ = pl.DataFrame({name: tokens[place : place + length] for place, name in enumerate(names)})
        table = all_.group_by(names).len()
        asked = pl.DataFrame(np.load(folder / f"distinct{n}.npy").astype(np.uint16), schema=names)
        counts.append(asked.join(table, on=names, how="left", maintain_order="left")["len"].fill_null(0).to_numpy())
    return np.concatenate(counts)


def tokengrams(folder: Path) -> np.ndarray:
    from tokengrams import InMemoryIndex

    queries = [query for n in LENGTHS for query in np.load(folder / f"distinct{n}.npy").tolist()]
    started = spent()
    index = InMemoryIndex.from_token_file(str(folder / "tokens.bin"))
    say("build", started)
    return np.array([index.count(query) for query in queries])


def infini_gram(folder: Path) -> np.ndarray:
    from infini_gram.engine import InfiniGramEngine

    with tempfile.TemporaryDirectory(dir=folder) as work:
        write_infini_gram(folder, Path(work))
        queries = [query for n in LENGTHS for query in np.load(folder / f"distinct{n}.npy").tolist()]
        chosen = np.random.default_rng(0).choice(len(queries), min(SAMPLE, len(queries)), replace=False)
        started = spent()
        build_infini_gram(Path(work))
        say("build", started)
        engine = InfiniGramEngine(work, eos_token_id=0, vocab_size=65535, version=4, token_dtype="u16")
        started = spent()
        counts = [engine.count(input_ids=queries[place])["count"] for place in chosen.tolist()]
        say("asked", started, share=len(chosen) / len(queries))
    found = np.full(len(queries), -1)
    found[chosen] = counts
    return found


def our_suffixes(folder: Path) -> np.ndarray:
    from mematlas.corpus.base import CorpusOptions
    from mematlas.corpus.opening import open_corpus
    from mematlas.index.building import IndexOptions, build_index
    from mematlas.index.folder import open_index

    corpus = open_corpus(folder / "tokens.bin", format="memmap", options=CorpusOptions(ROW, "uint16"))
    queries = np.load(folder / "distinct5.npy")[:BATCH]
    with tempfile.TemporaryDirectory(dir=folder) as work:
        started = spent()
        build_index(corpus, Path(work), IndexOptions("tokens.bin", eod=0, workers=1))
        say("build", started)
        started = spent()
        index, _ = open_index(Path(work))
        say("open", started)
        started = spent()
        counts = index.count(queries, "stream")
        say("asked", started)
    return counts


def tokengrams_mapped(folder: Path) -> np.ndarray:
    from tokengrams import MemmapIndex

    queries = np.load(folder / "distinct5.npy")[:BATCH].tolist()
    with tempfile.TemporaryDirectory(dir=folder) as work:
        started = spent()
        MemmapIndex.build(str(folder / "tokens.bin"), f"{work}/i.idx")
        say("build", started)
        started = spent()
        index = MemmapIndex(str(folder / "tokens.bin"), f"{work}/i.idx")
        say("open", started)
        started = spent()
        counts = np.array([index.count(query) for query in queries])
        say("asked", started)
    return counts


#: name -> (function, whether it runs under the peers' interpreter, which queries it answers)
WAYS: dict[str, tuple[Callable[[Path], np.ndarray], bool, str]] = {
    "mematlas": (lambda folder: ours(folder, None), False, "all"),
    "mematlas, one thread": (lambda folder: ours(folder, 1), False, "all"),
    "tokengrams": (tokengrams, True, "distinct"),
    "infini-gram": (infini_gram, True, "distinct"),
    "polars group-by": (polars_group_by, False, "distinct"),
    "mematlas suffix array": (our_suffixes, False, "batch"),
    "tokengrams mapped": (tokengrams_mapped, True, "batch"),
}


# ------------------------------------------------------------------------------------------------------- in one process


def spent() -> tuple[float, float]:
    """Wall and cpu seconds so far, children's among them."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in used)


def say(what: str, started: tuple[float, float], **more: float) -> None:
    wall, cpu = (now - then for now, then in zip(spent(), started, strict=True))
    print(json.dumps({"what": what, "wall": wall, "cpu": cpu, **more}), flush=True)


def work(way: str, folder: Path, out: Path) -> None:
    """Run one way here; tell its parts, the whole, and the peak of resident memory."""
    function = WAYS[way][0]
    warm_up(way)
    started = spent()
    counts = function(folder)
    say("whole", started)
    np.save(out, counts)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"what": "memory", "megabytes": peak / 1024}), flush=True)


def warm_up(way: str) -> None:
    """Import what the way needs, and load the compiled loops."""
    if not way.startswith("mematlas"):
        __import__({"tokengrams": "tokengrams", "infini-gram": "infini_gram.engine"}.get(way.split()[0], "polars"))
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
    """The corpus in infini-gram's layout, one document a file: what its tokenizer step would have written."""
    tokens = np.fromfile(folder / "tokens.bin", np.uint16)
    ends = np.flatnonzero(tokens == 0)
    tokens[ends] = 65535  # the separator stands before a document: at the end of the one before
    np.concatenate([[np.uint16(65535)], tokens]).astype(np.uint16).tofile(out / "tokenized.0")
    (np.concatenate([[0], ends + 1]) * 2).astype("<u8").tofile(out / "offset.0")


def build_infini_gram(out: Path) -> None:
    command = [sys.executable, "-m", "infini_gram.indexing", "--data_dir", str(out), "--save_dir", str(out)]
    command += ["--temp_dir", str(out), "--token_dtype", "u16", "--cpus", "2", "--mem", "4"]
    command += ["--ulimit", str(resource.getrlimit(resource.RLIMIT_NOFILE)[1])]
    subprocess.run(command, check=True, capture_output=True)


# ------------------------------------------------------------------------------------------------------------ the table


def run(tokens: Path, peers: str | None, sizes: list[float], repeats: int, ways: list[str]) -> None:
    for millions in sizes:
        with tempfile.TemporaryDirectory(dir=tokens.parent) as made:
            folder = Path(made)
            queries = cut(tokens, int(millions * 1e6), folder)
            print(f"\n{millions:g} million tokens, {queries:,} distinct n-grams\n", flush=True)
            timed: dict[str, list[dict[str, Any]]] = {way: [] for way in ways if peers or not WAYS[way][1]}
            for _ in range(repeats):
                for way in timed:
                    timed[way].append(measure(way, folder, peers))
            compare(folder, list(timed))
            for line in table(timed):
                print(line, flush=True)


def cut(tokens: Path, count: int, folder: Path) -> int:
    """The corpus of this size, the rows that are asked about, and their n-grams; returns how many are distinct."""
    kept = np.fromfile(tokens, np.uint16, count)
    if len(kept) < count:
        sys.exit(f"{tokens} has only {len(kept):,} tokens, not {count:,}; prepare more.")
    kept = kept[: count // ROW * ROW]
    kept.tofile(folder / "tokens.bin")
    rows = np.sort(np.random.default_rng(0).choice(len(kept) // ROW, ROWS, replace=False))
    np.save(folder / "rows.npy", rows)
    total, places = 0, []
    for n in LENGTHS:
        windows = np.lib.stride_tricks.sliding_window_view(kept.reshape(-1, ROW)[rows], n, axis=1).reshape(-1, n)
        distinct, inverse = np.unique(windows, axis=0, return_inverse=True)
        np.save(folder / f"distinct{n}.npy", distinct.astype(np.int64))
        places.append(inverse.reshape(-1) + total)
        total += len(distinct)
    np.save(folder / "all.npy", np.concatenate(places))
    return total


def measure(way: str, folder: Path, peers: str | None) -> dict[str, Any]:
    python = peers if WAYS[way][1] else sys.executable
    out = folder / f"{way}.npy"
    command = [str(python), __file__, "work", way, str(folder), str(out)]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"{way} broke:\n{ended.stdout}\n{ended.stderr}")
    parts = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith('{"what"')]
    return {part.pop("what"): part for part in parts}


def compare(folder: Path, ways: list[str]) -> None:
    """All ways must have counted the same."""
    place, first, last = np.load(folder / "all.npy"), None, np.load(folder / "distinct5.npy").shape[0]
    for way in ways:
        counts = np.load(folder / f"{way}.npy")
        kind = WAYS[way][2]
        if kind == "all":
            distinct = np.zeros(place.max() + 1, np.int64)
            distinct[place] = counts
            assert (distinct[place] == counts).all(), way
            first = distinct if first is None else first
            counts = distinct
        if first is None:
            continue
        expected = first[len(first) - last :][:BATCH] if kind == "batch" else first
        asked = counts >= 0
        if way == "infini-gram":  # it knows no n-gram over the border of two documents, nor the separator itself
            assert (counts[asked] <= expected[asked]).all(), way
        else:
            assert (counts == expected).all(), way


def table(timed: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    yield "| way | wall s | cpu s | of it building: wall, cpu | asking: wall | peak MB |"
    yield "|---|---|---|---|---|---|"
    for way, runs in timed.items():
        whole = {name: median(run["whole"][name] for run in runs) for name in ("wall", "cpu")}
        build = (
            {name: median(run["build"][name] for run in runs) for name in ("wall", "cpu")}
            if "build" in runs[0]
            else None
        )
        asked = median(run["asked"]["wall"] for run in runs) if "asked" in runs[0] else None
        note = ""
        if way == "infini-gram":
            more = 1 / runs[0]["asked"]["share"] - 1
            whole = {name: whole[name] + more * median(run["asked"][name] for run in runs) for name in whole}
            asked, note = (asked or 0) * (more + 1), " (extrapolated)"
        building = f"{build['wall']:.2f}, {build['cpu']:.2f}" if build else "-"
        asking = "-" if asked is None else f"{asked:.2f}{note}"
        peak = median(run["memory"]["megabytes"] for run in runs)
        yield f"| {way} | {whole['wall']:.2f}{note} | {whole['cpu']:.2f}{note} | {building} | {asking} | {peak:,.0f} |"


def median(values: Iterator[float]) -> float:
    return statistics.median(values)


def prepare(folders: list[Path], tokenizer: Path, out: Path, count: int) -> None:
    """Tokens of the folders' text files, in the order of their paths, equal files once."""
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
    make = commands.add_parser("prepare")
    make.add_argument("folders", nargs="+", type=Path)
    make.add_argument("--tokenizer", type=Path, required=True)
    make.add_argument("--out", type=Path, required=True)
    make.add_argument("--tokens", type=int, default=50_000_000)
    go = commands.add_parser("run")
    go.add_argument("tokens", type=Path)
    go.add_argument("--peers")
    go.add_argument("--sizes", nargs="+", type=float, default=[1, 10, 50])
    go.add_argument("--repeats", type=int, default=3)
    go.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    one = commands.add_parser("work")
    one.add_argument("way")
    one.add_argument("folder", type=Path)
    one.add_argument("out", type=Path)
    options = parser.parse_args()
    if options.command == "prepare":
        prepare(options.folders, options.tokenizer, options.out, options.tokens)
    elif options.command == "run":
        run(options.tokens, options.peers, options.sizes, options.repeats, options.ways)
    else:
        work(options.way, options.folder, options.out)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
