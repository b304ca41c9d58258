"""The options of `mematlas probe layers`."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, field_validator

from mematlas.probes.rows.config import RowProbeConfig, RowProbeKeywords
from mematlas.scoring.config import LocalPath
from mematlas.types import as_list

Look = Literal["noise", "lens", "heads"]
Ablation = Literal["mean", "zero"]
LOOKS: Final[tuple[Look, ...]] = ("noise", "lens", "heads")


class LayersConfig(RowProbeConfig):
    """Options of `mematlas probe layers`; most are those of all probes of rows."""

    looks: Annotated[list[Look], BeforeValidator(as_list)] = Field(
        default=list(LOOKS), description="What to look at: noise, lens, heads.", min_length=1
    )
    strengths: Annotated[list[float], BeforeValidator(as_list)] = Field(
        default=[0.0, 0.1, 0.2, 0.3, 0.5, 1.0],
        description="Noise after the first block, relative to the norm of the state it is added to; 0 is always there.",
    )
    repeats: int = Field(default=1, description="Draws of noise of each strength.", gt=0)
    ablation: Ablation = Field(
        default="mean", description="What a head gives when it is switched off: the mean of the others, or zero."
    )
    lens: LocalPath | None = Field(
        default=None,
        description="Folder of a tuned lens (config.json, params.pt), whose maps translate the states of layers.",
    )

    @field_validator("strengths")
    @classmethod
    def _are_positive(cls, values: list[float]) -> list[float]:
        if not values or not all(0 <= value < float("inf") for value in values):
            raise ValueError("strengths of noise are numbers of 0 or more")
        return sorted({0.0, *values})

    @field_validator("looks")
    @classmethod
    def _once(cls, values: list[Look]) -> list[Look]:
        return [look for look in LOOKS if look in values]


class LayersKeywords(RowProbeKeywords, total=False):
    """The keywords of `mematlas.probe_layers` with their types, for editors."""

    looks: list[Look]
    strengths: list[float]
    repeats: int
    ablation: Ablation
    lens: str | Path | None
