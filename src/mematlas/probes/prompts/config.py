"""The options of `mematlas probe prompts`."""

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, field_validator

from mematlas.probes.rows.config import RowProbeConfig, RowProbeKeywords
from mematlas.types import as_list

Look = Literal["shortest", "perturb"]
Change = Literal["substitute", "delete", "swap", "shuffle"]
Part = Literal["whole", "far", "near"]
LOOKS: Final[tuple[Look, ...]] = ("shortest", "perturb")
CHANGES: Final[tuple[Change, ...]] = ("substitute", "delete", "swap", "shuffle")
PARTS: Final[tuple[Part, ...]] = ("whole", "far", "near")


class PromptsConfig(RowProbeConfig):
    """Options of `mematlas probe prompts`; most are those of all probes of rows."""

    looks: Annotated[list[Look], BeforeValidator(as_list)] = Field(
        default=list(LOOKS), description="What to look at: shortest, perturb.", min_length=1
    )
    changes: Annotated[list[Change], BeforeValidator(as_list)] = Field(
        default=list(CHANGES), description="What is done to tokens of prompts: substitute, delete, swap, shuffle."
    )
    parts: Annotated[list[Part], BeforeValidator(as_list)] = Field(
        default=list(PARTS), description="Where it is done: whole prompt, its far half, its near half."
    )
    strengths: Annotated[list[float], BeforeValidator(as_list)] = Field(
        default=[0.0, 0.0625, 0.125, 0.25, 0.5],
        description="Shares of a prompt's tokens that are changed; 0 is always there.",
    )
    repeats: int = Field(default=1, description="Draws of each change.", gt=0)

    @field_validator("strengths")
    @classmethod
    def _are_shares(cls, values: list[float]) -> list[float]:
        if not values or not all(0 <= value <= 1 for value in values):
            raise ValueError("strengths are shares of the prompt's tokens, from 0 to 1")
        return sorted({0.0, *values})

    @field_validator("looks", "changes", "parts")
    @classmethod
    def _once(cls, values: list[str]) -> list[str]:
        if not values:
            raise ValueError("name at least one")
        return [name for name in (*LOOKS, *CHANGES, *PARTS) if name in values]


class PromptsKeywords(RowProbeKeywords, total=False):
    """The keywords of `mematlas.probe_prompts` with their types, for editors."""

    looks: list[Look]
    changes: list[Change]
    parts: list[Part]
    strengths: list[float]
    repeats: int
