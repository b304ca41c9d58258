"""The options of `mematlas probe tasks`."""

from pathlib import Path
from typing import Annotated, Required, TypedDict

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from mematlas.models.base import Dtype
from mematlas.probes.tasks.mining import COLUMN, EMBEDDER, KINDS
from mematlas.scoring.config import Device, Lengths, LocalPath, Name, Names
from mematlas.scoring.row_options import score_field
from mematlas.types import as_list

Gammas = Annotated[list[float], BeforeValidator(as_list)]


class TasksConfig(BaseModel):
    """Options of `mematlas probe tasks`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Name = Field(
        description="Task file with the columns input and output, and prompt unless --template is given: CSV, JSON "
        "Lines, Parquet, or a dataset of Hugging Face."
    )
    index: Name = Field(
        description="Index of the corpus that the models were trained on (`mematlas index`), or an infini-gram folder."
    )
    out: LocalPath = Field(
        default=Path("tasks"),
        description="Folder for tables and page; running the same command again continues there.",
    )
    template: str | None = Field(
        default=None, description="Prompt of a file without the column prompt: 'Question: {input} Answer: {output}'."
    )
    n: Lengths = Field(default=[2, 3, 5], description="Words of n-grams; each number of a list is tried.")
    similarity: str = Field(
        default="characters",
        description="Which n-grams are pairs: characters (tf-idf of 3 characters), embedder:DIR (a static embedder), "
        "column:NAME (pairs of the task file), any (all), or exact (equal ones alone, a null).",
    )
    gamma: Gammas = Field(
        default=[0.5, 0.6, 0.7, 0.8, 0.9],
        description="Similarity that pairs exceed; each number of a list is tried, the lowest is reported.",
    )
    whole_output: bool = Field(default=False, description="Take the whole output as one n-gram, as for short answers.")
    pairs: int = Field(default=1_000, description="Most pairs of an example and n, the most alike first.", gt=0)
    control: Names = Field(default=[], description="Models that were not trained on the corpus, asked in the same way.")
    tokenizer: Name | None = Field(
        default=None, description="Tokenizer of the index, if it is not the one that the index names."
    )
    input_column: str = Field(default="input", description="Name of the column with the inputs.")
    output_column: str = Field(default="output", description="Name of the column with the right outputs.")
    format: str | None = Field(default=None, description="Format of the task: csv, jsonl, parquet or datasets.")
    seed: int = Field(default=0, description="Seed of resampled and permuted examples.", ge=0)
    dtype: Dtype = Field(default="float32", description="Precision of the models.")
    device: Device = score_field("device")
    device_map: str | None = score_field("device_map")
    trust_remote_code: bool = score_field("trust_remote_code")

    @field_validator("n")
    @classmethod
    def _are_lengths(cls, values: list[int]) -> list[int]:
        if not values or min(values) < 1:
            raise ValueError("numbers of words are 1 or more")
        return sorted(set(values))

    @field_validator("gamma")
    @classmethod
    def _are_similarities(cls, values: list[float]) -> list[float]:
        if not values or not all(0 <= value < 1 for value in values):
            raise ValueError("similarities to exceed are from 0 to below 1")
        return sorted(set(values))

    @field_validator("similarity")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in KINDS and not any(
            value.startswith(kind) and len(value) > len(kind) for kind in (EMBEDDER, COLUMN)
        ):
            raise ValueError(f"{value!r} is none of {', '.join(KINDS)}, {EMBEDDER}DIR and {COLUMN}NAME")
        return value


class TasksKeywords(TypedDict, total=False):
    """The keywords of `mematlas.probe_tasks` with their types, for editors; a test compares the two."""

    task: Required[str | Path]
    index: Required[str | Path]
    out: str | Path
    template: str | None
    n: int | list[int]
    similarity: str
    gamma: float | list[float]
    whole_output: bool
    pairs: int
    control: str | Path | list[str | Path]
    tokenizer: str | Path | None
    input_column: str
    output_column: str
    format: str | None
    seed: int
    dtype: Dtype
    device: str
    device_map: str | None
    trust_remote_code: bool
