"""The keywords of `mematlas.audit` with their types, for editors; a test compares them with `AuditConfig`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from mematlas.models.base import Dtype


class AuditKeywords(TypedDict, total=False):
    """See `AuditConfig` for what each of them means."""

    train: str | Path | None
    work: str | Path | None
    benchmark: str | Path | None
    control: str | Path | None
    base: str | Path | None
    secrets: str | Path
    canaries: str | Path | None
    out: str | Path
    rows: int
    prompts: int
    new_tokens: int
    paraphrase_model: str | Path | None
    alternatives: int
    max_secrets: int
    context: int | None
    continuation: int | None
    stride: int | None
    column: str | None
    seed: int
    show_secrets: bool
    fail_on: str | Sequence[str]
    device: str
    dtype: Dtype
