"""What scoring costs in arithmetic: one formula behind `mematlas plan` and `mematlas run --dry-run`.

Each token that is fed costs two operations per weight of the model's body; each predicted token costs two operations
per weight of its output head. Attention over the row itself is left out (under 3 % for 64 tokens of the sizes below).
The result is the cost of a model that recites nothing: recited rows share decoding steps. Our choice, after the cost
model of cached greedy decoding.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mematlas.models.masked_lm.masks import MASKING

if TYPE_CHECKING:
    import pyarrow as pa

    from mematlas.models.base import ModelCard
    from mematlas.scoring.options import ScoringOptions

#: Effective operations per second assumed for one H200 in 16 bits; an assumption, not a measurement.
ASSUMED_FLOPS: Final = 400e12


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The sizes that a model's arithmetic depends on.

    parameters: all weights, including input and output embeddings; width: numbers in a hidden state; vocabulary:
    number of token ids; tied: whether input and output embeddings are the same weights.
    """

    label: str
    parameters: int
    width: int
    vocabulary: int
    tied: bool = False

    @property
    def head_parameters(self) -> int:
        """Weights used by every prediction: those of the output head."""
        return self.width * self.vocabulary

    @property
    def body_parameters(self) -> int:
        """Weights used by every token that is fed; looking up its embedding uses none."""
        return self.parameters - self.head_parameters * (1 if self.tied else 2)


#: The published family: parameters and width from the model cards, vocabulary from the shape of the weights.
PYTHIA_SHAPES: Final = tuple(
    ModelShape(f"pythia-{name}", parameters, width, vocabulary)
    for name, parameters, width, vocabulary in (
        ("70m", 70_426_624, 512, 50_304),
        ("160m", 162_322_944, 768, 50_304),
        ("410m", 405_334_016, 1_024, 50_304),
        ("1b", 1_011_781_632, 2_048, 50_304),
        ("1.4b", 1_414_647_808, 2_048, 50_304),
        ("2.8b", 2_775_208_960, 2_560, 50_304),
        ("6.9b", 6_857_302_016, 4_096, 50_432),
        ("12b", 11_846_072_320, 5_120, 50_688),
    )
)


@dataclass(frozen=True, slots=True)
class ScoringCost:
    """The cost of scoring with one model. flop: total operations; rows_per_second, hours: on one device."""

    shape: ModelShape
    flop: float
    rows_per_second: float
    hours: float


def fed_tokens_per_row(options: "ScoringOptions") -> int:
    """The most tokens that a model is fed for one row, which happens when it recites nothing.

    Start-aligned contexts share the prefill of the longest context; each context then decodes all columns except the
    first, which comes from the prefill. A teacher-forced record feeds the continuation once more. End-aligned contexts
    share nothing. A masked row is read once for each mask.
    """
    grid, lead = options.grid, int(options.bos)
    if options.masked:
        return MASKING.masks * grid.width
    decoded = max(grid.continuations) - 1
    recorded = decoded if options.truth else 0
    if grid.align == "start":
        return lead + max(grid.contexts) + recorded + len(grid.contexts) * decoded
    return sum(lead + context + recorded + decoded for context in grid.contexts)


def predictions_per_row(options: "ScoringOptions") -> int:
    """The most tokens that are predicted for one row: every column of every context, and the whole true row if it is
    recorded."""
    grid = options.grid
    if options.masked:
        return max(grid.continuations)
    decoded = len(grid.contexts) * max(grid.continuations)
    records = 0 if not options.truth else 1 if grid.align == "start" else len(grid.contexts)
    return decoded + records * (grid.width - 1)


def bytes_per_row(options: "ScoringOptions") -> int:
    """Bytes per row and model in the score and signal tables before compression, without labels and reasons."""
    import pyarrow as pa

    from mematlas.study.schemas.scores import FREE, SCORES, truth_schema

    grid = options.grid
    cell_bytes = sum(field.type.bit_width // 8 for field in SCORES if not pa.types.is_string(field.type))
    total = cell_bytes * len(grid.contexts) * len(grid.continuations)
    if options.free:
        total += _bytes_per_token(FREE) * len(grid.contexts) * max(grid.continuations)
    if options.truth:
        records = 1 if grid.align == "start" else len(grid.contexts)
        total += _bytes_per_token(truth_schema(options.temperatures)) * records * grid.width
    return total


def _bytes_per_token(schema: "pa.Schema") -> int:
    import pyarrow as pa

    return sum(-(-field.type.value_type.bit_width // 8) for field in schema if pa.types.is_list(field.type))


def scoring_cost(shape: ModelShape, rows: int, options: "ScoringOptions", rate: float = ASSUMED_FLOPS) -> ScoringCost:
    """The cost of scoring `rows` rows with one model, at `rate` operations per second and device.

    Raises:
        ValueError: a number is not positive.
    """
    if rows < 1 or rate <= 0:
        raise ValueError(f"rows and rate must be positive, not {rows} and {rate}")
    flop = 2.0 * (
        shape.body_parameters * fed_tokens_per_row(options) + shape.head_parameters * predictions_per_row(options)
    )
    return ScoringCost(shape, rows * flop, rate / flop, rows * flop / rate / 3600)


def model_shape(card: "ModelCard") -> ModelShape | None:
    """The shape of a model that was resolved but not loaded; None if its card lacks the parameters or the width.

    Embeddings are assumed to be untied unless the parameters are too few for that, so the cost of a model with tied
    embeddings is slightly overestimated.
    """
    if not card.parameters or not card.width:
        return None
    tied = card.parameters < 2 * card.width * card.vocabulary
    return ModelShape(card.label, card.parameters, card.width, card.vocabulary, tied)
