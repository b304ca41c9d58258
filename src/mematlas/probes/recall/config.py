"""The options of `mematlas probe recall`."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from mematlas.errors.configurations import resolve_options
from mematlas.models.base import Dtype
from mematlas.models.endpoints.options import EndpointOptions
from mematlas.probes.items.parsing import Normalization
from mematlas.scoring.config import Device, Lengths, LocalPath, Name, Names
from mematlas.scoring.row_options import score_field
from mematlas.types import as_list

Axis = Literal["templates", "languages", "temperatures", "repetitions"]
Axes = Annotated[list[Axis], BeforeValidator(as_list)]
Temperatures = Annotated[list[float], BeforeValidator(as_list)]
INDEX: Final = "index:"


class _RecallFields(BaseModel):
    """The options but for those of models behind an API."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: Name = Field(
        description="Task file with the columns input and output, and id, popularity, choices, language, group if "
        "there are some: CSV, JSON Lines, Parquet, or a dataset of Hugging Face."
    )
    template: Names = Field(
        description="A prompt, 'The code of {input} is {output}.', or a file of them; several times for several."
    )
    out: LocalPath = Field(
        default=Path("recall"),
        description="Folder for tables and page; running the same command again continues there.",
    )
    shots: Lengths = Field(
        default=[0, 3], description="Solved examples before each question; each number of a list is tried."
    )
    popularity: Name | None = Field(
        default=None,
        description="How frequent items are: index:DIR counts them in a corpus, FILE has the columns id and "
        "popularity; by default the column popularity of the items.",
    )
    count: Literal["both", "input", "output"] = Field(
        default="both", description="With an index: documents that have input and output, or occurrences of one."
    )
    window: int | None = Field(
        default=None,
        description="With an index: input and output stand at most so many tokens apart, instead of in one document.",
        gt=0,
    )
    tokenizer: Name | None = Field(
        default=None, description="Tokenizer of the index, if it is not the one that the index names."
    )
    answer: str | None = Field(
        default=None,
        description="What of a text is the answer: word, line, or a pattern (regular expression); by default word if "
        "all right answers are words.",
    )
    normalization: Normalization = Field(
        default="exact", description="Compare answers as written (exact), or without upper and lower case (case)."
    )
    candidates: int = Field(
        default=16, description="Answers among which the right one is ranked; 0: none but an item's own choices.", ge=0
    )
    made_up: int = Field(default=50, description="Inputs that do not exist, asked as a control.", ge=0)
    invariance: Axes = Field(
        default=["templates", "languages"],
        description="What answers are compared over: templates, languages, temperatures, repetitions.",
    )
    invariance_items: int = Field(default=200, description="Items asked again for invariance, drawn at random.", gt=0)
    temperatures: Temperatures = Field(
        default=[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
        description="Temperatures of the axis temperatures.",
    )
    repetitions: int = Field(default=10, description="Answers to the same prompt, of the axis repetitions.", gt=1)
    new_tokens: int | None = Field(
        default=None,
        description="Most tokens of an answer; by default those of the longest right one and 3 more.",
        gt=0,
    )
    input_column: str = Field(default="input", description="Name of the column with the inputs.")
    output_column: str = Field(default="output", description="Name of the column with the right answers.")
    format: str | None = Field(default=None, description="Format of the items: csv, jsonl, parquet or datasets.")
    seed: int = Field(default=0, description="Seed of examples, candidates, made-up inputs and samples.", ge=0)
    dtype: Dtype = Field(default="float32", description="Precision of the model.")
    device: Device = score_field("device")
    device_map: str | None = score_field("device_map")
    trust_remote_code: bool = score_field("trust_remote_code")

    @field_validator("template")
    @classmethod
    def _has_one(cls, values: list[str]) -> list[str]:
        if not values:
            raise ValueError("at least one template is needed")
        return values

    @field_validator("shots")
    @classmethod
    def _are_ascending(cls, values: list[int]) -> list[int]:
        if not values or min(values) < 0:
            raise ValueError("numbers of examples are 0 or more")
        return sorted(set(values))

    @field_validator("temperatures")
    @classmethod
    def _are_temperatures(cls, values: list[float]) -> list[float]:
        if len(set(values)) < 2 or min(values) < 0:
            raise ValueError("needs at least two different temperatures, 0 or more")
        return sorted(set(values))


class RecallConfig(EndpointOptions, _RecallFields):  # of several bases, pydantic puts the fields of the last first
    """Options of `mematlas probe recall`."""


def resolve_recall(**options: object) -> RecallConfig:
    """Check the options of a probe.

    Raises:
        OptionError: an option is unknown or breaks a rule; the message names it as the command line does.
    """
    return resolve_options(RecallConfig, "probe recall", options)
