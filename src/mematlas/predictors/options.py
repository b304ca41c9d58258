"""How predictors are fitted: one model of the options serves the command line, the Python API and the model card."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mematlas.errors import OptionError, explain
from mematlas.study.schemas.predictions import Sees

Input = Literal["entropy", "frequency", "none"]


class PredictorConfig(BaseModel):
    """Hyper-parameters of a predictor. P1 publishes none of them: all are our choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sees: list[Sees] = Field(
        default=["context", "generated"],
        description="context: predicts before anything is generated; generated: at each token, from all up to it.",
    )
    inputs: list[Input] = Field(
        default=["entropy"],
        description="Beside the states: entropy of the next token, frequency (corpus counts of the context), or none.",
    )
    seeds: int = Field(default=3, description="Splits, first weights and orders of rows that are tried.", gt=0)
    members: int = Field(default=2, description="Transformers whose mean is taken; they differ in their start.", gt=0)
    width: int = Field(default=32, description="Numbers a position inside the Transformer.", gt=0)
    layers: int = Field(default=2, description="Layers of the Transformer.", gt=0)
    heads: int = Field(default=2, description="Attention heads; must divide the width.", gt=0)
    dropout: float = Field(default=0.2, description="Share of numbers dropped while it learns.", ge=0, lt=1)
    learning_rate: float = Field(default=2e-3, description="Of AdamW.", gt=0)
    weight_decay: float = Field(default=0.05, description="Of AdamW.", ge=0)
    batch: int = Field(default=32, description="Rows a step.", gt=0)
    epochs: int = Field(default=100, description="Passes over the rows at most.", gt=0)
    patience: int = Field(default=8, description="Passes without a better validation loss before it stops.", gt=0)

    @field_validator("sees", "inputs")
    @classmethod
    def _distinct(cls, values: list[str]) -> list[str]:
        return sorted(set(values))

    @field_validator("inputs")
    @classmethod
    def _none_alone(cls, values: list[str]) -> list[str]:
        if "none" in values and len(values) > 1:
            raise ValueError("none stands alone")
        return [value for value in values if value != "none"]

    @field_validator("sees")
    @classmethod
    def _some(cls, values: list[str]) -> list[str]:
        if not values:
            raise ValueError("name context, generated, or both")
        return values


def predictor_config(**options: object) -> PredictorConfig:
    """Checked hyper-parameters.

    Raises:
        OptionError: one breaks a rule; the message names it as the command line does.
    """
    try:
        config = PredictorConfig.model_validate(options)
    except ValidationError as error:
        raise OptionError(explain(error, "fit")) from None
    if config.width % config.heads:
        fitting = " or ".join(str(heads) for heads in (1, 2, 4, 8) if not config.width % heads)
        raise OptionError(f"--heads {config.heads} does not divide --width {config.width}; take {fitting}.")
    return config
