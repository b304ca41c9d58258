"""The options of `mematlas probe ratios`."""

import re
from pathlib import Path
from typing import Required, TypedDict

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mematlas.errors import OptionError
from mematlas.models.base import Dtype
from mematlas.scoring.config import Device, LocalPath, Name
from mematlas.scoring.row_options import score_field


class RatiosConfig(BaseModel):
    """Options of `mematlas probe ratios`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: Name = Field(
        description="Table with texts of the model's training: CSV, JSON Lines, Parquet, or a dataset of Hugging Face."
    )
    control: Name | None = Field(
        default=None, description="Table with the same columns and texts that are not in the training."
    )
    base: Name | None = Field(
        default=None, description="The model before its training on the corpus, asked in the same way as a control."
    )
    label: str | None = Field(default=None, description="Column with each text's label, which a classifier learns.")
    pattern: str | None = Field(
        default=None, description="Instead of labels NAME=REGEX: a text has the property NAME if the pattern is in it."
    )
    column: str = Field(default="text", description="Column with the texts.")
    out: LocalPath = Field(
        default=Path("ratios"),
        description="Folder for tables and page; running the same command again continues there.",
    )
    samples: int = Field(default=500, description="Texts that the model writes, drawn at temperature 1.", ge=20)
    start_words: int = Field(
        default=0,
        description="Words of a control text's beginning that the model continues; 0: the token that starts a text.",
        ge=0,
    )
    new_tokens: int = Field(default=100, description="Most tokens of a text that the model writes.", gt=0)
    folds: int = Field(
        default=5, description="Parts of the training texts; each is told by a classifier fitted to the others.", ge=2
    )
    format: str | None = Field(default=None, description="Format of the tables: csv, jsonl, parquet or datasets.")
    seed: int = Field(default=0, description="Seed of samples, parts of the texts and permutations.", ge=0)
    dtype: Dtype = Field(default="float32", description="Precision of the model.")
    device: Device = score_field("device")
    device_map: str | None = score_field("device_map")
    trust_remote_code: bool = score_field("trust_remote_code")

    @field_validator("pattern")
    @classmethod
    def _is_pattern(cls, value: str | None) -> str | None:
        if value is not None:
            name, equals, pattern = value.partition("=")
            if not (name.strip() and equals and pattern):
                raise ValueError("is NAME=REGEX, such as question=[?]")
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"has a pattern that is no regular expression ({error})") from None
        return value

    def check(self) -> None:
        """Raise OptionError if options that need each other are not given together."""
        if (self.label is None) == (self.pattern is None):
            raise OptionError(
                "A property is a column with a label for each text, or a pattern: give --label COLUMN or --pattern "
                "NAME=REGEX, one of both."
            )
        if self.control is None and self.base is None:
            raise OptionError(
                "Shares are compared with a control: give texts that are not in the training (--control FILE), or the "
                "model before its training (--base MODEL)."
            )
        if self.start_words and self.control is None:
            raise OptionError(
                f"--start-words {self.start_words} takes beginnings of control texts: give --control FILE."
            )


class RatiosKeywords(TypedDict, total=False):
    """The keywords of `mematlas.probe_ratios` with their types, for editors; a test compares the two."""

    corpus: Required[str | Path]
    control: str | Path | None
    base: str | Path | None
    label: str | None
    pattern: str | None
    column: str
    out: str | Path
    samples: int
    start_words: int
    new_tokens: int
    folds: int
    format: str | None
    seed: int
    dtype: Dtype
    device: str
    device_map: str | None
    trust_remote_code: bool
