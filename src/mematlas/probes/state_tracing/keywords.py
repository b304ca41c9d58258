"""The keywords of `mematlas.trace_states` with their types, for editors.

A test compares them with `TraceConfig`, which says what they mean.
"""

from pathlib import Path
from typing import Literal, Required, TypedDict

from mematlas.scoring.row_options import ReadingKeywords


class _OwnKeywords(TypedDict, total=False):
    corpus: Required[str | Path]
    rows: Required[str]
    out: str | Path
    sources: int
    context: int
    continuation: int
    positions: Literal["row", "prompt"]
    twin: str | Path | None
    seed: int
    batch: int


class TraceKeywords(_OwnKeywords, ReadingKeywords, total=False):
    """See `mematlas.probes.state_tracing.config.TraceConfig`."""
