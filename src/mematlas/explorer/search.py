"""Finds the rows of a selection whose text contains what was searched for, without reading all texts.

Rows are read in the order of the selection, a block at a time, until there are enough for the page or the time is up.
Where the search stopped is kept, so that the same request, or one for the next page, goes on from there.
"""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import numpy as np

from mematlas.errors import OptionError
from mematlas.explorer.filters import Query
from mematlas.explorer.selection import Selections
from mematlas.explorer.texts import Texts
from mematlas.types import Ids

SECONDS: Final = 2.0  # a request searches no longer than this, and the block that it is at
_FIRST_BLOCK, _LARGEST_BLOCK = 256, 1 << 15
_SLOW_BLOCK: Final = 0.4  # seconds after which blocks do not grow any more
_KEPT: Final = 8


@dataclass(frozen=True, slots=True)
class Found:
    """positions: of the rows found so far; searched: how many rows were; complete: whether these are all."""

    positions: Ids
    searched: int
    complete: bool


class Search:
    """One search, which may be continued."""

    def __init__(self, texts: Texts, query: Query, positions: Ids) -> None:
        self._texts, self._query, self._positions = texts, query, positions
        self._wanted = query.search.lower()
        self._found: list[int] = []
        self._searched, self._block = 0, _FIRST_BLOCK
        self._lock = threading.Lock()

    def until(self, enough: int | None, seconds: float | None = None) -> Found:
        """Go on until `enough` rows are found (None: all that there are), or the time is up; a block at least."""
        with self._lock:
            started = time.monotonic()
            while self._searched < len(self._positions) and (enough is None or len(self._found) < enough):
                self._search_block()
                if seconds is not None and time.monotonic() - started > seconds:
                    break
            return Found(np.array(self._found, np.uint32), self._searched, self._searched == len(self._positions))

    def _search_block(self) -> None:
        started = time.monotonic()
        block = self._positions[self._searched : self._searched + self._block]
        texts = self._texts.whole_windows(block, self._query.view)
        wanted = self._wanted
        self._found += [
            int(position)
            for position, text in zip(block, texts, strict=True)
            if text is not None and wanted in text.lower()
        ]
        self._searched += len(block)
        if time.monotonic() - started < _SLOW_BLOCK:
            self._block = min(2 * self._block, _LARGEST_BLOCK)


class Searches:
    """Answers queries with their text search; threads may share it."""

    def __init__(self, texts: Texts, selections: Selections) -> None:
        self._texts, self._selections = texts, selections
        self._kept: OrderedDict[Query, Search] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, query: Query, enough: int | None, seconds: float | None = SECONDS) -> Found:
        """The rows of a query: all that pass its filters; if it searches for a text, at least `enough` of those with it
        unless the time was up.

        Raises:
            OptionError: a text is searched for, but the rows' tokens are not known.
        """
        positions = self._selections.positions(query)
        if not query.search:
            return Found(positions, len(positions), True)
        reason = self._texts.why_no_tokens()
        if reason is not None:
            raise OptionError(f"search: the texts of the rows are not known: {reason}")
        with self._lock:
            search = self._kept.pop(query, None) or Search(self._texts, query, positions)
            self._kept[query] = search
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return search.until(enough, seconds)
