"""Base classes of corpora in binary token files, which differ only in where each row starts and ends."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mematlas.corpus.base import as_positions, unknown_provenance
from mematlas.corpus.reading.bytestream import FileArray
from mematlas.errors import CorpusError
from mematlas.types import Ids, Provenance, TokenRows


def to_token_rows(tokens: NDArray[Any], lengths: Ids, positions: Ids) -> TokenRows:
    """Convert gathered `tokens` [n, width] of rows with `lengths` [n] to TokenRows.

    Raises:
        CorpusError: a token is negative.
    """
    ids = tokens.astype(np.int64, copy=False)
    if tokens.dtype != np.uint16 and ids.size and ids.min() < 0:
        row, column = np.argwhere(ids < 0)[0]
        raise CorpusError(
            f"Row {positions[row]} has the token {ids[row, column]}; token ids are 0 or more; "
            f"check that the file contains token ids of the declared dtype."
        )
    return TokenRows(ids, np.minimum(lengths, tokens.shape[1]))


class TokenFileCorpus:
    """Rows in a FileArray of tokens. Subclasses define the number of rows (`__len__`) and where they are (`spans`)."""

    def __init__(self, format: str, fingerprint: str, tokens: FileArray, details: dict[str, object]) -> None:
        self.format, self.fingerprint, self.details = format, fingerprint, details
        self._tokens = tokens

    def __len__(self) -> int:
        raise NotImplementedError

    def spans(self, positions: Ids) -> tuple[Ids, Ids]:
        """First token and number of tokens of each row, both [n]."""
        raise NotImplementedError

    def read(self, positions: Ids, width: int) -> TokenRows:
        """See Corpus.read."""
        positions = as_positions(positions, len(self))
        starts, lengths = self.spans(positions)
        return to_token_rows(self._tokens.gather(starts, lengths, width), lengths, positions)

    def row_ids(self, positions: Ids) -> Ids:
        """The positions themselves."""
        return as_positions(positions, len(self))

    def provenance(self, positions: Ids) -> Provenance:
        """All unknown, as plain token files have no metadata."""
        return unknown_provenance(len(as_positions(positions, len(self))))


class FixedRows(TokenFileCorpus):
    """Consecutive rows of `row_length` tokens."""

    def __init__(
        self, format: str, fingerprint: str, tokens: FileArray, row_length: int, details: dict[str, object]
    ) -> None:
        super().__init__(format, fingerprint, tokens, {"row_length": row_length, **details})
        self._row_length = row_length

    def __len__(self) -> int:
        return len(self._tokens) // self._row_length

    def spans(self, positions: Ids) -> tuple[Ids, Ids]:
        """See TokenFileCorpus.spans."""
        return positions * self._row_length, np.full_like(positions, self._row_length)
