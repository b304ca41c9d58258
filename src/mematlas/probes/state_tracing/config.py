"""The options of `mematlas trace-states`."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mematlas.corpus.base import Cut
from mematlas.scoring.config import Device, LocalPath, Name
from mematlas.scoring.row_options import score_field


class TraceConfig(BaseModel):
    """Options of `mematlas trace-states`; those shared with `mematlas score` are defined there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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
    format: str | None = score_field("format")
    row_length: int | None = score_field("row_length")
    token_dtype: Literal["uint16", "uint32"] | None = score_field("token_dtype")
    column: str | None = score_field("column")
    cut: Cut = score_field("cut")
    tokenizer: Name | None = score_field("tokenizer")
    cache: Path | None = score_field("cache")
    dtype: Literal["float32", "bfloat16", "float16"] = score_field("dtype")
    device: Device = score_field("device")
    device_map: str | None = score_field("device_map")
    trust_remote_code: bool = score_field("trust_remote_code")
