"""Time and peak resident memory of `mematlas explore` on a study with many lines of scores.

    python benchmarks/exploring.py [--lines 10_000_000] [--work DIR]

The study is synthetic, not scored: two models at 32 + 32 on the same rows, in 2,000 shards as `mematlas score` divides
them, with row features (copies, kinds of text, tokens) and a tokenizer of words. Signals are in the first shard only:
one row reads one shard. The server is a process of its own, as users start it; the requests are a browser's. Every
request differs from those before it, so that no answer was kept.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from rows import markdown_table

MODELS = {"160m": 162_322_944, "1b": 1_011_781_632}
CONTEXT, CONTINUATION, WORDS, SHARDS = 32, 32, 256, 2000
FEATURE_ROWS = (1 << 24) // (CONTEXT + CONTINUATION)  # of a shard of row features
REPEATS = 5


# ------------------------------------------------------------------------------------------------------------ the study


def make_study(folder: Path, lines: int) -> int:
    """Write the study; returns its number of rows. manifest.json is written last: with it, the study is kept."""
    from mematlas.study import write_json, write_table

    rows = lines // len(MODELS)
    names = {label: f"{label}-made" for label in MODELS}
    if (folder / "manifest.json").exists():
        return rows
    for label, parameters in MODELS.items():
        record = {"model": label, "spec": label, "parameters": parameters, "training_step": 143_000}
        write_table(folder / "models" / f"{names[label]}.parquet", pa.Table.from_pylist([record]))
    _write_scores(folder, rows, names)
    _write_features(folder, rows)
    _write_tokenizer(folder / "tokenizer")
    settings = {
        **{"context": [CONTEXT], "continuation": [CONTINUATION], "depth": "graded", "align": "start"},
        **{"signals": ["truth", "free"], "row_counts": {"train": rows}, "control_models": []},
    }
    run = {"key": "made", "rows_key": "made", "shards": SHARDS, "models": names, "question": settings, "asked": 0.0}
    write_json(folder / "runs" / "made.json", run)
    cards = {label: {"fingerprint": "made", "spec": label, "vocabulary": WORDS, "tokenizer": "t"} for label in MODELS}
    configuration = {"corpus": "none", "study": str(folder), "tokenizer": str(folder / "tokenizer")}
    entry = {"configuration": configuration, "models": cards}
    write_json(folder / "manifest.json", {"current": "made", "runs": {"made": entry}})
    return rows


def _write_scores(folder: Path, rows: int, names: dict[str, str]) -> None:
    from mematlas.study import shard_name, write_shard

    rng = np.random.default_rng(0)
    for index in range(SHARDS):
        ids = np.arange(index * rows // SHARDS, (index + 1) * rows // SHARDS)
        n, name = len(ids), shard_name(index, SHARDS)
        columns = {"row": ids, "role": pa.repeat("train", n), "repetitions": 2 ** rng.integers(0, 9, n)}
        sources = pa.array([f"source {number}" for number in range(20)])
        columns |= {"document": ids // 20, "source": sources.take(pa.array(rng.integers(0, 20, n)))}
        write_shard(folder / "rows" / "made", name, pa.table(columns), {})
        for label in MODELS:
            matches = np.where(rng.random(n) < 0.05, CONTINUATION, rng.binomial(CONTINUATION, 0.2, n))
            scores = {
                **{"model": pa.repeat(label, n), "row": ids, "context": pa.array(np.full(n, CONTEXT, np.int32))},
                "continuation": pa.array(np.full(n, CONTINUATION, np.int32)),
                "matches": pa.array(matches, pa.int32()),
                "verbatim": pa.array(np.minimum(matches, rng.integers(0, 33, n)), pa.int32()),
                **{"margin": rng.exponential(1, n).astype(np.float32), "reason": pa.nulls(n, pa.string())},
            }
            write_shard(folder / "scores" / "made" / names[label], name, pa.table(scores), {})
            if index == 0:
                for kind, table in _signals(rng, label, ids).items():
                    write_shard(folder / "signals" / "made" / kind / names[label], name, table, {})


def _signals(rng: np.random.Generator, label: str, ids: np.ndarray) -> dict[str, pa.Table]:
    """Random records of both kinds, of the schemas that scoring writes."""
    from mematlas.study.schemas.scores import FREE, truth_schema

    tables = {}
    for kind, schema, width in (("free", FREE, CONTINUATION), ("truth", truth_schema(()), CONTEXT + CONTINUATION)):
        key = {"model": label, "row": 0, "context": CONTEXT, "continuation": CONTINUATION}
        arrays = []
        for field in schema:
            if field.name == "row":
                arrays.append(pa.array(ids))
            elif field.name in key:
                arrays.append(pa.repeat(key[field.name], len(ids)).cast(field.type))
            else:
                arrays.append(_lists(rng.integers(0, 2, (len(ids), width))).cast(field.type))
        tables[kind] = pa.table(arrays, schema=schema)
    return tables


def _lists(values: np.ndarray) -> pa.ListArray:
    """A list for each record of an array [n, width]."""
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel()))


def _write_features(folder: Path, rows: int) -> None:
    from mematlas.study import shard_name, write_json, write_shard
    from mematlas.study.schemas.features import COPIES, GROUP_ROWS, TEXTS, TOKENS

    rng, count = np.random.default_rng(1), -(-rows // FEATURE_ROWS)
    for index in range(count):
        ids = np.arange(index * rows // count, (index + 1) * rows // count)
        n = len(ids)
        tokens = rng.integers(0, WORDS, (n, CONTEXT + CONTINUATION), dtype=np.int32)
        tokens[ids % 100_000 == 7, 40:42] = (WORDS - 1, 0)  # what a search may look for
        cell = {"row": ids, "context": pa.array(np.full(n, CONTEXT, np.int32))}
        cell["continuation"] = pa.array(np.full(n, CONTINUATION, np.int32))
        tables = {
            "tokens": (TOKENS, {"row": ids, "tokens": _lists(tokens)}),
            "copies": (COPIES, cell | {"window_rows": 2 ** rng.integers(0, 6, n)}),
            "texts": (TEXTS, cell | {"repeating": rng.random(n) < 0.05, "incrementing": rng.random(n) < 0.02}),
        }
        for kind, (schema, columns) in tables.items():
            arrays = [pa.array(columns[f.name]) if f.name in columns else pa.nulls(n, f.type) for f in schema]
            arrays = [array.cast(field.type) for array, field in zip(arrays, schema, strict=True)]
            folder_of_kind = folder / "features" / "made" / kind
            table = pa.table(arrays, schema=schema)
            write_shard(folder_of_kind, shard_name(index, count), table, {}, GROUP_ROWS.get(kind))
    write_json(folder / "features" / "made" / "facts.json", {"scope": "rows", "tokens": rows * 64})


def _write_tokenizer(folder: Path) -> None:
    """One word for each token, none a part of another: worda, wordb ..."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {f"w{number:03d}x": number for number in range(WORDS - 1)} | {"a": WORDS - 1}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))


