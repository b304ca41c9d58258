"""The keywords of `mematlas.trace_states` with their types, for editors.

A test compares them with `TraceConfig`, which says what they mean.
"""

from pathlib import Path
from typing import Literal, Required, TypedDict

from mematlas.corpus.base import Cut


class TraceKeywords(TypedDict, total=False):
    """See `mematlas.probes.state_tracing.config.TraceConfig`."""

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
    format: str | None
    row_length: int | None
    token_dtype: Literal["uint16", "uint32"] | None
    column: str | None
    cut: Cut
    tokenizer: str | Path | None
    cache: str | Path | None
    dtype: Literal["float32", "bfloat16", "float16"]
    device: str
    device_map: str | None
    trust_remote_code: bool
