"""The keywords of `mematlas.fit_predictors` and `mematlas.predict_rows` with their types, for editors.

A test compares them with `PredictorConfig` and `PredictConfig`, which say what they mean.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Required, TypedDict

from mematlas.corpus.base import Cut
from mematlas.predictors.options import Input
from mematlas.study.schemas.predictions import Sees


class FitKeywords(TypedDict, total=False):
    """See `mematlas.predictors.options.PredictorConfig`."""

    sees: Sees | Sequence[Sees]
    inputs: Input | Sequence[Input]
    seeds: int
    members: int
    width: int
    layers: int
    heads: int
    dropout: float
    learning_rate: float
    weight_decay: float
    batch: int
    epochs: int
    patience: int


class PredictKeywords(TypedDict, total=False):
    """See `mematlas.predictors.screening_config.PredictConfig`."""

    corpus: Required[str | Path]
    predictor: Required[str | Path]
    out: str | Path
    threshold: float
    rows: str
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
    batch: int | Literal["auto"]
    shards: int | None
