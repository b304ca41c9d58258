"""A corpus as one stream of tokens, row after row, with the places where rows and documents start.

A row begins a new document unless the corpus says that it goes on with the one before, or its rows are `joined`:
consecutive cuts of one text. Inside rows a document starts after every end-of-document token, where one is named.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import IndexFault
from mematlas.types import Ids, Provenance, TokenRows

PIECE: Final = 1 << 22  # tokens read at once: bounds the memory of a pass
_LOOK: Final = 1 << 12


class RowSource(Protocol):
    """What the stream is read from; a corpus is one."""

    fingerprint: str
    details: dict[str, object]

    def __len__(self) -> int: ...
    def read(self, positions: Ids, width: int) -> TokenRows: ...
    def provenance(self, positions: Ids) -> Provenance: ...


@dataclass(frozen=True, slots=True)
class Borders:
    """Where rows or documents start, as ascending indices into a stretch of tokens.

    before: the number of the row or document that stands just before the stretch, -1 at the stream's beginning.
    """

    starts: Ids
    before: int = -1

    def numbers(self, places: Ids) -> Ids:
        """The number of the row or document that the token at each place belongs to."""
        return self.before + np.searchsorted(self.starts, places, side="right")

    def cut(self, start: int, stop: int) -> "Borders":
        """Those of the tokens start .. stop-1, counted from `start`."""
        low, high = np.searchsorted(self.starts, [start, stop])
        return Borders(np.asarray(self.starts[low:high]) - start, self.before + int(low))

    def then(self, other: "Borders", tokens: int) -> "Borders":
        """With those of the stretch that follows after `tokens` tokens."""
        return Borders(np.concatenate([self.starts, other.starts + tokens]), self.before)

    def crossed(self, places: Ids, n: int) -> NDArray[np.bool_]:
        """Whether an n-gram at each place has a start inside it."""
        return np.searchsorted(self.starts, places, "right") < np.searchsorted(self.starts, places + n)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the stream.

    start: place of its first token in the stream; tokens: `own` tokens of its own, then as many of the following ones
    as were asked for; rows, documents: where they start within `tokens`.
    """

    start: int
    tokens: NDArray[np.uint32]
    own: int
    rows: Borders
    documents: Borders

    def tail(self, start: int) -> "Piece":
        """The piece from its token `start` on."""
        rows, documents = (borders.cut(start, len(self.tokens)) for borders in (self.rows, self.documents))
        return Piece(self.start + start, self.tokens[start:], len(self.tokens) - start, rows, documents)

    def then(self, other: "Piece") -> "Piece":
        """With the piece that follows."""
        length = len(self.tokens)
        return Piece(
            self.start,
            np.concatenate([self.tokens, other.tokens]),
            length + other.own,
            self.rows.then(other.rows, length),
            self.documents.then(other.documents, length),
        )


class Stream(Protocol):
    """A corpus as pieces. vocabulary: ids run from 0 to vocabulary - 1."""

    vocabulary: int

    def length(self, least: int) -> int:
        """Tokens of the stream, counted until there are `least` or to the end."""
        ...

    def pieces(self, overlap: int, size: int = PIECE) -> Iterator[Piece]:
        """The whole stream, about `size` tokens at a time, each piece followed by `overlap` tokens of the next.

        Every token is some piece's own. The numbers of rows and documents go on from piece to piece.

        Raises:
            CorpusError: the corpus' files are damaged or changed.
            IndexFault: a token is outside the vocabulary.
        """
        ...


