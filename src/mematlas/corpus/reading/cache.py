"""Documents are tokenized and cut once, into a folder named by the corpus' fingerprint.

``tokens.bin`` holds the rows' tokens back to back, ``rows.bin`` one ROW record for each row, ``meta.json`` the rest. A
folder is built beside its place and moved there when complete, so that an interrupted build is never taken for one.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from mematlas.corpus.base import CorpusOptions, as_positions
from mematlas.corpus.fingerprint import fingerprint
from mematlas.corpus.reading.bytestream import ByteStream, FileArray
from mematlas.corpus.reading.columns import Kind
from mematlas.corpus.reading.files import require_row_length
from mematlas.corpus.reading.tokenrows import TokenFileCorpus
from mematlas.errors import CorpusError
from mematlas.types import Encoder, Ids, Provenance

LAYOUT = 1  # of the folder; raised when it changes, so that older folders are built anew
NONE = -1  # in ROW, for what the source does not say
ROW = np.dtype(
    [("start", "<i8"), ("length", "<i8"), ("document", "<i8"), ("source", "<i8"), ("repetitions", "<i8"), ("id", "<i8")]
)
BATCH_DOCUMENTS, BATCH_CHARACTERS = 256, 1 << 22


@dataclass(frozen=True, slots=True)
class Record:
    """One document, as text or as tokens [n], with what its source says about it."""

    value: str | NDArray[Any]
    document: int | None = None
    source: str | None = None
    repetitions: int | None = None
    row_id: int | None = None


class Records(Protocol):
    """Documents to cut; iterated at most once, and `details` are read afterwards."""

    kind: Kind
    stream: ByteStream
    choices: dict[str, object]  # what decides, beside the options, how the bytes become documents
    details: dict[str, object]

    def __iter__(self) -> Iterator[Record]: ...


def open_cached(format: str, path: Path, records: Records, options: CorpusOptions) -> "CachedCorpus":
    """The corpus of these documents, from the cache where it is there and complete.

    Raises:
        CorpusError: text without an encoder or a row length, or no document is as long as one row.
    """
    encoder = _required_encoder(path, options) if records.kind == "text" else None
    if records.kind == "text" and options.row_length is None:
        options = replace(options, row_length=options.text_row_length)
    if records.kind == "text" or options.row_length is not None:
        require_row_length(options, f"{path} has documents of any length, which are cut into rows of one length")
    if options.cut not in ("rows", "window"):
        raise CorpusError(f"No cut is called {options.cut!r}; it is rows or window.")
    choices: dict[str, object] = {
        "layout": LAYOUT,
        "row_length": options.row_length,
        "cut": options.cut,
        "encoder": encoder and (encoder.fingerprint, encoder.vocabulary),
        **records.choices,
    }
    digest = fingerprint(format, choices, records.stream)
    folder = (options.cache or _users_cache()) / digest
    if not _is_complete(folder):
        _build(folder, path, records, options, encoder)
    return CachedCorpus(format, digest, folder)


class CachedCorpus(TokenFileCorpus):
    """Rows of a cache folder."""

    def __init__(self, format: str, fingerprint: str, folder: Path) -> None:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        tokens = FileArray(ByteStream([folder / "tokens.bin"]), meta["details"]["token_dtype"])
        super().__init__(format, fingerprint, tokens, meta["details"])
        self._rows = FileArray(ByteStream([folder / "rows.bin"]), ROW)
        self._sources: list[str] = meta["sources"]

    def __len__(self) -> int:
        return len(self._rows)

    def spans(self, positions: Ids) -> tuple[Ids, Ids]:
        """See TokenFileCorpus.spans."""
        rows = self._rows.take(positions)
        return rows["start"], rows["length"]

    def row_ids(self, positions: Ids) -> Ids:
        """The source's own ids where it has them and its documents are not cut into several rows."""
        positions = as_positions(positions, len(self))
        return self._rows.take(positions)["id"] if self.details["own_row_ids"] else positions

    def provenance(self, positions: Ids) -> Provenance:
        """See Corpus.provenance."""
        rows = self._rows.take(as_positions(positions, len(self)))
        sources = [None if code == NONE else self._sources[code] for code in rows["source"].tolist()]
        return Provenance(_known(rows["document"]), sources, _known(rows["repetitions"]))


def _known(values: NDArray[Any]) -> list[int | None]:
    return [None if value == NONE else value for value in values.tolist()]


def _required_encoder(path: Path, options: CorpusOptions) -> Encoder:
    if options.encoder is None:
        raise CorpusError(
            f"{path} is text, but the model's folder has no tokenizer to make tokens of it; "
            f"name one with --tokenizer, or give a corpus of token ids."
        )
    return options.encoder


def _users_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mematlas"


