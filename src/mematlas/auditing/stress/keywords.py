"""The keywords of `mematlas.stress` with their types, for editors; a test compares them with `StressConfig`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Required, TypedDict

from mematlas.scoring.row_options import ReadingKeywords


class _OwnKeywords(TypedDict, total=False):
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


class StressKeywords(_OwnKeywords, ReadingKeywords, total=False):
    """See `StressConfig` for what each of them means."""