class CorpusStream:
    """The stream of a corpus' rows, read as it goes by; nothing is kept. See Stream.

    Args:
        rows: the corpus.
        vocabulary: number of token ids, where known.
        eod: id of the end-of-document token; None if documents end where rows do.
        joined: rows are consecutive cuts of one text, so that a document may go on in the next row; needs `eod`.
        part: (k, n) for the k-th of n parts of the rows, from 0: counts of n-grams that start there. Those of all parts
            add up to the corpus'; positions and document numbers begin with the part.
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
            raise IndexFault("Joined rows need the end-of-document token, which alone tells documents apart: --eod ID.")
        self.vocabulary = vocabulary or 1 << 32
        if eod is not None and not 0 <= eod < self.vocabulary:
            raise IndexFault(f"--eod {eod} is outside the vocabulary, 0 to {self.vocabulary - 1}; name one of its ids.")
        self._rows, self._eod, self._joined = rows, eod, joined
        index, count = part
        if not 0 <= index < count:
            raise IndexFault(f"Part {index} of {count} is none of them; parts run from 0 to {count - 1}.")
        self._first, self._stop = (number * len(rows) // count for number in (index, index + 1))
        self._width, self._is_bound = row_width(rows.details)
        self._counted, self._ended = 0, False

    def length(self, least: int) -> int:
        """See Stream.length."""
        if self._counted < least and not self._ended:
            self._counted = 0
            for block in self._blocks(0, len(self._rows), _LOOK):
                self._counted += len(block.tokens)
                if self._counted >= least:
                    return self._counted
            self._ended = True
        return self._counted

    def pieces(self, overlap: int, size: int = PIECE) -> Iterator[Piece]:
        """See Stream.pieces."""
        held: Piece | None = None
        for block in self._blocks(self._first, self._stop, size):
            piece = block if held is None else held.then(block)
            own = len(piece.tokens) - overlap
            if own > 0:
                yield replace(piece, own=own)
            held = piece.tail(own) if own > 0 else piece
        if held is not None and len(held.tokens):
            yield replace(self._continued(held, overlap), own=len(held.tokens))

    def _continued(self, piece: Piece, overlap: int) -> Piece:
        """The part's last piece with the tokens that follow in the next one, `overlap` of them if there are so many."""
        own = len(piece.tokens)
        for block in self._blocks(self._stop, len(self._rows), _LOOK):
            if len(piece.tokens) - own >= overlap:
                break
            piece = piece.then(block)
        return piece

    def _blocks(self, row: int, stop: int, size: int) -> Iterator[Piece]:
        """Rows row .. stop - 1 as they are, about `size` tokens at a time."""
        start, documents = 0, 0
        last = self._before(row)
        while row < stop:
            positions, tokens, lengths = self._read(row, stop, size)
            rows = Borders(np.cumsum(lengths) - lengths, row - 1)
            held = lengths > 0  # a row without tokens begins no document
            told = zip(self._rows.provenance(positions).document, held.tolist(), strict=True)
            known = [document for document, has_tokens in told if has_tokens]
            begun = Borders(self._document_starts(tokens, rows.starts[held], known, last), documents - 1)
            yield Piece(start, tokens, len(tokens), rows, begun)
            row, start, documents = row + len(positions), start + len(tokens), documents + len(begun.starts)
            last = (known[-1], int(tokens[-1])) if known else last

    def _before(self, row: int) -> tuple[int | None, int | None]:
        """Document and last token of what stands before a row; None where nothing does, or it is not known."""
        for earlier in range(row - 1, -1, -1):  # rows may be empty
            _, tokens, _ = self._read(earlier, row, 1)
            if len(tokens):
                return self._rows.provenance(np.array([earlier])).document[0], int(tokens[-1])
        return None, None

    def _read(self, row: int, stop: int, size: int) -> tuple[Ids, NDArray[np.uint32], Ids]:
        """Some whole rows from `row` on, of any length: their positions, tokens one after the other, and lengths."""
        while True:
            positions = np.arange(row, min(row + max(1, size // self._width), stop))
            found = self._rows.read(positions, self._width)
            if self._is_bound or found.lengths.max() < self._width:
                break
            self._width *= 2
        whole = bool((found.lengths == self._width).all())
        ids = found.ids.reshape(-1) if whole else found.ids[np.arange(self._width) < found.lengths[:, None]]
        if ids.size and int(ids.max()) >= self.vocabulary:
            raise IndexFault(
                f"The corpus holds the token {int(ids.max())}, outside the vocabulary, 0 to {self.vocabulary - 1}; "
                "name the tokenizer that it was made with."
            )
        return positions, ids.astype(np.uint32), found.lengths

    def _document_starts(
        self, tokens: NDArray[np.uint32], rows: Ids, known: list[int | None], last: tuple[int | None, int | None]
    ) -> Ids:
        """Indices into `tokens` at which a document starts; last: document and last token of what stands before."""
        if not len(tokens):
            return rows
        before, ending = last
        numbers = [before, *known]
        goes_on = np.array([self._joined or (b is not None and a == b) for a, b in zip(numbers, known, strict=False)])
        if ending is None:
            goes_on[0] = False
        starts = rows[~goes_on]
        if self._eod is None:
            return starts
        after = np.flatnonzero(tokens[:-1] == self._eod) + 1
        if ending == self._eod:
            after = np.concatenate([[0], after])
        return np.union1d(starts, after)


class Measured:
    """A stream that tells how much of it went by, in whole or in part. See Stream.

    tokens, documents: those of all pieces' own tokens; a document counts where it starts.
    """

    def __init__(self, stream: Stream) -> None:
        self.vocabulary, self.length = stream.vocabulary, stream.length
        self.tokens, self.documents = 0, 0
        self._stream = stream

    def pieces(self, overlap: int, size: int = PIECE) -> Iterator[Piece]:
        """See Stream.pieces."""
        for piece in self._stream.pieces(overlap, size):
            self.tokens += piece.own
            self.documents += int(np.searchsorted(piece.documents.starts, piece.own))
            yield piece


def row_width(details: Mapping[str, Any]) -> tuple[int, bool]:
    """How many tokens to read of a row, and whether no row is known to have more."""
    for name in ("row_length", "longest_row"):
        if isinstance(details.get(name), int) and details[name] > 0:
            return details[name], True
    return 64, False
