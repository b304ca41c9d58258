"""Reads corpora as rows of token ids: one reader per format, detected by content or named by the user."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mematlas.corpus.formats import FORMATS

if TYPE_CHECKING:
    from mematlas.corpus.base import Corpus, CorpusFormat, CorpusOptions
    from mematlas.corpus.opening import open_corpus
    from mematlas.corpus.selection import select

__all__ = ["FORMATS", "Corpus", "CorpusFormat", "CorpusOptions", "open_corpus", "select"]

_LAZY = {
    "Corpus": "base",
    "CorpusFormat": "base",
    "CorpusOptions": "base",
    "open_corpus": "opening",
    "select": "selection",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
