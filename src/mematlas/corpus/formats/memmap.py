"""Headerless token files: consecutive rows of uint16 or uint32, little-endian (OLMo, dolma "npy", nanoGPT ``.bin``)."""

from pathlib import Path

import numpy as np

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.fingerprint import fingerprint
from mematlas.corpus.reading.bytestream import ByteStream, FileArray
from mematlas.corpus.reading.files import require_file, require_row_length
from mematlas.corpus.reading.tokenrows import FixedRows
from mematlas.errors import CorpusError

DTYPES: dict[str, np.dtype] = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}


class MemmapFormat:
    """The file does not contain its row length and dtype; the user must give both."""

    name = "memmap"
    reads = frozenset({"row_length", "token_dtype"})

    def detect(self, path: Path) -> bool:
        """Never: these files have no signature."""
        return False

    def open(self, path: Path, options: CorpusOptions) -> FixedRows:
        """Open the file's rows; a partial row at its end is dropped, and counted in the details."""
        require_file(path)
        row_length = require_row_length(options, f"{path} has no header with its row length")
        dtype = _dtype(path, options.token_dtype)
        tokens = FileArray(ByteStream([path]), dtype)
        if tokens.stream.size % dtype.itemsize:
            raise CorpusError(
                f"{path} has {tokens.stream.size} bytes, not a multiple of {dtype.itemsize}, the size of "
                f"{dtype.name}; it is truncated, or its tokens are of another dtype: --token-dtype."
            )
        return fixed_rows(self.name, path, tokens, row_length)


def fixed_rows(format: str, path: Path, tokens: FileArray, row_length: int) -> FixedRows:
    """Cut `tokens` into rows of `row_length`.

    Raises:
        CorpusError: there are fewer tokens than one row has.
    """
    if len(tokens) < row_length:
        raise CorpusError(
            f"{path} has {len(tokens)} tokens, less than one row of {row_length}; name a shorter --row-length."
        )
    choices: dict[str, object] = {"row_length": row_length, "dtype": tokens.dtype.str, "skip": tokens.skip}
    details: dict[str, object] = {
        "token_dtype": tokens.dtype.name,
        "dropped_tail_tokens": len(tokens) % row_length,
    }
    return FixedRows(format, fingerprint(format, choices, tokens.stream), tokens, row_length, details)


def _dtype(path: Path, name: str | None) -> np.dtype:
    if name is None:
        raise CorpusError(f"{path} has no header with its dtype; name it: --token-dtype uint16 (or uint32).")
    if name not in DTYPES:
        raise CorpusError(f"No token dtype is called {name!r}; headerless tokens are one of {', '.join(DTYPES)}.")
    return DTYPES[name]