# --------------------------------------------------------------------------------------------------------- the requests


class Seconds(NamedTuple):
    """wall: seconds of the clock; processor: of the server's threads together."""

    wall: float
    processor: float


class Server:
    """`mematlas explore` in a process of its own, and a connection with its cookie."""

    def __init__(self, study: Path) -> None:
        started = time.perf_counter()
        command = [sys.executable, "-m", "mematlas", "explore", str(study), "--no-browser"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        address = self.process.stdout.readline().split()[-1]
        self.seconds_to_address = time.perf_counter() - started
        host, _, self._first = address.removeprefix("http://").partition("/")
        self._connection = http.client.HTTPConnection(host)
        self._headers: dict[str, str] = {}
        _, response = self._send("/" + self._first)
        self._headers = {"Cookie": str(response.getheader("Set-Cookie")).partition(";")[0]}

    def _send(self, path: str) -> tuple[bytes, http.client.HTTPResponse]:
        self._connection.request("GET", path, headers=self._headers)
        response = self._connection.getresponse()
        return response.read(), response

    def get(self, path: str) -> tuple[bytes, "Seconds"]:
        """The answer, and how long it took."""
        started, used = time.perf_counter(), self.processor_seconds()
        body, response = self._send(path)
        assert response.status == 200, body[:500]
        return body, Seconds(time.perf_counter() - started, self.processor_seconds() - used)

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> dict[str, float]:
        """Resident memory in MB: its peak, and now."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        values = dict(line.split(":") for line in lines)
        return {name: int(values[key].split()[0]) / 1000 for name, key in (("peak", "VmHWM"), ("now", "VmRSS"))}

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def page(query: str) -> str:
    return f"/api/rows?model=1b&context={CONTEXT}&continuation={CONTINUATION}&limit=50&{query}"


#: What is measured -> the request of a repetition.
REQUESTS: dict[str, Callable[[int], str]] = {
    "filter by matches, sort by margin": lambda i: page(f"matches_min={20 + i}&sort=margin"),
    "filter by repetitions and copies, sort by matches": lambda i: page(
        f"repetitions_min={i + 2}&copies_max={i + 9}&sort=matches&descending=1"
    ),
    "all rows, sorted by margin": lambda i: page(f"sort=margin&descending={i % 2}&margin_min=0.{i}"),
    "all rows, sorted by source": lambda i: page(f"sort=source&descending={i % 2}&row_min={i}"),
    "level and kind of text": lambda i: page(f"level=low&kind=repeating&kind=incrementing&row_min={i}"),
    "rows that the other model recites and this one does not": lambda i: page(
        f"compare=160m&change_min=0.5&sort=change&descending=1&row_min={i}"
    ),
    "page 1,000 of a sorted table": lambda i: page(f"sort=margin&descending=1&offset={50_000 + 50 * i}"),
    "strip plot": lambda i: f"/api/strip?model=1b&repetitions_min={i + 20}",
    "one row, with signals": lambda i: f"/api/row?row={17 + i}",
    "one row far from the others": lambda i: f"/api/row?row={17 + 900_001 * i}",
    "search for a rare word": lambda i: page(f"search={quote('a w000x')}&row_min={i}"),
}


def measure(study: Path) -> Iterator[list[str]]:
    """The lines of the table: what, seconds of the first request, medians of the others, and the peak of memory."""
    server = Server(study)

    def line(name: str, first: Seconds, others: Sequence[Seconds] = ()) -> list[str]:
        medians = [f"{median(values):.2f}" for values in zip(*others, strict=True)] if others else ["", ""]
        return [name, f"{first.wall:.2f}", f"{first.processor:.2f}", *medians, f"{server.memory()['peak']:.0f}"]

    try:
        yield line("from the command to the address", Seconds(server.seconds_to_address, server.processor_seconds()))
        paths = ("/", "/api/study", page("sort=matches&descending=1"), "/api/strip")
        taken = [server.get(path)[1] for path in paths]
        yield line("first page: the page, the study, 50 rows, strip plot", Seconds(*map(sum, zip(*taken, strict=True))))
        for name, request in REQUESTS.items():
            first, *others = [server.get(request(i))[1] for i in range(REPEATS + 1)]
            yield line(name, first, others)
        body, seconds = server.get(page("matches_min=32").replace("/api/rows", "/api/export") + "&format=ids")
        yield line(f"export of {len(body.split()):,} ids", seconds)
        body, seconds = server.get(page("matches_min=32").replace("/api/rows", "/api/export") + "&format=csv")
        yield line(f"export of {len(body.splitlines()):,} lines of CSV", seconds)
    finally:
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--work", type=Path, help="folder that keeps the study; a temporary one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        study = (options.work or Path(temporary)) / f"exploring-{options.lines}"
        rows = make_study(study, options.lines)
        print(f"{options.lines:,} lines of {rows:,} rows; load {os.getloadavg()[0]:.1f}", file=sys.stderr)
        table = []
        for cells in measure(study):
            table.append(cells)
            print(json.dumps(cells), file=sys.stderr, flush=True)
        others = f"median of {REPEATS} others"
        header = ["request", "first, s", "processor, s", f"{others}, s", f"{others}, processor, s", "peak so far, MB"]
        print(markdown_table(header, table))


if __name__ == "__main__":
    main()
