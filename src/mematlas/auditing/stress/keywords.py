"""The keywords of `mematlas.stress` with their types, for editors; a test compares them with `StressConfig`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Required, TypedDict

from mematlas.corpus.base import Cut
from mematlas.models.base import Dtype


class StressKeywords(TypedDict, total=False):
    """See `StressConfig` for what each of them means."""

    corpus: Required[str | Path]
    rows: Required[str]
    retain: str | None
    control: str | Path | None
    control_rows: str
    retrained: str | Path | None
    out: str | Path
    context: int
    continuation: int
    threshold: int
    shifts: int | Sequence[int]
    substitutions: int | Sequence[int]
    draws: int
    synonyms: str | Path | None
    relearn: int
    relearn_on: Literal["others", "rows"]
    relearn_rate: float
    seed: int
    format: str | None
    row_length: int | None
    token_dtype: Literal["uint16", "uint32"] | None
    column: str | None
    cut: Cut
    tokenizer: str | Path | None
    cache: str | Path | None
    dtype: Dtype
    device: str
    device_map: str | None
    trust_remote_code: bool
