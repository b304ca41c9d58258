"""Several files as one stream of bytes, and that stream as one long array of items.

Everything is read with ``os.pread``, not mapped: pages of a mapped file count as the process's resident memory, and a
pass over a corpus of 600 GB would fill the machine's accounting though nothing is kept.
"""

import os
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mematlas.errors import CorpusError
from mematlas.records import Ids

GAP_BYTES = 8192  # reading on over a gap this small is cheaper than another system call
BLOCK_ROWS = 4096  # rows gathered at once: bounds the buffer
OPEN_FILES = 64


class ByteStream:
    """The bytes of `paths`, one file after the other; files are opened when first read."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self.sizes = [path.stat().st_size for path in self.paths]
        self._ends = np.cumsum(np.asarray(self.sizes, dtype=np.int64))
        self._open: dict[int, int] = {}
        weakref.finalize(self, _close_all, self._open)

    @property
    def size(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def read(self, start: int, size: int) -> bytes:
        """Exactly `size` bytes from `start` on, across the borders of files.

        Raises:
            CorpusError: a file is shorter than it was when the stream was opened.
        """
        pieces = []
        number = int(np.searchsorted(self._ends, start, side="right"))
        while size > 0:
            if number == len(self.paths):
                raise CorpusError(f"{self.paths[-1]} ends before byte {start + size} of its stream; is it truncated?")
            within = start - int(self._ends[number]) + self.sizes[number]
            piece = self._read_file(number, within, min(size, self.sizes[number] - within))
            pieces.append(piece)
            start, size, number = start + len(piece), size - len(piece), number + 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_file(self, number: int, start: int, size: int) -> bytes:
        pieces = []
        while size > 0:  # one read returns at most 2 GiB
            piece = os.pread(self._descriptor(number), size, start)
            if not piece:
                raise CorpusError(
                    f"{self.paths[number]} ends at byte {start}, but had {self.sizes[number]} bytes when the corpus "
                    f"was opened; leave the files alone while they are read, and start again."
                )
            pieces.append(piece)
            start, size = start + len(piece), size - len(piece)
        return b"".join(pieces)

    def _descriptor(self, number: int) -> int:
        if number not in self._open:
            while len(self._open) >= OPEN_FILES:
                os.close(self._open.pop(next(iter(self._open))))
            self._open[number] = os.open(self.paths[number], os.O_RDONLY)
        return self._open[number]


def _close_all(descriptors: dict[int, int]) -> None:
    while descriptors:
        os.close(descriptors.popitem()[1])


class FileArray:
    """A one-dimensional array in a stream: items of `dtype` from byte `skip` on, `count` of them (None: to the end)."""

    def __init__(self, stream: ByteStream, dtype: DTypeLike, skip: int = 0, count: int | None = None) -> None:
        self.stream, self.dtype, self.skip = stream, np.dtype(dtype), skip
        self._count = (stream.size - skip) // self.dtype.itemsize if count is None else count

    def __len__(self) -> int:
        return self._count

    def slice(self, start: int, stop: int) -> NDArray[Any]:
        """Items start .. stop-1, read only."""
        item = self.dtype.itemsize
        return np.frombuffer(self.stream.read(self.skip + start * item, (stop - start) * item), self.dtype)

    def chunks(self, items: int = 1 << 20) -> Iterator[NDArray[Any]]:
        """The whole array, `items` at a time."""
        for start in range(0, len(self), items):
            yield self.slice(start, min(start + items, len(self)))

    def take(self, indices: Ids) -> NDArray[Any]:
        """The items at `indices`: [n]."""
        return self.gather(indices, np.ones_like(indices), 1)[:, 0]

    def gather(self, starts: Ids, lengths: Ids, width: int) -> NDArray[Any]:
        """One line for each start: its first min(length, width) items, then zeros.

        Only those items are read, in ascending order, positions near to each other with one call.

        Args:
            starts, lengths: [n], in items; any order, repeats and overlaps allowed.

        Returns:
            [n, width] of this array's dtype.
        """
        out = np.zeros((len(starts), width), self.dtype)
        order = np.argsort(starts, kind="stable")
        for first in range(0, len(order), BLOCK_ROWS):
            rows = order[first : first + BLOCK_ROWS]
            out[rows] = self._gather_block(starts[rows], np.minimum(lengths[rows], width), width)
        return out

    def _gather_block(self, starts: Ids, lengths: Ids, width: int) -> NDArray[Any]:
        ends = np.maximum.accumulate(starts + lengths)
        breaks = np.flatnonzero(starts[1:] - ends[:-1] > GAP_BYTES // self.dtype.itemsize) + 1
        lefts = starts[np.concatenate([[0], breaks])]
        sizes = ends[np.concatenate([breaks - 1, [-1]])] - lefts
        spans = [self.slice(left, left + size) for left, size in zip(lefts.tolist(), sizes.tolist(), strict=True)]
        shifts = np.cumsum(sizes) - sizes - lefts
        rows_of_span = np.diff(np.concatenate([[0], breaks, [len(starts)]]))
        return windows(np.concatenate(spans), starts + np.repeat(shifts, rows_of_span), lengths, width)


def windows(values: NDArray[Any], starts: Ids, lengths: Ids, width: int) -> NDArray[Any]:
    """[n, width]: for each start the first min(length, width) of `values` from there on, then zeros."""
    if width < 1:
        raise ValueError(f"a row's width must be positive, not {width}")
    padded = np.concatenate([values, np.zeros(width, values.dtype)])
    out = np.lib.stride_tricks.sliding_window_view(padded, width)[starts]
    if len(lengths) and lengths.min() < width:
        out[np.arange(width) >= lengths[:, None]] = np.zeros((), values.dtype)
    return out
