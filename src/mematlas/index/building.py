"""Building an index folder: the stream copied, then its shards sorted, in several processes."""

import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from mematlas.errors import IndexFault
from mematlas.index.folder import LAYOUT, IndexFacts, digest, mapped, read_facts
from mematlas.index.stream import CorpusStream, RowSource
from mematlas.index.suffix_arrays import suffix_order
from mematlas.study import translate_os_errors, write_atomically, write_json

SHARD_TOKENS: Final = 1 << 26  # sorting a shard takes 13 bytes a 2-byte token: 0.9 GB


class Watcher(Protocol):
    """What long work tells: how many rows or tokens there are in all and done before, then those that are done."""

    def start(self, label: str, total: int, done: int, unit: str = "rows") -> None: ...
    def advance(self, rows: int) -> None: ...


class _Silent:
    def start(self, label: str, total: int, done: int, unit: str = "rows") -> None: ...
    def advance(self, rows: int) -> None: ...


SILENT: Final = _Silent()


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How to build. See CorpusStream for vocabulary, eod, joined; source: the corpus as the user named it;
    workers: processes that sort shards."""

    source: str
    vocabulary: int | None = None
    eod: int | None = None
    joined: bool = False
    tokenizer: str | None = None
    tokenizer_fingerprint: str | None = None
    shard_tokens: int = SHARD_TOKENS
    workers: int | None = None


def build_index(rows: RowSource, folder: Path, options: IndexOptions, watcher: Watcher = SILENT) -> IndexFacts:
    """Index a corpus in `folder`, or finish what an interrupted build began there; nothing is done where all is there.

    Args:
        watcher: told of rows that are copied, then of tokens that are sorted.

    Raises:
        IndexFault: the folder holds another corpus' index, or one made with other options.
        StudyError: no room, or the folder cannot be written.
        CorpusError: the corpus is damaged.
    """
    with translate_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        facts = read_facts(folder / "stream.json") or _copy_stream(rows, folder, options, watcher)
        _check_same(facts, rows, folder, options)
        if not (folder / "index.json").is_file():
            _sort_shards(folder, facts, options.workers, watcher)
            files = ["tokens.bin", "rows.bin", "documents.bin", *map(facts.shard_file, range(len(facts.shards)))]
            sizes = {name: [(folder / name).stat().st_size, digest(folder / name)] for name in files}
            write_json(folder / "index.json", {"layout": LAYOUT, **asdict(facts), "files": sizes})
    return facts


def _copy_stream(rows: RowSource, folder: Path, options: IndexOptions, watcher: Watcher) -> IndexFacts:
    """Write the stream and its borders; stream.json last."""
    stream = CorpusStream(rows, options.vocabulary, options.eod, options.joined)
    narrow = stream.vocabulary <= 1 << 16 or rows.details.get("token_dtype") == "uint16"
    dtype = np.dtype("<u2" if narrow else "<u4")
    counts = {"tokens": 0, "rows": 0, "documents": 0}
    parts = {name: folder / f"{name}.bin.part" for name in counts}
    with ExitStack() as stack:
        files = {name: stack.enter_context(path.open("wb")) for name, path in parts.items()}
        watcher.start("copying", len(rows), 0)
        for piece in stream.pieces(0):
            files["tokens"].write(piece.tokens.astype(dtype).tobytes())
            for name, borders in (("rows", piece.rows), ("documents", piece.documents)):
                files[name].write((borders.starts + piece.start).astype("<i8").tobytes())
                counts[name] += len(borders.starts)
            counts["tokens"] += len(piece.tokens)
            watcher.advance(len(piece.rows.starts))
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    for name, path in parts.items():
        path.replace(folder / f"{name}.bin")
    facts = IndexFacts(
        rows.fingerprint,
        options.source,
        min(stream.vocabulary, 1 << 8 * dtype.itemsize),
        dtype.str,
        options.eod,
        options.joined,
        options.tokenizer,
        options.tokenizer_fingerprint,
        counts["tokens"],
        counts["rows"],
        counts["documents"],
        options.shard_tokens,
    )
    write_json(folder / "stream.json", {"layout": LAYOUT, **asdict(facts)})
    return facts


def _check_same(facts: IndexFacts, rows: RowSource, folder: Path, options: IndexOptions) -> None:
    """An index that is there already is of this corpus and these options."""
    asked = {"corpus": rows.fingerprint, "eod": options.eod, "joined": options.joined}
    asked |= {"tokenizer_fingerprint": options.tokenizer_fingerprint} if options.tokenizer_fingerprint else {}
    for name, value in asked.items():
        if getattr(facts, name) != value:
            raise IndexFault(
                f"{folder} holds an index with another {name.replace('_', ' ')} ({getattr(facts, name)}, not {value}); "
                "choose another --out, or delete the folder."
            )


def _sort_shards(folder: Path, facts: IndexFacts, workers: int | None, watcher: Watcher) -> None:
    missing = {}
    for number, (start, stop) in enumerate(facts.shards):
        path = folder / facts.shard_file(number)
        if not path.is_file() or path.stat().st_size != 4 * (stop - start):
            missing[number] = (start, stop)
    workers = min(workers or os.cpu_count() or 1, len(missing))
    jobs = [(folder, facts.dtype, folder / facts.shard_file(n), *missing[n]) for n in missing]
    watcher.start(
        "sorting", facts.tokens, facts.tokens - sum(stop - start for start, stop in missing.values()), "tokens"
    )
    if workers <= 1:
        for done in map(_sort_shard, jobs):
            watcher.advance(done)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done in pool.map(_sort_shard, jobs):
            watcher.advance(done)


def _sort_shard(job: tuple[Path, str, Path, int, int]) -> int:
    folder, dtype, path, start, stop = job
    order = suffix_order(mapped(folder / "tokens.bin", dtype)[start:stop], by_bytes=False)
    write_atomically(path, lambda temporary: order.astype("<u4").tofile(temporary))
    return stop - start
