"""The plug-in interface of an experiment: its options, its presets, and the arms that it trains.

An experiment is a file in this room with an `EXPERIMENT`, and a line in the table EXPERIMENTS. It says what is trained;
training, scoring, analysing and reporting are the same for all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from mematlas.experiments.design.config import Size
from mematlas.types import as_list

if TYPE_CHECKING:
    from mematlas.experiments.training.arm import Arm

Preset = Literal["cpu", "gpu"]
Integers = Annotated[list[int], BeforeValidator(as_list)]


class ExperimentConfig(BaseModel):
    """The keys that the files of all experiments have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    out: Path = Field(description="Folder for corpus, models and the study; existing results are reused.")
    corpus: Path | None = Field(
        default=None,
        description="Texts of your own: a file or folder of any format with texts; null for Python's standard library.",
    )
    sizes: list[Size] = Field(description="Models: width, depth, heads and learning rate of each.", min_length=1)
    seeds: Integers = Field(default=[0], description="Seeds of initial weights and order; each trains all models anew.")
    row_length: int = Field(default=48, description="Tokens per row.", gt=8)
    vocabulary: int = Field(default=2048, description="Size of the tokenizer.", ge=257, le=65536)
    batch: int = Field(default=16, description="Rows per step.", gt=0)
    context: int = Field(default=16, description="Tokens that prompt a model when it is scored.", gt=0)
    device: str = Field(default="cpu", description="Where models are trained: cpu, cuda or cuda:N.")
    at_once: int = Field(
        default=2, description="Number of models trained at the same time in one process, which share the cores.", gt=0
    )

    @field_validator("seeds")
    @classmethod
    def _are_distinct(cls, values: list[int]) -> list[int]:
        if not values or min(values) < 0 or len(set(values)) < len(values):
            raise ValueError("seeds are distinct and not negative, and there is at least one")
        return values

    @model_validator(mode="after")
    def _context_fits(self) -> Self:
        if self.context >= self.row_length:
            raise ValueError(f"a context of {self.context} tokens leaves nothing of rows of {self.row_length}")
        return self


@dataclass(frozen=True, slots=True)
class ArmOutline:
    """What is known of an arm before there is a corpus. steps: that it trains, after those of its start."""

    label: str
    parameters: int
    steps: int


@dataclass(frozen=True, slots=True)
class Design:
    """What an experiment trains and what becomes of it.

    stages: arms that may be trained at the same time, stage after stage; scored: the arms whose last models are in the
    study; corpus, control: the files with the rows that are scored, whose positions are the first ones of every plan;
    rows: their number; study: further keys of the study file.
    """

    stages: tuple[tuple["Arm", ...], ...]
    scored: tuple["Arm", ...]
    corpus: Path
    control: Path
    rows: int
    study: Mapping[str, Any]

    @property
    def arms(self) -> tuple["Arm", ...]:
        """All arms, in the order in which they are trained."""
        return tuple(arm for stage in self.stages for arm in stage)


@dataclass(frozen=True, slots=True)
class Experiment:
    """One kind of experiment.

    config: the keys of its file; presets: their values where the file says nothing; outline: the arms of a
    configuration; design: called as design(config, folder), writes the corpus to the folder and returns the arms.
    """

    name: str
    title: str
    source: str
    config: type[ExperimentConfig]
    presets: Mapping[Preset, Mapping[str, Any]]
    outline: Callable[[Any], list[ArmOutline]]
    design: Callable[[Any, Path], Design]
