"""A corpus as one stream of tokens, row after row, with the positions at which rows and documents start.

A row begins a new document unless the corpus says that it continues the document of the row before, or its rows are
`joined`: consecutive pieces of one text. In a training order, rows that are no neighbours in the corpus stand side by
side: there a row can continue only the row that it follows in the corpus. Inside rows, a document starts after every
end-of-document token, if one is given.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import IndexFault
from mematlas.types import Ids, Provenance, TokenRows

CHUNK_TOKENS: Final = 1 << 22  # tokens read at once: bounds the memory of a pass over the corpus
_LOOKAHEAD_TOKENS: Final = 1 << 12  # read at once where a few tokens are needed
_WIDEST: Final = 1 << 16  # tokens of a row that are read at first; the rest of a longer row follows


class RowSource(Protocol):
    """The rows that a stream is read from; a corpus implements it."""

    fingerprint: str
    details: dict[str, object]

    def __len__(self) -> int: ...
    def read(self, positions: Ids, width: int) -> TokenRows: ...
    def provenance(self, positions: Ids) -> Provenance: ...


@runtime_checkable
class OrderedRows(Protocol):
    """Rows in another order than the corpus'; `mematlas.corpus.training_order.TrainingOrder` implements it."""

    def follows_previous(self, positions: Ids) -> NDArray[np.bool_]:
        """Whether the row before the one at each position is also the one before it in the corpus."""
        ...


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the last row with tokens stands; None before the first one.

    document: its number, None if unknown; run: how many of the rows up to it do not follow the row before them in the
    corpus; last_token: of the row.
    """

    document: int | None = None
    run: int = 0
    last_token: int | None = None


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Where rows or documents start, as ascending indices into a segment of the stream.

    number_before: the number of the row or document just before the segment, -1 at the stream's beginning.
    """

    starts: Ids
    number_before: int = -1

    def numbers_at(self, positions: Ids) -> Ids:
        """The number of the row or document that the token at each position belongs to."""
        return self.number_before + np.searchsorted(self.starts, positions, side="right")

    def slice(self, start: int, stop: int) -> "Boundaries":
        """The boundaries within the tokens start .. stop-1, as indices counted from `start`."""
        low, high = np.searchsorted(self.starts, [start, stop])
        return Boundaries(np.asarray(self.starts[low:high]) - start, self.number_before + int(low))

    def extended_by(self, other: "Boundaries", tokens: int) -> "Boundaries":
        """These boundaries and those of the following segment, which begins after `tokens` tokens."""
        return Boundaries(np.concatenate([self.starts, other.starts + tokens]), self.number_before)

    def crossed_by(self, positions: Ids, n: int) -> NDArray[np.bool_]:
        """Whether the n-gram at each position crosses a boundary: whether a row or document starts inside it."""
        return np.searchsorted(self.starts, positions, "right") < np.searchsorted(self.starts, positions + n)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A segment of the stream, followed by the first tokens of the next one as overlap.

    start: position of its first token in the stream; tokens: `own_length` tokens of the segment, then the overlap;
    rows, documents: where they start within `tokens`.
    """

    start: int
    tokens: NDArray[np.uint32]
    own_length: int
    rows: Boundaries
    documents: Boundaries

    def tail(self, start: int) -> "Chunk":
        """The chunk from its token `start` on."""
        rows, documents = (boundaries.slice(start, len(self.tokens)) for boundaries in (self.rows, self.documents))
        return Chunk(self.start + start, self.tokens[start:], len(self.tokens) - start, rows, documents)

    def extended_by(self, other: "Chunk") -> "Chunk":
        """This chunk and the following one as a single chunk."""
        length = len(self.tokens)
        return Chunk(
            self.start,
            np.concatenate([self.tokens, other.tokens]),
            length + other.own_length,
            self.rows.extended_by(other.rows, length),
            self.documents.extended_by(other.documents, length),
        )


class Stream(Protocol):
    """A corpus read in chunks. vocabulary: ids run from 0 to vocabulary - 1."""

    vocabulary: int

    def length(self, least: int) -> int:
        """The number of tokens of the stream; counting may stop once there are at least `least`."""
        ...

    def chunks(self, overlap: int, size: int = CHUNK_TOKENS) -> Iterator[Chunk]:
        """The whole stream in chunks of about `size` tokens, each followed by `overlap` tokens of the next.

        Every token belongs to one chunk, disregarding overlap. Rows and documents are numbered through all chunks.

        Raises:
            CorpusError: the files of the corpus are damaged or have changed.
            IndexFault: a token is outside the vocabulary.
        """
        ...


class CorpusStream:
    """The stream of the rows of a corpus, read lazily and not cached. See Stream.

    Args:
        rows: the corpus.
        vocabulary: number of token ids, where known.
        eod: id of the end-of-document token; None if documents end where rows do.
        joined: rows are consecutive pieces of one text, so that a document may continue in the next row; needs `eod`.
        part: (k, n) for the k-th of n parts of the rows, from 0. An n-gram belongs to the part that it starts in, so
            that the counts of all parts add up to those of the corpus; positions and document numbers start at the
            part.
    """

    def __init__(
        self,
        rows: RowSource,
        vocabulary: int | None = None,
        eod: int | None = None,
        joined: bool = False,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        if joined and eod is None:
            raise IndexFault("Joined rows need the end-of-document token, which alone separates documents: --eod ID.")
        self.vocabulary = vocabulary or 1 << 32
        if eod is not None and not 0 <= eod < self.vocabulary:
            raise IndexFault(f"--eod {eod} is outside the vocabulary, 0 to {self.vocabulary - 1}; name one of its ids.")
        self._rows, self._eod, self._joined = rows, eod, joined
        index, count = part
        if not 0 <= index < count:
            raise IndexFault(f"Part {index} of {count} does not exist; parts run from 0 to {count - 1}.")
        self._first, self._stop = (number * len(rows) // count for number in (index, index + 1))
        self._width, self._is_width_exact = row_width(rows.details)
        self._tokens_counted, self._is_count_complete = 0, False

    def length(self, least: int) -> int:
        """See Stream.length."""
        if self._tokens_counted < least and not self._is_count_complete:
            self._tokens_counted = 0
            for block in self._blocks(0, len(self._rows), _LOOKAHEAD_TOKENS):
                self._tokens_counted += len(block.tokens)
                if self._tokens_counted >= least:
                    return self._tokens_counted
            self._is_count_complete = True
        return self._tokens_counted

    def chunks(self, overlap: int, size: int = CHUNK_TOKENS) -> Iterator[Chunk]:
        """See Stream.chunks."""
        pending: Chunk | None = None
        for block in self._blocks(self._first, self._stop, size):
            chunk = block if pending is None else pending.extended_by(block)
            own_length = len(chunk.tokens) - overlap
            if own_length > 0:
                yield replace(chunk, own_length=own_length)
            pending = chunk.tail(own_length) if own_length > 0 else chunk
        if pending is not None and len(pending.tokens):
            yield replace(self._with_overlap(pending, overlap), own_length=len(pending.tokens))

    def _with_overlap(self, chunk: Chunk, overlap: int) -> Chunk:
        """The part's last chunk, followed by at least `overlap` tokens of the next part if it has so many."""
        own_length = len(chunk.tokens)
        for block in self._blocks(self._stop, len(self._rows), _LOOKAHEAD_TOKENS):
            if len(chunk.tokens) - own_length >= overlap:
                break
            chunk = chunk.extended_by(block)
        return chunk

    def _blocks(self, row: int, stop: int, size: int) -> Iterator[Chunk]:
        """Rows row .. stop - 1, about `size` tokens at a time, without overlap."""
        start, documents, runs = 0, 0, 0
        previous = self._last_before(row)
        while row < stop:
            positions, tokens, lengths = self._read(row, stop, size)
            rows = Boundaries(np.cumsum(lengths) - lengths, row - 1)
            is_filled = lengths > 0  # a row without tokens begins no document
            row_documents = zip(self._rows.provenance(positions).document, is_filled.tolist(), strict=True)
            numbers = [document for document, has_tokens in row_documents if has_tokens]
            row_runs = runs + self._run_numbers(positions)
            starts = self._document_starts(tokens, rows.starts[is_filled], numbers, row_runs[is_filled], previous)
            yield Chunk(start, tokens, len(tokens), rows, Boundaries(starts, documents - 1))
            row, start, documents = row + len(positions), start + len(tokens), documents + len(starts)
            previous = _Place(numbers[-1], int(row_runs[is_filled][-1]), int(tokens[-1])) if numbers else previous
            runs = int(row_runs[-1])

    def _last_before(self, row: int) -> _Place:
        """The place of the nearest non-empty row before `row`; runs are numbered from that of the row before `row`."""
        for earlier in range(row - 1, -1, -1):  # rows may be empty
            _, tokens, _ = self._read(earlier, row, 1)
            if len(tokens):
                run = -int(self._run_numbers(np.arange(earlier + 1, row))[-1:].sum())
                return _Place(self._rows.provenance(np.array([earlier])).document[0], run, int(tokens[-1]))
        return _Place()

    def _run_numbers(self, positions: Ids) -> Ids:
        """[n]: how many of these rows, up to each, do not follow the row before them in the corpus."""
        if not isinstance(self._rows, OrderedRows):
            return np.zeros(len(positions), np.int64)
        return np.cumsum(~self._rows.follows_previous(positions))

    def _read(self, row: int, stop: int, size: int) -> tuple[Ids, NDArray[np.uint32], Ids]:
        """Some complete rows from `row` on: their positions, their concatenated tokens, and their lengths."""
        while True:
            positions = np.arange(row, min(row + max(1, size // self._width), stop))
            block = self._rows.read(positions, self._width)
            if self._is_width_exact or block.lengths.max() < self._width:
                break
            self._width *= 2
        is_full = bool((block.lengths == self._width).all())
        ids = block.ids.reshape(-1) if is_full else block.ids[np.arange(self._width) < block.lengths[:, None]]
        if ids.size and int(ids.max()) >= self.vocabulary:
            raise IndexFault(
                f"The corpus contains the token {int(ids.max())}, outside the vocabulary, 0 to {self.vocabulary - 1}; "
                "name the tokenizer that it was made with."
            )
        return positions, ids.astype(np.uint32), block.lengths

    def _document_starts(
        self,
        tokens: NDArray[np.uint32],
        row_starts: Ids,
        numbers: list[int | None],
        runs: Ids,
        previous: _Place,
    ) -> Ids:
        """Indices into `tokens` at which a document starts.

        Args:
            row_starts, numbers, runs: of each row that has tokens, where it starts, its document's number, None if
                unknown, and its run (see _Place); previous: the place of the row before them.
        """
        if not len(tokens):
            return row_starts
        pairs = zip([previous.document, *numbers], numbers, strict=False)
        continues = np.array([self._joined or (b is not None and a == b) for a, b in pairs])
        continues &= np.diff(runs, prepend=previous.run) == 0
        if previous.last_token is None:
            continues[0] = False
        starts = row_starts[~continues]
        if self._eod is None:
            return starts
        after_eod = np.flatnonzero(tokens[:-1] == self._eod) + 1
        if previous.last_token == self._eod:
            after_eod = np.concatenate([[0], after_eod])
        return np.union1d(starts, after_eod)


class MeteredStream:
    """A stream that counts the tokens and documents that are read from it. See Stream.

    tokens, documents: read so far, the overlap of chunks not counted; a document counts where it starts.
    """

    def __init__(self, stream: Stream) -> None:
        self.vocabulary, self.length = stream.vocabulary, stream.length
        self.tokens, self.documents = 0, 0
        self._stream = stream

    def chunks(self, overlap: int, size: int = CHUNK_TOKENS) -> Iterator[Chunk]:
        """See Stream.chunks."""
        for chunk in self._stream.chunks(overlap, size):
            self.tokens += chunk.own_length
            self.documents += int(np.searchsorted(chunk.documents.starts, chunk.own_length))
            yield chunk


def row_width(details: Mapping[str, Any]) -> tuple[int, bool]:
    """How many tokens of a row to read at first, and whether it is known that no row has more.

    The details of `--cut window` have the length that was asked for, which may be far above that of any row.
    """
    for name in ("row_length", "longest_row"):
        if isinstance(details.get(name), int) and details[name] > 0:
            return min(details[name], _WIDEST), details[name] <= _WIDEST
    return 64, False
