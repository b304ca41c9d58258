"""The options of `mematlas canaries make` and `mematlas canaries check`."""

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mematlas.auditing.canaries.insertion import Place
from mematlas.auditing.canaries.template import parse_template
from mematlas.errors import OptionError
from mematlas.models.base import Dtype
from mematlas.scoring.config import Device, Lengths, Name

Kind = Literal["make", "check"]
FEWEST: Final = 19
"""Alternatives without which no rank is beyond chance at 5 %."""


class MakeConfig(BaseModel):
    """Options of `mematlas canaries make`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    template: Name | None = Field(
        default=None,
        description='What a canary says, with slots for its secret: "My code is {digits:9}."; slots: digits, letters, '
        "capitals, hex.",
    )
    into: Path | None = Field(default=None, description="The training file; it stays, a copy gets the canaries.")
    repetitions: Lengths = Field(
        default=[0, 1, 4, 16], description="How often canaries are shown; 0: never, those are the control."
    )
    per_level: int = Field(default=10, description="Canaries of each number of repetitions.", gt=0)
    place: Place = Field(
        default="own",
        description="own: as texts of their own; start or end: of texts of the file, or of their answers.",
    )
    column: str | None = Field(default=None, description="Name of the column with the texts.")
    seed: int = Field(default=0, description="Seed of the secrets and of where they are put.", ge=0)

    @field_validator("repetitions")
    @classmethod
    def _have_a_control(cls, values: list[int]) -> list[int]:
        if any(value < 0 for value in values):
            raise ValueError("canaries cannot be shown a negative number of times")
        if 0 not in values or max(values) == 0:
            raise ValueError("needs 0, whose canaries are never shown and are the control, and a number above it")
        return sorted(set(values))

    @field_validator("template")
    @classmethod
    def _has_slots(cls, text: str | None) -> str | None:
        if text is not None:
            parse_template(text)
        return text


class CheckConfig(BaseModel):
    """Options of `mematlas canaries check`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: Path | None = Field(default=None, description="The key.parquet that `canaries make` wrote.")
    base: Name | None = Field(
        default=None, description="The model before training; of an adapter it is known without being asked for."
    )
    alternatives: int = Field(
        default=999, description="Never-shown secrets of the same format, among which each canary is ranked.", ge=FEWEST
    )
    device: Device = Field(default="auto", description="auto, cpu, cuda, cuda:N or mps.")
    dtype: Dtype = Field(default="float32", description="Precision of the models.")


def refuse_options_of_the_other(kind: Kind, make: MakeConfig, check: CheckConfig) -> None:
    """Refuse what the chosen kind would ignore, and a kind without what it needs.

    Raises:
        OptionError: the message names the option.
    """
    other, wanted = (check, make) if kind == "make" else (make, check)
    for name, value in other:
        if value != type(other).model_fields[name].default:
            option = f"--{name.replace('_', '-')}"
            raise OptionError(
                f"{option} is not used by `canaries {kind}`; leave it out. See `mematlas canaries --help`."
            )
    for name in ("template", "into", "key"):
        if getattr(wanted, name, "") is None:
            raise OptionError(f"--{name} is missing; `canaries {kind}` needs it. See `mematlas canaries --help`.")
