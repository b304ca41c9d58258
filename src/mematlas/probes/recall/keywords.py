"""The keywords of `mematlas.probe_recall` with their types, for editors.

A test compares them with `RecallConfig`, which says what they mean.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Required, TypedDict

from mematlas.models.base import Dtype
from mematlas.models.endpoints.options import EndpointKeywords
from mematlas.probes.items.parsing import Normalization
from mematlas.probes.recall.config import Axis


class _RecallKeywords(TypedDict, total=False):
    """The options but for those of models behind an API."""

    items: Required[str | Path]
    template: Required[str | Path | Sequence[str | Path]]
    out: str | Path
    shots: int | Sequence[int]
    popularity: str | Path | None
    count: Literal["both", "input", "output"]
    window: int | None
    tokenizer: str | Path | None
    answer: str | None
    normalization: Normalization
    candidates: int
    made_up: int
    invariance: Sequence[Axis]
    invariance_items: int
    temperatures: Sequence[float]
    repetitions: int
    new_tokens: int | None
    input_column: str
    output_column: str
    format: str | None
    seed: int
    dtype: Dtype
    device: str
    device_map: str | None
    trust_remote_code: bool


class RecallKeywords(_RecallKeywords, EndpointKeywords, total=False):
    """See `mematlas.probes.recall.config.RecallConfig`."""
