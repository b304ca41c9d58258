"""NumPy ``.npy`` files: a 2-D integer array has one row per line; a 1-D one is cut into rows of a given length."""

import math
from pathlib import Path
from tokenize import TokenError

import numpy as np

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.formats.memmap import fixed_rows
from mematlas.corpus.reading.bytestream import ByteStream, FileArray
from mematlas.corpus.reading.files import require_file, require_row_length, starts_with
from mematlas.corpus.reading.tokenrows import FixedRows
from mematlas.errors import CorpusError

MAGIC = b"\x93NUMPY"


class NpyFormat:
    """Integer arrays of any size and byte order, in C order; nothing is unpickled."""

    name = "npy"
    reads = frozenset({"row_length"})
    suffixes = (".npy",)

    def detect(self, path: Path) -> bool:
        """By the first bytes of every .npy file."""
        return starts_with(path, MAGIC)

    def open(self, path: Path, options: CorpusOptions) -> FixedRows:
        """Open the rows of the array, or of a flat array cut by `row_length`."""
        require_file(path)
        shape, dtype, start = _header(path)
        row_length = _row_length(path, shape, options)
        stream = ByteStream([path])
        count = math.prod(shape)
        if stream.size != start + count * dtype.itemsize:
            raise CorpusError(
                f"{path} has {stream.size} bytes, but its header declares {start + count * dtype.itemsize} "
                f"({shape} of {dtype.name}); it is damaged or truncated; write it again."
            )
        return fixed_rows(self.name, path, FileArray(stream, dtype, start, count), row_length)


def _header(path: Path) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, dtype and the offset of the data."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            start = file.tell()
    except (ValueError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError) as error:  # parsed as Python
        raise CorpusError(f"{path} has no readable .npy header ({error}); write it again with numpy.save.") from error
    if dtype.kind not in "iu":
        raise CorpusError(f"{path} has {dtype.name} values, but token ids are integers; save an integer array.")
    if fortran and len(shape) > 1:
        raise CorpusError(
            f"{path} is in Fortran order, but rows must be contiguous; save numpy.ascontiguousarray(array)."
        )
    return shape, dtype, start


def _row_length(path: Path, shape: tuple[int, ...], options: CorpusOptions) -> int:
    if len(shape) == 1 and shape[0] > 0:
        return require_row_length(options, f"{path} is a flat array, which has no row length of its own")
    if len(shape) != 2 or min(shape) < 1:
        raise CorpusError(f"{path} has the shape {shape}; a corpus is a 2-D array [rows, tokens] that is not empty.")
    if options.row_length not in (None, shape[1]):
        raise CorpusError(
            f"{path} has rows of {shape[1]} tokens, not {options.row_length}; "
            f"leave --row-length out, or save a 1-D array."
        )
    return shape[1]
