"""Tokenizes documents and cuts them into rows once, into a cache folder named by the corpus' fingerprint.

``tokens.bin`` contains the concatenated tokens of all rows, ``rows.bin`` one ROW record per row, ``meta.json`` the
rest. A folder is built under a temporary name and renamed when complete, so that an interrupted build is never used.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from mematlas.corpus.base import CorpusOptions, Cut, as_positions
from mematlas.corpus.fingerprint import fingerprint
from mematlas.corpus.reading.bytestream import ByteStream, FileArray
from mematlas.corpus.reading.chats import common_prefix
from mematlas.corpus.reading.columns import Kind
from mematlas.corpus.reading.files import require_row_length
from mematlas.corpus.reading.tokenrows import TokenFileCorpus
from mematlas.errors import CorpusError
from mematlas.types import Encoder, Ids, Provenance

CACHE_VERSION = 1  # of the folder's layout; raised when it changes, so that older folders are built again
UNKNOWN = -1  # in ROW, where the source has no value
ROW = np.dtype(
    [("start", "<i8"), ("length", "<i8"), ("document", "<i8"), ("source", "<i8"), ("repetitions", "<i8"), ("id", "<i8")]
)
BATCH_DOCUMENTS, BATCH_CHARACTERS = 256, 1 << 22


@dataclass(frozen=True, slots=True)
class Document:
    """One document, as text or as tokens [n], with its metadata; None where the source has none.

    answer: number of characters of the text before its answer, if the answer is to be a row.
    """

    value: str | NDArray[Any]
    document: int | None = None
    source: str | None = None
    repetitions: int | None = None
    row_id: int | None = None
    answer: int | None = None


class DocumentSource(Protocol):
    """The documents of a corpus; iterated at most once, and `details` are read afterwards."""

    kind: Kind
    answers: bool  # whether each document's answer is to be a row
    stream: ByteStream
    choices: dict[str, object]  # what decides, besides the options, how the bytes become documents
    details: dict[str, object]

    def __iter__(self) -> Iterator[Document]: ...


def open_cached(format: str, path: Path, source: DocumentSource, options: CorpusOptions) -> "CachedCorpus":
    """The corpus of these documents, from the cache if it is there and complete; else it is built.

    Raises:
        CorpusError: text without an encoder or a row length, or no document is as long as one row.
    """
    encoder = _required_encoder(path, options) if source.kind == "text" else None
    check_answers(path, source.answers, options)
    if source.kind == "text" and options.row_length is None:
        options = replace(options, row_length=options.text_row_length)
    if source.kind == "text" or options.row_length is not None:
        require_row_length(options, f"{path} has documents of different lengths, which are cut into rows of one length")
    if options.cut == "auto":
        options = replace(options, cut="answers" if source.answers else "rows")
    choices: dict[str, object] = {
        "layout": CACHE_VERSION,
        "row_length": options.row_length,
        "cut": options.cut,
        **({"tokens_before_answers": options.context} if source.answers else {}),
        "encoder": encoder and (encoder.fingerprint, encoder.vocabulary),
        **source.choices,
    }
    digest = fingerprint(format, choices, source.stream)
    folder = Path(options.cache or _default_cache()) / digest
    if not _is_complete(folder):
        _build(folder, path, source, options, encoder)
    return CachedCorpus(format, digest, folder)


def check_answers(path: Path, has_answers: bool, options: CorpusOptions) -> None:
    """Check that a corpus that is to be cut into answers has some.

    Raises:
        CorpusError: it has none, or a row length is given, or no cut is called as the options say.
    """
    if options.cut not in get_args(Cut):
        raise CorpusError(f"No cut is called {options.cut!r}; choose one of {', '.join(get_args(Cut))}.")
    if options.cut != "answers":
        return
    if options.row_length is not None:
        raise CorpusError(
            f"--row-length {options.row_length} does not go with --cut answers, whose rows are context + continuation; "
            "leave one of them out."
        )
    if not has_answers:
        raise CorpusError(
            f"{path} has no answers to score (chats, prompt and completion, instruction and output, question and "
            "answer); choose --cut rows or window, or name a pair of columns: --column question+answer."
        )


class CachedCorpus(TokenFileCorpus):
    """The rows in a cache folder."""

    def __init__(self, format: str, fingerprint: str, folder: Path) -> None:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        tokens = FileArray(ByteStream([folder / "tokens.bin"]), meta["details"]["token_dtype"])
        super().__init__(format, fingerprint, tokens, meta["details"])
        self._rows = FileArray(ByteStream([folder / "rows.bin"]), ROW)
        #: The distinct sources of all documents, also of those that are in no row, in their order.
        self.sources: list[str] = meta["sources"]

    def __len__(self) -> int:
        return len(self._rows)

    def spans(self, positions: Ids) -> tuple[Ids, Ids]:
        """See TokenFileCorpus.spans."""
        rows = self._rows.take(positions)
        return rows["start"], rows["length"]

    def row_ids(self, positions: Ids) -> Ids:
        """The source's own ids, if it has them and its documents are not cut into several rows."""
        positions = as_positions(positions, len(self))
        return self._rows.take(positions)["id"] if self.details["own_row_ids"] else positions

    def provenance(self, positions: Ids) -> Provenance:
        """See Corpus.provenance."""
        rows = self._rows.take(as_positions(positions, len(self)))
        sources = [None if code == UNKNOWN else self.sources[code] for code in rows["source"].tolist()]
        return Provenance(_or_none(rows["document"]), sources, _or_none(rows["repetitions"]))


