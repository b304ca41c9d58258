"""Several files as one stream of bytes, and that stream as one long array of items.

Everything is read with ``os.pread``, not mapped: pages of a mapped file count as the process's resident memory, and a
pass over a corpus of 600 GB would fill the machine's accounting though nothing is kept.
"""

import os
import weakref
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mematlas.errors import CorpusError
from mematlas.types import Ids

GAP_BYTES = 8192  # reading on over a gap this small is cheaper than another system call
BLOCK_ROWS = 512  # rows gathered at once: bounds the buffer
OPEN_FILES = 64


class ByteStream:
    """The bytes of `paths`, one file after the other; files are opened when first read."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self.sizes = [path.stat().st_size for path in self.paths]
        self._ends = list(accumulate(self.sizes))
        self._open: dict[int, int] = {}
        weakref.finalize(self, _close_all, self._open)

    @property
    def size(self) -> int:
        return self._ends[-1] if self._ends else 0

    def read(self, start: int, size: int) -> bytes:
        """Exactly `size` bytes from `start` on, across the borders of files.

        Raises:
            CorpusError: a file is shorter than it was when the stream was opened.
        """
        found = bytearray(size)
        self.read_into(memoryview(found), start)
        return bytes(found)

    def read_into(self, buffer: memoryview, start: int) -> None:
        """As `read`, into a buffer of bytes, which it fills: what reads over and over need not make it anew."""
        number = bisect_right(self._ends, start)
        while len(buffer):
            if number == len(self.paths):
                raise CorpusError(
                    f"{self.paths[-1]} ends before byte {start + len(buffer)} of its stream; is it truncated?"
                )
            within = start - self._ends[number] + self.sizes[number]
            size = min(len(buffer), self.sizes[number] - within)
            self._fill(buffer[:size], number, within)
            buffer, start, number = buffer[size:], start + size, number + 1

    def _fill(self, buffer: memoryview, number: int, start: int) -> None:
        while len(buffer):  # one read returns at most 2 GiB
            size = _pread(self._descriptor(number), buffer, start)
            if not size:
                raise CorpusError(
                    f"{self.paths[number]} ends at byte {start}, but had {self.sizes[number]} bytes when the corpus "
                    f"was opened; leave the files alone while they are read, and start again."
                )
            buffer, start = buffer[size:], start + size

    def _descriptor(self, number: int) -> int:
        if number not in self._open:
            while len(self._open) >= OPEN_FILES:
                os.close(self._open.pop(next(iter(self._open))))
            self._open[number] = os.open(self.paths[number], os.O_RDONLY)
        return self._open[number]


def _pread(descriptor: int, buffer: memoryview, start: int) -> int:
    """Read at a place into `buffer`; how many bytes there were."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [buffer], start)
    found = os.pread(descriptor, len(buffer), start)  # older macOS
    buffer[: len(found)] = found
    return len(found)


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
        found = np.empty(stop - start, self.dtype)
        self.stream.read_into(found.view(np.uint8).data, self.skip + start * self.dtype.itemsize)
        found.flags.writeable = False
        return found

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
        scratch = np.empty(0, self.dtype)  # one for all blocks: fresh pages cost more than what is read into them
        for first in range(0, len(order), BLOCK_ROWS):
            rows = order[first : first + BLOCK_ROWS]
            block = _Block.of(starts[rows], np.minimum(lengths[rows], width), GAP_BYTES // self.dtype.itemsize)
            if len(scratch) < block.size + width:
                scratch = np.empty(block.size + width, self.dtype)
            self._read_spans(block, scratch)
            scratch[block.size : block.size + width] = np.zeros((), self.dtype)
            out[rows] = _windows(scratch, block.places, block.lengths, width)
        return out

    def _read_spans(self, block: "_Block", into: NDArray[Any]) -> None:
        item, at, buffer = self.dtype.itemsize, 0, into.view(np.uint8).data
        for left, size in zip(block.lefts.tolist(), block.sizes.tolist(), strict=True):
            self.stream.read_into(buffer[at * item : (at + size) * item], self.skip + left * item)
            at += size


@dataclass(frozen=True, slots=True)
class _Block:
    """What is read for some rows: spans of the array, laid one after the other, and where the rows stand in those.

    lefts, sizes: [spans] in the array; places, lengths: [rows] in the laid spans; size: of all of these.
    """

    lefts: Ids
    sizes: Ids
    places: Ids
    lengths: Ids

    @property
    def size(self) -> int:
        return int(self.sizes.sum())

    @classmethod
    def of(cls, starts: Ids, lengths: Ids, gap: int) -> "_Block":
        """Rows nearer to each other than `gap` items share a span; `starts` ascend."""
        ends = np.maximum.accumulate(starts + lengths)
        breaks = np.flatnonzero(starts[1:] - ends[:-1] > gap) + 1
        lefts = starts[np.concatenate([[0], breaks])]
        sizes = ends[np.concatenate([breaks - 1, [-1]])] - lefts
        shifts = np.cumsum(sizes) - sizes - lefts
        rows_of_span = np.diff(np.concatenate([[0], breaks, [len(starts)]]))
        return cls(lefts, sizes, starts + np.repeat(shifts, rows_of_span), lengths)


def windows(values: NDArray[Any], starts: Ids, lengths: Ids, width: int) -> NDArray[Any]:
    """[n, width]: for each start the first min(length, width) of `values` from there on, then zeros."""
    return _windows(np.concatenate([values, np.zeros(max(width, 0), values.dtype)]), starts, lengths, width)


def _windows(padded: NDArray[Any], starts: Ids, lengths: Ids, width: int) -> NDArray[Any]:
    """As `windows`, of values with `width` more behind them."""
    if width < 1:
        raise ValueError(f"a row's width must be positive, not {width}")
    out = np.lib.stride_tricks.sliding_window_view(padded, width)[starts]
    if len(lengths) and lengths.min() < width:
        out[np.arange(width) >= lengths[:, None]] = np.zeros((), padded.dtype)
    return out
