"""`mematlas count`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from mematlas.errors import IndexFault
from mematlas.index.base import Scope
from mematlas.index.lookup import Found, Lookup, look_up, open_any
from mematlas.types import Encoder


def count(
    index: Path,
    text: str | None = None,
    *,
    ids: str | None = None,
    file: Path | None = None,
    scope: Scope = "documents",
    hits: int = 3,
    around: int = 16,
    tokenizer: str | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Count a text or an n-gram of token ids in an indexed corpus, and show where it stands.

    Example: mematlas count index "Licensed under the Apache License"

    A text is made into tokens by itself: with a leading space it is another n-gram than without.

    Parameters
    ----------
    index
        The folder that `mematlas index --out` wrote, or an infini-gram v4 directory.
    text
        What to count.
    ids
        Token ids instead of a text: 1,2,3.
    file
        Many of them, one a line: token ids, or texts between quotes as JSON has them.
    scope
        An n-gram counts if it lies within one row, within one document, or anywhere in the stream.
    hits
        How many of the first places to show.
    around
        Tokens to show on each side of a place.
    tokenizer
        Folder or hub id; default: the one that the index was made with.
    json
        Print one JSON object a query: {"count": n, ...}.
    """
    opened = open_any(index)
    encoder = _encoder(opened, tokenizer)
    queries = _queries(text, ids, file, encoder)
    for found in look_up(opened, queries, scope, hits, around):
        print(json.dumps(_as_json(found, encoder)) if json_ else _as_text(found, encoder))


def _encoder(opened: Lookup, tokenizer: str | None) -> Encoder | None:
    name = tokenizer or opened.tokenizer
    if name is None:
        return None
    from mematlas.models.huggingface import tokenizer_encoder

    encoder = tokenizer_encoder(name, None)
    opened.check_tokenizer(encoder.fingerprint, name)
    return encoder


def _queries(text: str | None, ids: str | None, file: Path | None, encoder: Encoder | None) -> list[Sequence[int]]:
    if sum(given is not None for given in (text, ids, file)) != 1:
        raise IndexFault("Give one of: a text, --ids 1,2,3, or --file QUERIES.")
    if text is not None:
        return _encoded([text], encoder)
    if ids is not None:
        return [_parsed(ids, "--ids")]
    assert file is not None
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise IndexFault(f"{file} cannot be read ({error}); it is a text file with one query a line.") from None
    if not lines:
        raise IndexFault(f"{file} holds no query; write one a line: 1,2,3 or a text between quotes.")
    return [
        _encoded([_unquoted(line, f"{file}, line {number}")], encoder)[0]
        if line.startswith('"')
        else _parsed(line, f"{file}, line {number}")
        for number, line in enumerate(lines, start=1)
    ]


def _unquoted(line: str, where: str) -> str:
    try:
        return str(json.loads(line))
    except ValueError as error:
        raise IndexFault(f"{where}: {line} is no text as JSON has it ({error}); write it between quotes.") from None


def _parsed(text: str, where: str) -> list[int]:
    try:
        return [int(word) for word in text.strip("[]").replace(",", " ").split()]
    except ValueError:
        raise IndexFault(f"{where}: {text!r} are no token ids; write them as 1,2,3.") from None


def _encoded(texts: list[str], encoder: Encoder | None) -> list[Sequence[int]]:
    if encoder is None:
        raise IndexFault("The index names no tokenizer to make tokens of a text; give --tokenizer, or --ids 1,2,3.")
    return list(encoder.encode(texts))


def _decoded(ids: Sequence[int], encoder: Encoder | None) -> str | None:
    return "".join(encoder.decode(list(ids))) if encoder is not None and encoder.decode is not None else None


def _as_json(found: Found, encoder: Encoder | None) -> dict[str, Any]:
    return {
        "count": found.count,
        "scope": found.scope,
        "ids": [int(token) for token in found.ngram],
        "text": _decoded(found.ngram, encoder),
        "hits": [
            {
                "position": hit.position,
                "row": hit.row,
                "offset": hit.offset,
                "document": hit.document,
                "before": _decoded(hit.before, encoder) if encoder else hit.before,
                "after": _decoded(hit.after, encoder) if encoder else hit.after,
            }
            for hit in found.hits
        ],
    }


def _as_text(found: Found, encoder: Encoder | None) -> str:
    times = f"{found.count:,} time{'' if found.count == 1 else 's'}"
    lines = [f"{_shown(found.ngram, encoder)} ({len(found.ngram)} tokens): {times} {_SCOPES[found.scope]}"]
    for hit in found.hits:
        row = f"row {hit.row:,}, offset {hit.offset:,}, " if hit.row is not None else ""
        lines.append(f"  {row}document {hit.document:,}:")
        before, match, after = (_shown(part, encoder) for part in (hit.before, found.ngram, hit.after))
        lines.append(f"    ...{before}>>>{match}<<<{after}...")
    return "\n".join(lines)


_SCOPES = {"rows": "within rows", "documents": "within documents", "stream": "in the stream"}


def _shown(ids: Sequence[int], encoder: Encoder | None) -> str:
    text = _decoded(ids, encoder)
    return " ".join(map(str, ids)) if text is None else text.replace("\n", "\\n").replace("\t", "\\t")
