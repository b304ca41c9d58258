"""Texts as whole words of an index of tokens.

A text has two forms in tokens, with a blank before it and without. Both are found, and kept where no letter or digit is
next to them: "Tin" does not stand in "Tintin".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mematlas.errors import IndexFault
from mematlas.index.lookup import OpenedIndex
from mematlas.models.huggingface import tokenizer_encoder
from mematlas.types import Encoder, Ids


def index_encoder(opened: OpenedIndex, name: str | None, own: Encoder | None) -> Encoder:
    """The tokenizer that is named, or the index's own, or the model's (`own`); checked to be that of the index.

    Raises:
        IndexFault: there is none, or the index was built with another one.
    """
    named = name or opened.tokenizer
    encoder = tokenizer_encoder(named, opened.engine.vocabulary) if named is not None else own
    if encoder is None or encoder.decode is None:
        raise IndexFault(f"{opened.folder} names no tokenizer, and the model has none; name it: --tokenizer.")
    opened.check_tokenizer(encoder.fingerprint, named or encoder.name)
    return encoder


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """Occurrences of a text as words. positions: [h] of their last tokens, ascending; documents: [h], numbers."""

    positions: Ids
    documents: Ids


class WordIndex:
    """An index that is asked for words. Texts are found once.

    Args:
        encoder: the tokenizer of the index.
    """

    def __init__(self, opened: OpenedIndex, encoder: Encoder) -> None:
        self._engine, self._encoder = opened.engine, encoder
        self._known: dict[str, Words] = {}
        self._texts: dict[int, str] = {-1: ""}

    def find(self, text: str) -> Words:
        """All occurrences of a text within documents where neither a letter nor a digit is next to it."""
        if text not in self._known:
            variants = {tuple(ids) for ids in self._encoder.encode([f" {text}", text]) if ids}
            found = [self._positions(ids) for ids in sorted(variants)]
            positions = np.unique(np.concatenate([np.empty(0, np.int64), *found]))
            self._known[text] = Words(positions, self._engine.documents_at(positions))
        return self._known[text]

    def forget(self) -> None:
        """Drop all occurrences found so far, which frees their memory."""
        self._known.clear()

    def _positions(self, ids: tuple[int, ...]) -> Ids:
        """Where the last of these tokens is, wherever they stand as a word."""
        if len(ids) > self._engine.length or max(ids) >= self._engine.vocabulary:
            return np.empty(0, np.int64)
        (positions,) = self._engine.positions([list(ids)], self._engine.length)
        before, after = self._engine.neighbours(positions, len(ids), "documents")
        kept = ~self._touches(after, 0)
        if not self._texts_of([ids[0]])[0][:1].isspace():
            kept &= ~self._touches(before, -1)
        return positions[kept] + len(ids) - 1  # of a blank by itself and a word, both forms end at the same token

    def _touches(self, tokens: Ids, side: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
        """Whether the first (0) or last (-1) character of each token is a letter or a digit."""
        distinct, places = np.unique(tokens, return_inverse=True)
        touching = [bool(text) and text[side].isalnum() for text in self._texts_of(distinct.tolist())]
        return np.array(touching, bool)[places]

    def _texts_of(self, tokens: Sequence[int]) -> list[str]:
        missing = [token for token in tokens if token not in self._texts]
        if missing:
            assert self._encoder.decode is not None
            self._texts |= dict(zip(missing, self._encoder.decode(missing), strict=True))
        return [self._texts[token] for token in tokens]
