"""The options of `mematlas stress`."""

from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from mematlas.scoring.config import Lengths, LocalPath, Name
from mematlas.scoring.row_options import ReadingOptions, score_field

THRESHOLD: Final = 16
"""Recited tokens from which a row counts as recited (our choice; as in the analysis of injected sequences)."""


class _StressFields(BaseModel):
    corpus: Name = score_field("corpus")
    rows: str = Field(
        description="Rows that were to be forgotten: ids:FILE, sample:N[:SEED], first:N, slice:A:B or all."
    )
    retain: str | None = Field(
        default=None, description="Rows of the same corpus that were to be kept, in the same notation."
    )
    control: Name | None = Field(
        default=None,
        description="Text of the same kind that no model was trained on: gives the held-out loss, and what chance "
        "gains from other prompts.",
    )
    control_rows: str = Field(default="first:200", description="Which rows of the control, in the same notation.")
    retrained: Name | None = Field(
        default=None, description="A model that was trained without the rows: the ideal, beside which gains are shown."
    )
    out: LocalPath = Field(
        default=Path("stress"), description="Folder for tables and page; the same command again continues there."
    )
    context: int = Field(default=32, description="Tokens of the original prompt.", gt=0)
    continuation: int = Field(default=32, description="Tokens that can be recited after a prompt, at most.", gt=0)
    threshold: int = Field(
        default=THRESHOLD, description="A row is recited if at least so many tokens are, before the first miss.", gt=0
    )
    shifts: Lengths = Field(
        default=[4, 8, 16],
        description="Tokens by which a prompt starts later, is shifted, or is longer: one prompt for each.",
    )
    substitutions: Lengths = Field(
        default=[1, 2, 4], description="Tokens of the prompt that are replaced by those of a random row."
    )
    draws: int = Field(default=3, description="Prompts for each number of replaced tokens, or words.", gt=0)
    synonyms: Path | None = Field(
        default=None, description='JSON file of words and what may replace them: {"big": ["large", "huge"]}.'
    )
    relearn: int = Field(
        default=0,
        description="Steps that the unlearned model is trained for before it is asked again; 0 for none.",
        ge=0,
    )
    relearn_on: Literal["others", "rows"] = Field(
        default="others",
        description="others: rows of one half are asked after training on the other half; rows: after training on the "
        "rows themselves, beside as many of the control.",
    )
    relearn_rate: float = Field(default=1e-4, description="Learning rate of these steps (AdamW, constant).", gt=0)
    seed: int = Field(default=0, description="Seed of what is drawn at random: tokens, words, halves.", ge=0)

    @field_validator("shifts", "substitutions")
    @classmethod
    def _are_positive(cls, values: list[int]) -> list[int]:
        if any(value < 1 for value in values):
            raise ValueError("numbers of tokens are at least 1")
        return sorted(set(values))

    @model_validator(mode="after")
    def _fit_the_row(self) -> Self:
        if self.threshold > self.continuation:
            raise ValueError(
                f"--threshold {self.threshold} is more than the {self.continuation} tokens that can be recited; give "
                "less, or a longer --continuation"
            )
        if any(value > self.context for value in self.substitutions):
            raise ValueError(
                f"--substitutions {max(self.substitutions)} is more than the {self.context} tokens of the prompt"
            )
        return self

    @property
    def width(self) -> int:
        """Tokens of a row that are read, if it has so many."""
        return self.context + self.continuation + max(self.shifts, default=0)


class StressConfig(ReadingOptions, _StressFields):
    """Options of `mematlas stress`; those shared with `mematlas score` are defined there."""