def _is_complete(folder: Path) -> bool:
    """Whether meta.json is there, which is written last, and the files have the sizes that it says."""
    try:
        sizes = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["bytes"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


def _build(folder: Path, path: Path, records: Records, options: CorpusOptions, encoder: Encoder | None) -> None:
    """Write the cache folder; another process that builds the same one meanwhile does no harm."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=folder.parent, ignore_cleanup_errors=True) as workplace:
        built, discarded = Path(workplace, "built"), Path(workplace, "discarded")
        built.mkdir()
        small = encoder is not None and encoder.vocabulary <= 1 << 16
        with (built / "tokens.bin").open("wb") as tokens, (built / "rows.bin").open("wb") as rows:
            writer = _Writer(tokens, rows, np.dtype("<u2" if small else "<u4"), options)
            for record, ids in _tokenized(records, encoder):
                writer.add(record, ids)
        if writer.rows == 0:
            raise CorpusError(
                f"{path} gives no row: none of its {writer.documents} documents has {options.row_length} tokens; "
                f"name a shorter --row-length, or keep short ones with --cut window."
            )
        details = {**records.details, **writer.details(), **({"encoder": encoder.name} if encoder else {})}
        sizes = {name: (built / name).stat().st_size for name in ("tokens.bin", "rows.bin")}
        meta = {"bytes": sizes, "sources": list(writer.sources), "details": details}
        (built / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        if folder.exists() and not _is_complete(folder):
            os.replace(folder, discarded)
        if not folder.exists():
            os.replace(built, folder)


def _tokenized(records: Iterable[Record], encoder: Encoder | None) -> Iterator[tuple[Record, NDArray[Any]]]:
    """Each document with its tokens; texts are encoded some hundred at a time."""
    batch: list[Record] = []
    characters = 0
    for record in records:
        if not isinstance(record.value, str):
            yield record, record.value
            continue
        batch.append(record)
        characters += len(record.value)
        if len(batch) == BATCH_DOCUMENTS or characters >= BATCH_CHARACTERS:
            yield from _encoded(batch, encoder)
            batch, characters = [], 0
    yield from _encoded(batch, encoder)


def _encoded(batch: list[Record], encoder: Encoder | None) -> Iterator[tuple[Record, NDArray[Any]]]:
    if not batch:
        return
    assert encoder is not None, "open_cached refuses text without an encoder"
    texts = encoder.encode([str(record.value) for record in batch])
    for record, ids in zip(batch, texts, strict=True):
        yield record, np.asarray(ids, dtype=np.int64)


class _Writer:
    """Cuts documents into rows and appends these to the two files."""

    def __init__(self, tokens: BinaryIO, rows: BinaryIO, dtype: np.dtype, options: CorpusOptions) -> None:
        self._tokens_file, self._rows_file, self._dtype = tokens, rows, dtype
        self._row_length, self._cut = options.row_length, options.cut
        self.rows = self.documents = self._tokens = self._dropped = self._short = 0
        self.sources: dict[str, int] = {}
        self.own_ids = self._row_length is None or self._cut == "window"

    def add(self, record: Record, ids: NDArray[Any]) -> None:
        """Append one document's rows."""
        if len(ids) and int(ids.max()) > np.iinfo(self._dtype).max:
            raise CorpusError(
                f"Document {self.documents} holds the token {ids.max()}, but tokens are at most "
                f"{np.iinfo(self._dtype).max} here; check that the column, or the tokenizer, is the right one."
            )
        lengths = self._lengths(len(ids))
        kept = sum(lengths)
        rows = np.empty(len(lengths), ROW)
        rows["length"] = lengths
        rows["start"] = self._tokens + np.cumsum(rows["length"]) - rows["length"]
        rows["document"] = NONE if record.document is None else record.document
        rows["repetitions"] = NONE if record.repetitions is None else record.repetitions
        rows["source"] = NONE if record.source is None else self.sources.setdefault(record.source, len(self.sources))
        rows["id"] = NONE if record.row_id is None else record.row_id
        self._tokens_file.write(ids[:kept].astype(self._dtype).tobytes())
        self._rows_file.write(rows.tobytes())
        self.own_ids = self.own_ids and record.row_id is not None
        self.rows += len(rows)
        self.documents += 1
        self._tokens += kept
        self._dropped += len(ids) - kept
        self._short += self._row_length is not None and len(ids) < self._row_length

    def _lengths(self, tokens: int) -> list[int]:
        """How many tokens each row of a document gets."""
        if self._row_length is None:
            return [tokens]
        if self._cut == "window":
            return [min(tokens, self._row_length)]
        return [self._row_length] * (tokens // self._row_length)

    def details(self) -> dict[str, object]:
        """What the manifest says about the cut."""
        return {
            "row_length": self._row_length,
            "cut": None if self._row_length is None else self._cut,
            "token_dtype": self._dtype.name,
            "documents": self.documents,
            "short_documents": self._short,
            "dropped_tokens": self._dropped,
            "own_row_ids": self.own_ids,
        }
