"""The options of fitting predictors: one pydantic model for the command line, the Python API and the model card."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from mematlas.errors import OptionError
from mematlas.errors.configurations import resolve_options
from mematlas.study.schemas.predictions import Sees
from mematlas.types import as_list

Input = Literal["entropy", "frequency", "none"]


class PredictorConfig(BaseModel):
    """Hyper-parameters of a predictor. P1 publishes none of them: all are our choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sees: Annotated[list[Sees], BeforeValidator(as_list)] = Field(
        default=["context", "generated"],
        description="context: predicts before anything is generated; generated: at each token, from all tokens so far.",
    )
    inputs: Annotated[list[Input], BeforeValidator(as_list)] = Field(
        default=["entropy"],
        description="Inputs besides states: entropy of the next token, frequency (counts of the context), or none.",
    )
    seeds: int = Field(
        default=3, description="Number of seeds, each with its own split, initial weights and order of rows.", gt=0
    )
    members: int = Field(
        default=2,
        description="Transformers per predictor, which differ in their initial weights; their mean is used.",
        gt=0,
    )
    width: int = Field(default=32, description="Width of the Transformer.", gt=0)
    layers: int = Field(default=2, description="Layers of the Transformer.", gt=0)
    heads: int = Field(default=2, description="Attention heads; must divide the width.", gt=0)
    dropout: float = Field(default=0.2, description="Dropout rate during training.", ge=0, lt=1)
    learning_rate: float = Field(default=2e-3, description="Learning rate of AdamW.", gt=0)
    weight_decay: float = Field(default=0.05, description="Weight decay of AdamW.", ge=0)
    batch: int = Field(default=32, description="Rows per training step.", gt=0)
    epochs: int = Field(default=100, description="Maximum number of passes over the rows.", gt=0)
    patience: int = Field(
        default=8, description="Passes without a better validation loss after which training stops.", gt=0
    )

    @field_validator("sees", "inputs")
    @classmethod
    def _distinct(cls, values: list[str]) -> list[str]:
        return sorted(set(values))

    @field_validator("inputs")
    @classmethod
    def _none_is_exclusive(cls, values: list[str]) -> list[str]:
        if "none" in values and len(values) > 1:
            raise ValueError("none cannot be combined with other inputs")
        return [value for value in values if value != "none"]

    @field_validator("sees")
    @classmethod
    def _not_empty(cls, values: list[str]) -> list[str]:
        if not values:
            raise ValueError("name context, generated, or both")
        return values


def predictor_config(**options: object) -> PredictorConfig:
    """Validate hyper-parameters.

    Raises:
        OptionError: a value breaks a rule; the message names the option as the command line does.
    """
    config = resolve_options(PredictorConfig, "fit", options)
    if config.width % config.heads:
        divisors = " or ".join(str(heads) for heads in (1, 2, 4, 8) if not config.width % heads)
        raise OptionError(f"--heads {config.heads} does not divide --width {config.width}; use {divisors}.")
    return config
