"""The options of probes that look at rows of a corpus, beside rows of a control."""

from pathlib import Path
from typing import Literal, Required, TypedDict, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from mematlas.corpus.base import Cut
from mematlas.scoring.config import Device, LocalPath, Name
from mematlas.scoring.row_options import score_field

Config = TypeVar("Config", bound=BaseModel)


class RowProbeConfig(BaseModel):
    """Options that these probes share; those of `mematlas score` are defined there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: Name = score_field("corpus")
    rows: str | None = Field(
        default=None,
        description="Rows to look at: sample:N[:SEED], first:N, slice:A:B or ids:FILE; 200 random ones by default.",
    )
    control: Name | None = Field(
        default=None, description="A corpus of rows that the model was never shown, read like the corpus."
    )
    control_rows: str | None = Field(default=None, description="Rows of the control, spelled like --rows.")
    out: LocalPath = Field(
        default=Path("probes"),
        description="Folder for tables and page; running the same command again continues there.",
    )
    context: int = Field(default=32, description="Tokens that prompt the model.", gt=0)
    continuation: int = Field(default=32, description="Tokens that it should recite after them.", gt=0)
    seed: int = Field(default=0, description="Seed of everything that is drawn.", ge=0)
    batch: int = Field(default=128, description="Rows at once.", gt=0)
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


class RowProbeKeywords(TypedDict, total=False):
    """The same as keywords of Python functions, with their types; a test compares the two."""

    corpus: Required[str | Path]
    rows: str | None
    control: str | Path | None
    control_rows: str | None
    out: str | Path
    context: int
    continuation: int
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
