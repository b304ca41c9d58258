"""`mematlas count`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from mematlas.cli.numbers import NotNegative
from mematlas.errors import IndexFault, MematlasError, OptionError
from mematlas.index.base import Scope
from mematlas.index.lookup import LookupResult, OpenedIndex, look_up, open_any_index
from mematlas.models.huggingface import tokenizer_encoder
from mematlas.types import Encoder

_LARGEST_ID: Final = 2**32 - 1  # of a uint32, the widest type that an index stores


def count(
    index: Path,
    text: str | None = None,
    *,
    ids: str | None = None,
    file: Path | None = None,
    scope: Scope = "documents",
    hits: NotNegative = 3,
    around: NotNegative = 16,
    tokenizer: str | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Count a text or an n-gram of token ids in an indexed corpus, and show where it occurs.

    Example: mematlas count index "Licensed under the Apache License"

    A text is tokenized on its own: with a leading space it is a different n-gram than without.

    Parameters
    ----------
    index
        The folder that `mematlas index --out` wrote, or an infini-gram v4 directory.
    text
        The text to count.
    ids
        Token ids instead of a text: 1,2,3.
    file
        A file with one query per line: token ids, or a text in double quotes (a JSON string).
    scope
        Count n-grams within one row, within one document, or anywhere in the stream.
    hits
        Number of occurrences to show, from the start of the corpus.
    around
        Number of tokens to show on each side of an occurrence.
    tokenizer
        Folder or hub id of a tokenizer; by default the one that the index was built with.
    json
        Print one JSON object per query: {"count": n, ...}.
    """
    opened = open_any_index(index)
    encoder = _encoder(opened, tokenizer)
    queries = _queries(text, ids, file, encoder)
    for result in look_up(opened, queries, scope, hits, around):
        print(json.dumps(_as_json(result, encoder)) if json_ else _as_text(result, encoder))


def _encoder(opened: OpenedIndex, tokenizer: str | None) -> Encoder | None:
    name = tokenizer or opened.tokenizer
    if name is None:
        return None

    encoder = tokenizer_encoder(name, None)
    opened.check_tokenizer(encoder.fingerprint, name)
    return encoder


def _queries(text: str | None, ids: str | None, file: Path | None, encoder: Encoder | None) -> list[Sequence[int]]:
    if sum(option is not None for option in (text, ids, file)) != 1:
        raise OptionError("Give exactly one of: a text, --ids 1,2,3, or --file QUERIES.")
    if text is not None:
        return _encoded([text], encoder)
    if ids is not None:
        return [_parse_ids(ids, "--ids", OptionError)]
    assert file is not None
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise IndexFault(f"{file} cannot be read ({error}); it must be a text file with one query per line.") from None
    if not lines:
        raise IndexFault(f"{file} contains no query; write one per line: 1,2,3 or a text in double quotes.")
    return [
        _encoded([_parse_text(line, f"{file}, line {number}")], encoder)[0]
        if line.startswith('"')
        else _parse_ids(line, f"{file}, line {number}")
        for number, line in enumerate(lines, start=1)
    ]


def _parse_text(line: str, location: str) -> str:
    try:
        return str(json.loads(line))
    except ValueError as error:
        raise IndexFault(
            f"{location}: {line} is not a JSON string ({error}); write the text in double quotes."
        ) from None


def _parse_ids(text: str, location: str, error: type[MematlasError] = IndexFault) -> list[int]:
    try:
        ids = [int(word) for word in text.strip("[]").replace(",", " ").split()]
    except ValueError:
        ids = []
    if not ids:
        raise error(f"{location}: {text!r} is not a list of token ids; write them as 1,2,3.")
    for token in ids:
        if not 0 <= token <= _LARGEST_ID:
            raise error(f"{location}: {token} is no token id; these are from 0 to {_LARGEST_ID}.")
    return ids


def _encoded(texts: list[str], encoder: Encoder | None) -> list[Sequence[int]]:
    if encoder is None:
        raise IndexFault(
            "The index was built without a tokenizer, so a text cannot be tokenized; give --tokenizer, or --ids 1,2,3."
        )
    return list(encoder.encode(texts))


def _decoded(ids: Sequence[int], encoder: Encoder | None) -> str | None:
    return None if encoder is None or encoder.decode_windows is None else encoder.decode_windows([list(ids)])[0]


def _as_json(result: LookupResult, encoder: Encoder | None) -> dict[str, Any]:
    return {
        "count": result.count,
        "scope": result.scope,
        "ids": [int(token) for token in result.ngram],
        "text": _decoded(result.ngram, encoder),
        "hits": [
            {
                "position": hit.position,
                "row": hit.row,
                "offset": hit.offset,
                "document": hit.document,
                "before": _decoded(hit.before, encoder) if encoder else hit.before,
                "after": _decoded(hit.after, encoder) if encoder else hit.after,
            }
            for hit in result.hits
        ],
    }


def _as_text(result: LookupResult, encoder: Encoder | None) -> str:
    times = f"{result.count:,} time{'' if result.count == 1 else 's'}"
    lines = [f"{_as_line(result.ngram, encoder)} ({len(result.ngram)} tokens): {times} {_SCOPES[result.scope]}"]
    for hit in result.hits:
        row = f"row {hit.row:,}, offset {hit.offset:,}, " if hit.row is not None else ""
        lines.append(f"  {row}document {hit.document:,}:")
        before, match, after = (_as_line(part, encoder) for part in (hit.before, result.ngram, hit.after))
        lines.append(f"    ...{before}>>>{match}<<<{after}...")
    return "\n".join(lines)


_SCOPES = {"rows": "within rows", "documents": "within documents", "stream": "in the stream"}


def _as_line(ids: Sequence[int], encoder: Encoder | None) -> str:
    """The tokens as text on one line, or as ids if there is no tokenizer."""
    text = _decoded(ids, encoder)
    return " ".join(map(str, ids)) if text is None else text.replace("\n", "\\n").replace("\t", "\\t")
