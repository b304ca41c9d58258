"""How often, and where, an n-gram occurs in a corpus."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mematlas.index.building import IndexOptions, build_index
    from mematlas.index.folder import open_index, verify_index
    from mematlas.index.infinigram import export_infinigram, open_infinigram
    from mematlas.index.scan import Scan
    from mematlas.index.stream import CorpusStream
    from mematlas.index.suffix_arrays import SuffixArray

_SUBMODULES = {
    "CorpusStream": "stream",
    "IndexOptions": "building",
    "Scan": "scan",
    "SuffixArray": "suffix_arrays",
    "build_index": "building",
    "export_infinigram": "infinigram",
    "open_index": "folder",
    "open_infinigram": "infinigram",
    "verify_index": "folder",
}
__all__ = [
    "CorpusStream",
    "IndexOptions",
    "Scan",
    "SuffixArray",
    "build_index",
    "export_infinigram",
    "open_index",
    "open_infinigram",
    "verify_index",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the compiled loops are heavy."""
    if name not in _SUBMODULES:
        raise AttributeError(f"module 'mematlas.index' has no attribute {name!r}")
    return getattr(import_module(f"mematlas.index.{_SUBMODULES[name]}"), name)
