"""What row features are computed from: a check of the corpus, and the record of what began to be computed."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mematlas.errors import IndexFault

if TYPE_CHECKING:
    from mematlas.index.stream import CorpusStream

_SCAN_TOKENS: Final = 1 << 16  # tokens read at once in the search for the first end of a document


def begun_sources(folder: Path) -> dict[str, Any]:
    """The fingerprints of what the shards in `folder` are computed from: source, of what is counted, and texts.

    Until texts had a fingerprint of their own, that of what is counted stood for both.
    """
    try:
        begun = json.loads((folder / "begun.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return {"texts": begun.get("source"), **begun} if isinstance(begun, dict) else {}


def check_document_ends(stream: "CorpusStream", eod: int | None) -> None:
    """Refuse an end-of-document token that does not occur in the corpus.

    Raises:
        IndexFault: it does not occur.
    """
    if eod is None:
        return
    tokens = 0
    for chunk in stream.chunks(0, _SCAN_TOKENS):
        if (chunk.tokens == eod).any():
            return
        tokens += chunk.own_length
    raise IndexFault(
        f"The end-of-document token --eod {eod} does not occur in the corpus ({tokens:,} tokens); name "
        "the id that ends its documents, or leave --eod out."
    )
