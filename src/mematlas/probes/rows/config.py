"""The options of probes that look at rows of a corpus, beside rows of a control."""

from pathlib import Path
from typing import Required, TypedDict

from pydantic import BaseModel, Field

from mematlas.scoring.config import LocalPath, Name
from mematlas.scoring.row_options import ReadingKeywords, ReadingOptions, score_field


class _RowProbeFields(BaseModel):
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


class RowProbeConfig(ReadingOptions, _RowProbeFields):
    """Options that these probes share; those of `mematlas score` are defined there."""


class _OwnKeywords(TypedDict, total=False):
    corpus: Required[str | Path]
    rows: str | None
    control: str | Path | None
    control_rows: str | None
    out: str | Path
    context: int
    continuation: int
    seed: int
    batch: int


class RowProbeKeywords(_OwnKeywords, ReadingKeywords, total=False):
    """The same as keywords of Python functions, with their types; a test compares the two."""
