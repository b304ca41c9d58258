"""The options of `mematlas trace-states`."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from mematlas.scoring.config import LocalPath, Name
from mematlas.scoring.row_options import ReadingOptions, score_field


class _TraceFields(BaseModel):
    corpus: Name = score_field("corpus")
    rows: str = Field(
        description="Rows to trace: ids:FILE, such as ids that the explorer exports, "
        "sample:N[:SEED], first:N or slice:A:B."
    )
    out: LocalPath = Field(
        default=Path("traces"),
        description="Folder for tables and page; running the same command again continues there.",
    )
    sources: int = Field(
        default=10, description="Random windows of the corpus whose states are put in place, one after another.", gt=0
    )
    context: int = Field(default=32, description="Tokens that prompt the model.", gt=0)
    continuation: int = Field(default=32, description="Tokens that it should recite after them.", gt=0)
    positions: Literal["row", "prompt"] = Field(
        default="row", description="Tokens whose states are replaced: of the whole row, or of its prompt alone."
    )
    twin: Name | None = Field(
        default=None,
        description="A model of the same architecture, such as the control arm of an experiment: states of each are "
        "also put into the other.",
    )
    seed: int = Field(default=0, description="Seed of the windows.", ge=0)
    batch: int = Field(default=128, description="Patched passes at once.", gt=0)


class TraceConfig(ReadingOptions, _TraceFields):
    """Options of `mematlas trace-states`; those shared with `mematlas score` are defined there."""
