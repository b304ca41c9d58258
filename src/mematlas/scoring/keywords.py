"""The keywords of `mematlas.score` with their types, for editors; a test compares them with `ScoreConfig`.

They are wider than the configuration's: a single number or text stands for a list of one, and a path for its text.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Required, TypedDict

from mematlas.corpus.base import Cut
from mematlas.models.endpoints.options import EndpointKeywords
from mematlas.scoring.config import Order
from mematlas.types import Align, Depth, EosPolicy, Objective

Signal = Literal["truth", "free", "hidden"]


class _ScoringKeywords(TypedDict, total=False):
    """The options of scoring but for those of models behind an API."""

    corpus: Required[str | Path]
    study: Required[str | Path]
    context: int | Sequence[int]
    continuation: int | Sequence[int]
    rows: str
    control: str | Path | None
    control_rows: str
    control_models: str | Path | Sequence[str | Path]
    order: Order
    objective: Objective
    depth: Depth
    signals: Signal | Sequence[Signal]
    hidden_rows: int
    hidden_layer: str | int | float
    temperature: float | Sequence[float]
    align: Align
    eos: EosPolicy
    bos: bool
    format: str | None
    row_length: int | None
    token_dtype: Literal["uint16", "uint32"] | None
    column: str | None
    cut: Cut
    allow_short: bool
    tokenizer: str | Path | None
    cache: str | Path | None
    dtype: Literal["float32", "bfloat16", "float16"]
    device: str
    device_map: str | None
    trust_remote_code: bool
    settle: bool
    batch: int | Literal["auto"]
    graphs: Literal["auto", "on", "off"]
    backend: Literal["torch", "vllm"]
    shards: int | None
    executor: Literal["local", "ray"]
    workers: int
    address: str | None
    gpus_per_worker: float | None


class ScoreKeywords(_ScoringKeywords, EndpointKeywords, total=False):
    """See `ScoreConfig` for what each of them means."""
