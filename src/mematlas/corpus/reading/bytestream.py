"""Several files as one stream of bytes, and that stream as one array of items.

Everything is read with ``os.pread``, not memory-mapped: pages of a mapped file count as the process's resident memory,
so one pass over a corpus of 600 GB would seem to fill the machine's memory.
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

GAP_BYTES = 8192  # reading across a gap this small is cheaper than another system call
BLOCK_ROWS = 512  # rows gathered at once, which bounds the buffer
OPEN_FILES = 64


class ByteStream:
    """The bytes of the concatenated files `paths`; a file is opened when it is first read."""

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
        """Read exactly `size` bytes from `start` on, across boundaries of files.

        Raises:
            CorpusError: a file is shorter than it was when the stream was opened.
        """
        content = bytearray(size)
        self.read_into(memoryview(content), start)
        return bytes(content)

    def read_into(self, buffer: memoryview, start: int) -> None:
        """As `read`, but fill a buffer of bytes, so that repeated reads can reuse it."""
        number = bisect_right(self._ends, start)
        while len(buffer):
            if number == len(self.paths):
                raise CorpusError(
                    f"{self.paths[-1]} ends before byte {start + len(buffer)} of its stream; is it truncated?"
                )
            offset = start - self._ends[number] + self.sizes[number]
            size = min(len(buffer), self.sizes[number] - offset)
            self._fill(buffer[:size], number, offset)
            buffer, start, number = buffer[size:], start + size, number + 1

    def _fill(self, buffer: memoryview, number: int, start: int) -> None:
        while len(buffer):  # one read returns at most 2 GiB
            size = _pread(self._descriptor(number), buffer, start)
            if not size:
                raise CorpusError(
                    f"{self.paths[number]} ends at byte {start}, but had {self.sizes[number]} bytes when the corpus "
                    f"was opened; do not change the files while they are read, and start again."
                )
            buffer, start = buffer[size:], start + size

    def _descriptor(self, number: int) -> int:
        if number not in self._open:
            while len(self._open) >= OPEN_FILES:
                os.close(self._open.pop(next(iter(self._open))))
            self._open[number] = os.open(self.paths[number], os.O_RDONLY)
        return self._open[number]


def _pread(descriptor: int, buffer: memoryview, start: int) -> int:
    """Read into `buffer` from offset `start`; return the number of bytes read."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [buffer], start)
    content = os.pread(descriptor, len(buffer), start)  # older macOS
    buffer[: len(content)] = content
    return len(content)


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
        items = np.empty(stop - start, self.dtype)
        self.stream.read_into(items.view(np.uint8).data, self.skip + start * self.dtype.itemsize)
        items.flags.writeable = False
        return items

    def chunks(self, items: int = 1 << 20) -> Iterator[NDArray[Any]]:
        """The array in chunks of `items` items."""
        for start in range(0, len(self), items):
            yield self.slice(start, min(start + items, len(self)))

    def take(self, indices: Ids) -> NDArray[Any]:
        """The items at `indices`: [n]."""
        return self.gather(indices, np.ones_like(indices), 1)[:, 0]

    def gather(self, starts: Ids, lengths: Ids, width: int) -> NDArray[Any]:
        """One row for each start: its first min(length, width) items, then zeros.

        Only those items are read, in ascending order; starts close to each other share one system call.

        Args:
            starts, lengths: [n], in items; any order, repeats and overlaps allowed.

        Returns:
            [n, width] of this array's dtype.
        """
        out = np.zeros((len(starts), width), self.dtype)
        order = np.argsort(starts, kind="stable")
        scratch = np.empty(0, self.dtype)  # one for all blocks, as allocating memory costs more than reading into it
        for first in range(0, len(order), BLOCK_ROWS):
            rows = order[first : first + BLOCK_ROWS]
            block = _Block.plan(starts[rows], np.minimum(lengths[rows], width), GAP_BYTES // self.dtype.itemsize)
            if len(scratch) < block.size + width:
                scratch = np.empty(block.size + width, self.dtype)
            self._read_spans(block, scratch)
            scratch[block.size : block.size + width] = np.zeros((), self.dtype)
            out[rows] = _take_windows(scratch, block.offsets, block.lengths, width)
        return out

    def _read_spans(self, block: "_Block", target: NDArray[Any]) -> None:
        item, position, buffer = self.dtype.itemsize, 0, target.view(np.uint8).data
        for start, size in zip(block.starts.tolist(), block.sizes.tolist(), strict=True):
            self.stream.read_into(buffer[position * item : (position + size) * item], self.skip + start * item)
            position += size


@dataclass(frozen=True, slots=True)
class _Block:
    """The spans of the array to read for some rows, and where the rows are in the concatenated spans.

    starts, sizes: [spans], in the array; offsets, lengths: [rows], in the concatenated spans; size: of these in total.
    """

    starts: Ids
    sizes: Ids
    offsets: Ids
    lengths: Ids

    @property
    def size(self) -> int:
        return int(self.sizes.sum())

    @classmethod
    def plan(cls, starts: Ids, lengths: Ids, gap: int) -> "_Block":
        """Rows at most `gap` items apart share a span; `starts` must ascend."""
        ends = np.maximum.accumulate(starts + lengths)
        breaks = np.flatnonzero(starts[1:] - ends[:-1] > gap) + 1
        span_starts = starts[np.concatenate([[0], breaks])]
        sizes = ends[np.concatenate([breaks - 1, [-1]])] - span_starts
        shifts = np.cumsum(sizes) - sizes - span_starts
        rows_of_span = np.diff(np.concatenate([[0], breaks, [len(starts)]]))
        return cls(span_starts, sizes, starts + np.repeat(shifts, rows_of_span), lengths)


def take_windows(values: NDArray[Any], starts: Ids, lengths: Ids, width: int) -> NDArray[Any]:
    """[n, width]: for each start the min(length, width) items of `values` from there on, then zeros."""
    return _take_windows(np.concatenate([values, np.zeros(max(width, 0), values.dtype)]), starts, lengths, width)


def _take_windows(padded: NDArray[Any], starts: Ids, lengths: Ids, width: int) -> NDArray[Any]:
    """As `take_windows`, for values with `width` items of padding at the end."""
    if width < 1:
        raise ValueError(f"a row's width must be positive, not {width}")
    out = np.lib.stride_tricks.sliding_window_view(padded, width)[starts]
    if len(lengths) and lengths.min() < width:
        out[np.arange(width) >= lengths[:, None]] = np.zeros((), padded.dtype)
    return out
