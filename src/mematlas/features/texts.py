"""What kind of text a row's windows are: templates (K2), redundancy (K8) and compressed size, without any model.

A window is the C context tokens and the L continuation tokens of one cell of the grid. Its text is decoded at once, so
that a character of several tokens is whole; one that the window cuts becomes replacement characters.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mematlas.features.templates import incrementing, repeating
from mematlas.stats.redundancy import distinct_ratio
from mematlas.study.schemas.features import TEXTS, TOKEN_KINDS
from mematlas.types import Encoder, Grid, Ids

#: Lists of token ids -> the text of each, decoded at once (`mematlas.types.Encoder.decode_windows`).
Decode = Callable[[list[list[int]]], list[str]]

#: Raised when a change of the code can change what a tokenizer decodes in these tables.
TEXTS_VERSION: Final = 2

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_BLOCK_TOKENS: Final = 1 << 20
_TEXT_COLUMNS: Final = ("incrementing", "bytes", "compressed_bytes")


def decoder_and_token_kinds(encoder: Encoder | None) -> tuple[Decode | None, NDArray[np.int8] | None]:
    """A function that decodes windows, and the kind of each token; None if the models have no tokenizer."""
    if encoder is None:
        return None, None
    kinds = None if encoder.decode is None else token_kinds(encoder.vocabulary, encoder.decode)
    return encoder.decode_windows, kinds


def token_kinds(vocabulary: int, decode: Callable[[list[int]], list[str]]) -> NDArray[np.int8]:
    """Index into TOKEN_KINDS of each token, by the text that it alone decodes to: shape (vocabulary,).

    Our choice: white space around a token is ignored unless there is nothing else; letters and digits are those of
    Unicode; a token with neither is punctuation; a token without text or with a part of a character is mixed.
    """
    return np.array([_kind_of_text(text) for text in decode(list(range(vocabulary)))], dtype=np.int8)


def _kind_of_text(text: str) -> int:
    stripped = text.strip()
    if not text or _REPLACEMENT in text:
        name = "mixed"
    elif not stripped:
        name = "space"
    elif stripped.isalpha():
        name = "letters"
    elif stripped.isdigit():
        name = "digits"
    else:
        name = "mixed" if any(character.isalnum() or character.isspace() for character in stripped) else "punctuation"
    return TOKEN_KINDS.index(name)


def texts_table(ids: Ids, lengths: Ids, rows: Ids, grid: Grid, decode: Decode | None) -> pa.Table:
    """The TEXTS table of some rows (`mematlas.study.schemas.features`): one record per row and cell.

    Args:
        ids: shape (n, width), width at least that of the grid, zero beyond a row's end; not modified.
        lengths: shape (n,), the number of tokens of each row.
        rows: shape (n,), row ids.
        grid: the cells. Cells that a row is too short for are left out.
        decode: see Decode; None leaves the columns that need text null.

    Returns:
        schema TEXTS, cells in the order of the grid within blocks of rows.

    Raises:
        ValueError: the shapes do not match.
    """
    if ids.ndim != 2 or lengths.shape != rows.shape or len(ids) != len(rows):
        shapes = f"{ids.shape}, {lengths.shape} and {rows.shape}"
        raise ValueError(f"ids, lengths and rows must have shapes (n, width), (n,) and (n,), not {shapes}")
    block_rows = max(1, _BLOCK_TOKENS // max(1, ids.shape[1]))
    blocks = [slice(start, start + block_rows) for start in range(0, len(rows), block_rows)]
    tables = [
        table for block in blocks for table in _cell_tables(ids[block], lengths[block], rows[block], grid, decode)
    ]
    return pa.concat_tables(tables) if tables else TEXTS.empty_table()


def _cell_tables(ids: Ids, lengths: Ids, rows: Ids, grid: Grid, decode: Decode | None) -> Iterator[pa.Table]:
    """One table per cell; windows that several cells share are computed once."""
    computed: dict[tuple[int, int], tuple[NDArray[np.bool_], dict[str, Any]]] = {}
    for context in grid.contexts:
        for continuation in grid.continuations:
            start, end = grid.span(context, continuation)
            if (start, end) not in computed:
                is_complete = lengths >= end
                computed[start, end] = is_complete, _features(ids[is_complete, start:end], decode)
            is_complete, features = computed[start, end]
            count = int(is_complete.sum())
            cell = {
                "row": rows[is_complete],
                "context": np.full(count, context, np.int32),
                "continuation": np.full(count, continuation, np.int32),
            }
            yield pa.table(cell | features, schema=TEXTS)


def _features(windows: Ids, decode: Decode | None) -> dict[str, Any]:
    """Columns of TEXTS for windows [n, tokens]."""
    ratios = {f"distinct_{n}": pa.array(distinct_ratio(windows, n), from_pandas=True) for n in (1, 2, 3)}
    columns = {"repeating": repeating(windows), **ratios}
    if decode is None:
        return columns | {name: pa.nulls(len(windows), TEXTS.field(name).type) for name in _TEXT_COLUMNS}
    texts = decode(windows.tolist())
    encoded = [text.encode("utf-8", errors="replace") for text in texts]
    return columns | {
        "incrementing": [incrementing(text) for text in texts],
        "bytes": np.array([len(data) for data in encoded], np.int32),
        "compressed_bytes": np.array([len(zlib.compress(data, 9)) for data in encoded], np.int32),
    }
