"""What kind of text a row's windows are: templates (K2), redundancy (K8) and compressed size, without any model.

A window is the C context tokens and the L continuation tokens of one cell of the grid. Its text is the texts of its
tokens one after the other (our choice), so that a character that several tokens share becomes replacement signs.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mematlas.features.redundancy import distinct_ratio
from mematlas.features.templates import incrementing, repeating
from mematlas.study.schemas.features import TEXTS, TOKEN_KINDS
from mematlas.types import Encoder, Grid, Ids

Decode = Callable[[list[int]], list[str]]

_NO_CHARACTER: Final = "\N{REPLACEMENT CHARACTER}"
_BLOCK_TOKENS: Final = 1 << 20
_OF_TEXT: Final = ("incrementing", "bytes", "compressed_bytes")


def remembering(decode: Decode) -> Decode:
    """`decode` that asks for no token twice: for the many blocks of a corpus, whose tokens are mostly the same."""
    known: dict[int, str] = {}

    def remembered(ids: list[int]) -> list[str]:
        new = [token for token in dict.fromkeys(ids) if token not in known]
        if new:
            known.update(zip(new, decode(new), strict=True))
        return [known[token] for token in ids]

    return remembered


def reader_of(encoder: Encoder | None) -> tuple[Decode | None, NDArray[np.int8] | None]:
    """What reads token ids as text, and the kind of each token; None where the models have no tokenizer."""
    if encoder is None or encoder.decode is None:
        return None, None
    decode: Decode = remembering(encoder.decode)
    return decode, token_kinds(encoder.vocabulary, decode)


def token_kinds(vocabulary: int, decode: Decode) -> NDArray[np.int8]:
    """Index into TOKEN_KINDS of each token, by what it alone decodes to: shape (vocabulary,).

    Our choice: white space around a token does not matter unless there is nothing else; letters and digits are those
    of Unicode; what holds neither is punctuation; a token without text or with a piece of a character is mixed.
    """
    return np.array([_kind(text) for text in decode(list(range(vocabulary)))], dtype=np.int8)


def _kind(text: str) -> int:
    bare = text.strip()
    if not text or _NO_CHARACTER in text:
        name = "mixed"
    elif not bare:
        name = "space"
    elif bare.isalpha():
        name = "letters"
    elif bare.isdigit():
        name = "digits"
    else:
        name = "mixed" if any(sign.isalnum() or sign.isspace() for sign in bare) else "punctuation"
    return TOKEN_KINDS.index(name)


def texts_table(ids: Ids, lengths: Ids, rows: Ids, grid: Grid, decode: Decode | None) -> pa.Table:
    """The TEXTS table of some rows (`mematlas.study.schemas.features`): one line a row and cell.

    Args:
        ids: shape (n, width), width at least that of the grid, zero beyond a row's end; read only.
        lengths: shape (n,), how many tokens each row really has.
        rows: shape (n,), row ids.
        grid: the cells. Cells that a row is too short for are left out.
        decode: token ids -> a text each (`mematlas.types.Encoder.decode`; wrap it in `remembering` where there are
            many blocks); None leaves the columns that need text null.

    Returns:
        schema TEXTS, cells in the order of the grid within blocks of rows.

    Raises:
        ValueError: the shapes do not belong together.
    """
    if ids.ndim != 2 or lengths.shape != rows.shape or len(ids) != len(rows):
        shapes = f"{ids.shape}, {lengths.shape} and {rows.shape}"
        raise ValueError(f"ids, lengths and rows must be of shapes (n, width), (n,) and (n,), not {shapes}")
    step = max(1, _BLOCK_TOKENS // max(1, ids.shape[1]))
    blocks = [
        block
        for at in range(0, len(rows), step)
        for block in _cells(ids[at : at + step], lengths[at : at + step], rows[at : at + step], grid, decode)
    ]
    return pa.concat_tables(blocks) if blocks else TEXTS.empty_table()


def _cells(ids: Ids, lengths: Ids, rows: Ids, grid: Grid, decode: Decode | None) -> Iterator[pa.Table]:
    """One table a cell; windows that several cells share are looked at once."""
    pieces = None if decode is None else _pieces(ids, lengths, decode)
    known: dict[tuple[int, int], tuple[NDArray[np.bool_], dict[str, Any]]] = {}
    for context in grid.contexts:
        for continuation in grid.continuations:
            end = grid.split(context) + continuation
            start = grid.split(context) - context
            if (start, end) not in known:
                whole = lengths >= end
                known[start, end] = whole, _features(ids[whole, start:end], pieces, whole, start, end)
            whole, features = known[start, end]
            count = int(whole.sum())
            cell = {
                "row": rows[whole],
                "context": np.full(count, context, np.int32),
                "continuation": np.full(count, continuation, np.int32),
            }
            yield pa.table(cell | features, schema=TEXTS)


def _features(
    windows: Ids, pieces: NDArray[np.object_] | None, whole: NDArray[np.bool_], start: int, end: int
) -> dict[str, Any]:
    ratios = {f"distinct_{n}": pa.array(distinct_ratio(windows, n), from_pandas=True) for n in (1, 2, 3)}
    found = {"repeating": repeating(windows), **ratios}
    if pieces is None:
        return found | {name: pa.nulls(len(windows), TEXTS.field(name).type) for name in _OF_TEXT}
    texts = ["".join(window) for window in pieces[whole, start:end]]
    encoded = [text.encode("utf-8", errors="replace") for text in texts]
    return found | {
        "incrementing": [incrementing(text) for text in texts],
        "bytes": np.array([len(data) for data in encoded], np.int32),
        "compressed_bytes": np.array([len(zlib.compress(data, 9)) for data in encoded], np.int32),
    }


def _pieces(ids: Ids, lengths: Ids, decode: Decode) -> NDArray[np.object_]:
    """The text of every token of the rows, shape of `ids`; what lies beyond a row's end is decoded but never read."""
    found, places = np.unique(ids, return_inverse=True)
    texts = np.array(decode(found.tolist()), dtype=object)
    return texts[places.reshape(ids.shape)]