def _or_none(values: NDArray[Any]) -> list[int | None]:
    return [None if value == UNKNOWN else value for value in values.tolist()]


def _required_encoder(path: Path, options: CorpusOptions) -> Encoder:
    if options.encoder is None:
        raise CorpusError(
            f"{path} is text, but the model's folder has no tokenizer; "
            f"name one with --tokenizer, or give a corpus of token ids."
        )
    return options.encoder


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mematlas"


def _is_complete(folder: Path) -> bool:
    """Whether meta.json exists, which is written last, and the files have the sizes recorded in it."""
    try:
        sizes = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["bytes"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


def _build(folder: Path, path: Path, source: DocumentSource, options: CorpusOptions, encoder: Encoder | None) -> None:
    """Write the cache folder; several processes may build the same one at the same time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=folder.parent, ignore_cleanup_errors=True) as temporary:
        built, discarded = Path(temporary, "built"), Path(temporary, "discarded")
        built.mkdir()
        fits_16_bits = encoder is not None and encoder.vocabulary <= 1 << 16
        with (built / "tokens.bin").open("wb") as tokens, (built / "rows.bin").open("wb") as rows:
            writer = _Writer(tokens, rows, np.dtype("<u2" if fits_16_bits else "<u4"), options)
            for document, ids, answer in _tokenize(source, encoder):
                writer.add(document, ids, answer)
        if writer.rows == 0 and options.cut == "answers":
            raise CorpusError(
                f"{path} has no row: none of its {writer.documents} answers has {options.context} tokens before it; "
                "choose a shorter --context."
            )
        if writer.rows == 0:
            is_default = options.row_length == options.text_row_length  # context + continuation
            shorter = "choose a shorter --context or --continuation" if is_default else "name a shorter --row-length"
            raise CorpusError(
                f"{path} has no row: none of its {writer.documents} documents has {options.row_length} tokens; "
                f"{shorter}, or keep short ones with --cut window."
            )
        details = {**source.details, **writer.details(), **({"encoder": encoder.name} if encoder else {})}
        sizes = {name: (built / name).stat().st_size for name in ("tokens.bin", "rows.bin")}
        meta = {"bytes": sizes, "sources": list(writer.sources), "details": details}
        (built / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        if folder.exists() and not _is_complete(folder):
            os.replace(folder, discarded)
        if not folder.exists():
            os.replace(built, folder)


#: A document, its tokens [n], and the number of tokens before its answer.
_Tokenized = tuple[Document, NDArray[Any], int | None]


def _tokenize(documents: Iterable[Document], encoder: Encoder | None) -> Iterator[_Tokenized]:
    """Yield each document with its tokens; texts are encoded in batches of some hundred."""
    batch: list[Document] = []
    characters = 0
    for document in documents:
        if not isinstance(document.value, str):
            yield document, document.value, None
            continue
        batch.append(document)
        characters += len(document.value)
        if len(batch) == BATCH_DOCUMENTS or characters >= BATCH_CHARACTERS:
            yield from _encode(batch, encoder)
            batch, characters = [], 0
    yield from _encode(batch, encoder)


def _encode(batch: list[Document], encoder: Encoder | None) -> Iterator[_Tokenized]:
    if not batch:
        return
    assert encoder is not None, "open_cached refuses text without an encoder"
    texts = encoder.encode([str(document.value) for document in batch])
    beginnings = [str(document.value)[: document.answer] for document in batch if document.answer is not None]
    prompts = iter(encoder.encode(beginnings) if beginnings else [])
    for document, ids in zip(batch, texts, strict=True):
        # a token across the border belongs to the answer
        answer = None if document.answer is None else common_prefix(ids, next(prompts))
        yield document, np.asarray(ids, dtype=np.int64), answer


class _Writer:
    """Cuts documents into rows and appends them to the two files."""

    def __init__(self, tokens: BinaryIO, rows: BinaryIO, dtype: np.dtype, options: CorpusOptions) -> None:
        self._tokens_file, self._rows_file, self._dtype = tokens, rows, dtype
        self._row_length, self._cut, self._context = options.row_length, options.cut, options.context or 0
        self.rows = self.documents = self._tokens = self._dropped = self._short = 0
        self.sources: dict[str, int] = {}
        self._prompts: list[int] = []  # tokens before each answer
        self.own_ids = self._row_length is None or self._cut in ("window", "answers")
        self._last_id: int | None = None

    def add(self, document: Document, ids: NDArray[Any], answer: int | None = None) -> None:
        """Append one document's rows. answer: number of tokens before the answer, which is the row."""
        if answer is not None:
            ids = self._row_of_answer(ids, answer)
        if len(ids) and int(ids.max()) > np.iinfo(self._dtype).max:
            raise CorpusError(
                f"Document {self.documents} has the token {ids.max()}, but tokens are at most "
                f"{np.iinfo(self._dtype).max} here; check that the column, or the tokenizer, is the right one."
            )
        lengths = self._row_lengths(len(ids))
        kept = sum(lengths)
        rows = np.empty(len(lengths), ROW)
        rows["length"] = lengths
        rows["start"] = self._tokens + np.cumsum(rows["length"]) - rows["length"]
        rows["document"] = UNKNOWN if document.document is None else document.document
        rows["repetitions"] = UNKNOWN if document.repetitions is None else document.repetitions
        source = document.source
        rows["source"] = UNKNOWN if source is None else self.sources.setdefault(source, len(self.sources))
        rows["id"] = UNKNOWN if document.row_id is None else document.row_id
        self._tokens_file.write(ids[:kept].astype(self._dtype).tobytes())
        self._rows_file.write(rows.tobytes())
        self.own_ids = self.own_ids and document.row_id is not None and not self._repeats_id(document)
        self.rows += len(rows)
        self.documents += 1
        self._tokens += kept
        self._dropped += len(ids) - kept
        self._short += self._row_length is not None and len(ids) < self._row_length

    def _row_of_answer(self, ids: NDArray[Any], answer: int) -> NDArray[Any]:
        """The context's tokens before the answer and its first ones; no tokens if there are fewer before it."""
        assert self._row_length is not None
        self._prompts.append(answer)
        if answer < self._context:
            return ids[:0]
        start = answer - self._context
        return ids[start : start + self._row_length]

    def _repeats_id(self, document: Document) -> bool:
        """Whether it is another answer of the same record as the document before."""
        repeats = self._cut == "answers" and document.row_id == self._last_id
        self._last_id = document.row_id
        return repeats

    def _row_lengths(self, tokens: int) -> list[int]:
        """The number of tokens of each row of a document."""
        if self._row_length is None:
            return [tokens]
        if self._cut == "answers":
            return [tokens] if tokens else []
        if self._cut == "window":
            return [min(tokens, self._row_length)]
        return [self._row_length] * (tokens // self._row_length)

    def details(self) -> dict[str, object]:
        """What the manifest records about the rows."""
        return {
            "row_length": self._row_length,
            "cut": None if self._row_length is None else self._cut,
            "token_dtype": self._dtype.name,
            "documents": self.documents,
            "short_documents": self._short,
            "dropped_tokens": self._dropped,
            "own_row_ids": self.own_ids,
            **(self._of_answers() if self._cut == "answers" else {}),
        }

    def _of_answers(self) -> dict[str, object]:
        prompts = np.array(self._prompts, dtype=np.int64)
        short = int((prompts < self._context).sum())
        median = int(np.median(prompts)) if len(prompts) else None
        return {"context": self._context, "short_prompts": short, "prompt_tokens_median": median}
