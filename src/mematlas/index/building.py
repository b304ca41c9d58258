"""Building an index folder: copies the stream, then sorts its shards in several processes."""

import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np

from mematlas.corpus.base import MOVED
from mematlas.errors import IndexFault
from mematlas.index.folder import LAYOUT, IndexManifest, digest_file, memory_map, read_manifest_file
from mematlas.index.stream import CorpusStream, RowSource
from mematlas.index.suffix_arrays import suffix_order
from mematlas.progress import Progress, Silent
from mematlas.study import translate_os_errors, write_atomically, write_json

SHARD_TOKENS: Final = 1 << 26  # sorting a shard takes 13 bytes per 2-byte token: 0.9 GB


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How to build an index.

    source: the corpus as the user named it; vocabulary, eod, joined: see CorpusStream; workers: processes that sort
    shards.
    """

    source: str
    vocabulary: int | None = None
    eod: int | None = None
    joined: bool = False
    tokenizer: str | None = None
    tokenizer_fingerprint: str | None = None
    shard_tokens: int = SHARD_TOKENS
    workers: int | None = None


def build_index(
    rows: RowSource, folder: str | Path, options: IndexOptions, progress: Progress | None = None
) -> IndexManifest:
    """Index a corpus in `folder`, or finish an interrupted build; a complete index is left as it is.

    Args:
        progress: shows the rows copied, then the tokens sorted; silent by default.

    Raises:
        IndexFault: the folder contains the index of another corpus, or one built with other options.
        StudyError: the disk is full, or the folder cannot be written.
        CorpusError: the corpus is damaged.
    """
    folder, progress = Path(folder), progress or Silent()
    with translate_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        manifest = read_manifest_file(folder / "stream.json") or _copy_stream(rows, folder, options, progress)
        _check_existing(manifest, rows, folder, options)
        if not (folder / "index.json").is_file():
            _sort_shards(folder, manifest, options.workers, progress)
            files = ["tokens.bin", "rows.bin", "documents.bin", *map(manifest.shard_file, range(len(manifest.shards)))]
            sizes = {name: [(folder / name).stat().st_size, digest_file(folder / name)] for name in files}
            write_json(folder / "index.json", {"layout": LAYOUT, **asdict(manifest), "files": sizes})
    return manifest


def _copy_stream(rows: RowSource, folder: Path, options: IndexOptions, progress: Progress) -> IndexManifest:
    """Write the stream and its boundaries; stream.json last."""
    stream = CorpusStream(rows, options.vocabulary, options.eod, options.joined)
    is_16_bit = stream.vocabulary <= 1 << 16 or rows.details.get("token_dtype") == "uint16"
    dtype = np.dtype("<u2" if is_16_bit else "<u4")
    counts = {"tokens": 0, "rows": 0, "documents": 0}
    unfinished = {name: folder / f"{name}.bin.part" for name in counts}
    with ExitStack() as stack:
        files = {name: stack.enter_context(path.open("wb")) for name, path in unfinished.items()}
        progress.start("copying", len(rows), 0)
        for chunk in stream.chunks(0):
            files["tokens"].write(chunk.tokens.astype(dtype).tobytes())
            for name, boundaries in (("rows", chunk.rows), ("documents", chunk.documents)):
                files[name].write((boundaries.starts + chunk.start).astype("<i8").tobytes())
                counts[name] += len(boundaries.starts)
            counts["tokens"] += len(chunk.tokens)
            progress.advance(len(chunk.rows.starts))
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    for name, path in unfinished.items():
        path.replace(folder / f"{name}.bin")
    manifest = IndexManifest(
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
        bool(rows.details.get(MOVED)),
    )
    write_json(folder / "stream.json", {"layout": LAYOUT, **asdict(manifest)})
    return manifest


def _check_existing(manifest: IndexManifest, rows: RowSource, folder: Path, options: IndexOptions) -> None:
    """Refuse an existing index of another corpus or of other options."""
    expected = {"corpus": rows.fingerprint, "eod": options.eod, "joined": options.joined}
    expected |= {"tokenizer_fingerprint": options.tokenizer_fingerprint} if options.tokenizer_fingerprint else {}
    for name, value in expected.items():
        actual = getattr(manifest, name)
        if actual != value:
            raise IndexFault(
                f"{folder} contains an index with another {name.replace('_', ' ')} ({actual}, not {value}); "
                "choose another --out, or delete the folder."
            )


def _sort_shards(folder: Path, manifest: IndexManifest, workers: int | None, progress: Progress) -> None:
    missing = {}
    for number, (start, stop) in enumerate(manifest.shards):
        path = folder / manifest.shard_file(number)
        if not path.is_file() or path.stat().st_size != 4 * (stop - start):
            missing[number] = (start, stop)
    workers = min(workers or os.cpu_count() or 1, len(missing))
    jobs = [(folder, manifest.dtype, folder / manifest.shard_file(n), *missing[n]) for n in missing]
    progress.start(
        "sorting", manifest.tokens, manifest.tokens - sum(stop - start for start, stop in missing.values()), "tokens"
    )
    if workers <= 1:
        for tokens in map(_sort_shard, jobs):
            progress.advance(tokens)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for tokens in pool.map(_sort_shard, jobs):
            progress.advance(tokens)


def _sort_shard(job: tuple[Path, str, Path, int, int]) -> int:
    folder, dtype, path, start, stop = job
    order = suffix_order(memory_map(folder / "tokens.bin", dtype)[start:stop], by_bytes=False)
    write_atomically(path, lambda temporary: order.astype("<u4").tofile(temporary))
    return stop - start
