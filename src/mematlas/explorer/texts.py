"""The tokens of rows and their texts; ids where there is no tokenizer.

Tokens are those of the row features, or are read from the corpus again. The tokenizer decodes without any model.
"""

import threading
from collections.abc import Sequence

import numpy as np

from mematlas.errors import MematlasError
from mematlas.errors.libraries import missing_libraries
from mematlas.explorer.lines import Lines, View
from mematlas.scoring.reopen import ScoredRows, reopen_decoder, reopen_rows
from mematlas.types import Encoder, Ids

#: The tokens of a row; None where they are not known.
Tokens = list[int] | None


class Texts:
    """Reads the tokens of rows, and decodes them; threads may share it."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self._lock = threading.Lock()
        self._decoder: Encoder | str | None = None
        self._corpus: ScoredRows | str | None = None

    # ------------------------------------------------------------------------------------------------------ the tokens

    def why_no_tokens(self) -> str | None:
        """None, or why the tokens of rows are not known."""
        if "tokens" in self.lines.feature_kinds:
            return None
        corpus = self._opened_corpus()
        return corpus if isinstance(corpus, str) else None

    def tokens(self, positions: Ids) -> list[Tokens]:
        """The first tokens of these rows, as many as the grid needs."""
        if "tokens" in self.lines.feature_kinds:
            found = self.lines.read(self.lines.features_folder("tokens"), positions)
            by_row = dict(found.select("row", "tokens").iter_rows()) if found.height else {}
            return [by_row.get(row) for row in self.lines.rows["row"][positions]]
        corpus = self._opened_corpus()
        return [None] * len(positions) if isinstance(corpus, str) else self._from_corpus(corpus, positions)

    def _from_corpus(self, corpus: ScoredRows, positions: Ids) -> list[Tokens]:
        found: list[Tokens] = [None] * len(positions)
        start = 0
        for rows in corpus.sets:
            inside = np.flatnonzero((positions >= start) & (positions < start + len(rows.positions)))
            if len(inside):
                places = rows.positions[np.asarray(positions[inside], np.int64) - start]
                read = rows.corpus.read(places, corpus.grid.width)
                for index, ids, length in zip(inside, read.ids, read.lengths, strict=True):
                    found[index] = ids[:length].tolist()
            start += len(rows.positions)
        return found

    def _opened_corpus(self) -> ScoredRows | str:
        """The corpus, or why it cannot be read; opened at the first call."""
        with self._lock:
            if self._corpus is None:
                try:
                    with missing_libraries("Reading the corpus again"):
                        self._corpus = self._open_corpus()
                except MematlasError as error:
                    self._corpus = str(error)
            return self._corpus

    def _open_corpus(self) -> ScoredRows:
        """Text was cut into rows by a tokenizer, which only then has to be opened."""
        study, key = self.lines.study, self.lines.run.key
        is_text = "encoder" in self.lines.settings.get("corpus_details", {})
        return reopen_rows(study, key, tokenizer=is_text)

    # ------------------------------------------------------------------------------------------------------- the texts

    def why_no_texts(self) -> str | None:
        """None, or why tokens are shown as ids."""
        decoder = self._opened_decoder()
        return decoder if isinstance(decoder, str) else None

    def pieces(self, ids: Sequence[int | None]) -> list[str | None] | None:
        """The text of each token by itself; None without a tokenizer."""
        decoder = self._opened_decoder()
        if isinstance(decoder, str) or decoder.decode is None:
            return None
        known = sorted({token for token in ids if token is not None})
        texts = dict(zip(known, decoder.decode(known), strict=True))
        return [None if token is None else texts[token] for token in ids]

    def decode(self, windows: list[list[int]]) -> list[str]:
        """The text of each list of tokens, decoded at once; without a tokenizer their ids."""
        decoder = self._opened_decoder()
        if isinstance(decoder, str) or decoder.decode_windows is None:
            return [" ".join(map(str, window)) for window in windows]
        return decoder.decode_windows(windows)

    def windows(self, positions: Ids, view: View) -> list[tuple[str | None, str | None]]:
        """The texts of the context and of the true continuation of these rows; masked rows have no continuation."""
        tokens = self.tokens(positions)
        known = [ids for ids in tokens if ids is not None]
        start, stop = self.lines.grid.span(view.context, view.continuation)
        middle = start + view.context
        texts = self.decode([ids[start:middle] for ids in known] + [ids[middle:stop] for ids in known])
        pairs = iter(zip(texts[: len(known)], texts[len(known) :], strict=True))
        return [(None, None) if ids is None else next(pairs) for ids in tokens]

    def whole_windows(self, positions: Ids, view: View) -> list[str | None]:
        """The text of context and continuation of these rows, decoded at once."""
        tokens = self.tokens(positions)
        start, stop = self.lines.grid.span(view.context, view.continuation)
        texts = iter(self.decode([ids[start:stop] for ids in tokens if ids is not None]))
        return [None if ids is None else next(texts) for ids in tokens]

    def _opened_decoder(self) -> Encoder | str:
        """The tokenizer, or why there is none; opened at the first call."""
        with self._lock:
            if self._decoder is None:
                try:
                    with missing_libraries("Decoding tokens"):
                        self._decoder = self._open_decoder()
                except MematlasError as error:
                    self._decoder = str(error)
            return self._decoder

    def _open_decoder(self) -> Encoder | str:
        decoder = reopen_decoder(self.lines.study, self.lines.run.key)
        if decoder is None:
            return "the models have no tokenizer, so that tokens are shown as their ids"
        if decoder.decode_windows is not None:
            decoder.decode_windows([[]])  # a damaged tokenizer is found here
        return decoder
