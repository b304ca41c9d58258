"""The options of `mematlas probe style`."""

from pathlib import Path
from typing import Required, TypedDict

from pydantic import BaseModel, ConfigDict, Field

from mematlas.models.base import Dtype
from mematlas.scoring.config import Device, LocalPath, Name
from mematlas.scoring.row_options import score_field


class StyleConfig(BaseModel):
    """Options of `mematlas probe style`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    texts: Name = Field(
        description="Table with the columns text, author and in_training (true or false, one for each author), and id "
        "if there is one: CSV, JSON Lines, Parquet, or a dataset of Hugging Face."
    )
    out: LocalPath = Field(
        default=Path("style"),
        description="Folder for tables and page; running the same command again continues there.",
    )
    prompt_words: int = Field(
        default=20, description="Words of a text's beginning that the model continues; texts have twice as many.", gt=0
    )
    new_tokens: int = Field(default=100, description="Most tokens that the model writes after a beginning.", gt=0)
    temperature: float = Field(
        default=1.0, description="Temperature of what the model writes; 0: greedy decoding.", ge=0
    )
    folds: int = Field(
        default=5, description="Parts of the texts; each is told by a classifier fitted to the others.", ge=2
    )
    format: str | None = Field(default=None, description="Format of the texts: csv, jsonl, parquet or datasets.")
    seed: int = Field(default=0, description="Seed of samples, parts of the texts and permutations.", ge=0)
    dtype: Dtype = Field(default="float32", description="Precision of the model.")
    device: Device = score_field("device")
    device_map: str | None = score_field("device_map")
    trust_remote_code: bool = score_field("trust_remote_code")


class StyleKeywords(TypedDict, total=False):
    """The keywords of `mematlas.probe_style` with their types, for editors; a test compares the two."""

    texts: Required[str | Path]
    out: str | Path
    prompt_words: int
    new_tokens: int
    temperature: float
    folds: int
    format: str | None
    seed: int
    dtype: Dtype
    device: str
    device_map: str | None
    trust_remote_code: bool
