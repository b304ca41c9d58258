"""What scoring costs in arithmetic: one formula behind `mematlas plan` and `mematlas run --dry-run`.

A token that is fed costs two operations a weight of the model's body, a token that is predicted two a weight of its
output head; attention over the row itself is left out (under 3 % for 64 tokens of the sizes below). It is the cost of a
model that recites nothing: rows that recite share decodes. Our choice, after the cost model of cached greedy decoding.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

    from mematlas.models.base import ModelCard
    from mematlas.scoring.options import ScoringOptions

#: Effective rate assumed of one H200 in 16 bits; an assumption, not a measurement.
ASSUMED: Final = 400e12


@dataclass(frozen=True, slots=True)
class Shape:
    """What the arithmetic of a model depends on. parameters: all weights, input and output embeddings among them;
    width: of a hidden state; vocabulary: token ids; tied: input and output embeddings are the same weights."""

    label: str
    parameters: int
    width: int
    vocabulary: int
    tied: bool = False

    @property
    def head(self) -> int:
        """Weights that a prediction takes."""
        return self.width * self.vocabulary

    @property
    def body(self) -> int:
        """Weights that every token takes: looking a token up takes none."""
        return self.parameters - self.head * (1 if self.tied else 2)


#: The published family (model cards): parameters and width; vocabulary as its weights have it.
PYTHIA: Final = tuple(
    Shape(f"pythia-{name}", parameters, width, vocabulary)
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
class Cost:
    """Of one model. flop: operations in all; rows_a_second: of one device; hours: of one device."""

    shape: Shape
    flop: float
    rows_a_second: float
    hours: float


def forwards_a_row(options: "ScoringOptions") -> int:
    """Tokens that a model is fed for one row at most, however little it recites.

    Start-aligned contexts share the prefill of the longest; each then decodes all columns but the first, which the
    prefill gives. A teacher-forced record feeds the continuation once more. End-aligned contexts share nothing.
    """
    grid, lead = options.grid, int(options.bos)
    decoded = max(grid.continuations) - 1
    recorded = decoded if options.truth else 0
    if grid.align == "start":
        return lead + max(grid.contexts) + recorded + len(grid.contexts) * decoded
    return sum(lead + context + recorded + decoded for context in grid.contexts)


def predictions_a_row(options: "ScoringOptions") -> int:
    """Tokens that are predicted for one row at most: every column of every context, and all of the true row where it is
    recorded."""
    grid = options.grid
    decoded = len(grid.contexts) * max(grid.continuations)
    records = 0 if not options.truth else 1 if grid.align == "start" else len(grid.contexts)
    return decoded + records * (grid.width - 1)


def bytes_a_row(options: "ScoringOptions") -> int:
    """Bytes that a model's row takes in scores and signals before compression, labels and reasons left out."""
    import pyarrow as pa

    from mematlas.study.schemas.scores import FREE, SCORES, truth_schema

    grid = options.grid
    line = sum(field.type.bit_width // 8 for field in SCORES if not pa.types.is_string(field.type))
    total = line * len(grid.contexts) * len(grid.continuations)
    if options.free:
        total += _bytes_a_token(FREE) * len(grid.contexts) * max(grid.continuations)
    if options.truth:
        records = 1 if grid.align == "start" else len(grid.contexts)
        total += _bytes_a_token(truth_schema(options.temperatures)) * records * grid.width
    return total


def _bytes_a_token(signals: "pa.Schema") -> int:
    import pyarrow as pa

    return sum(-(-field.type.value_type.bit_width // 8) for field in signals if pa.types.is_list(field.type))


def cost(shape: Shape, rows: int, options: "ScoringOptions", rate: float = ASSUMED) -> Cost:
    """What scoring `rows` rows takes at `rate` operations a second and device.

    Raises:
        ValueError: a number is not positive.
    """
    if rows < 1 or rate <= 0:
        raise ValueError(f"rows and rate must be positive, not {rows} and {rate}")
    flop = 2.0 * (shape.body * forwards_a_row(options) + shape.head * predictions_a_row(options))
    return Cost(shape, rows * flop, rate / flop, rows * flop / rate / 3600)


def shape_of(card: "ModelCard") -> Shape | None:
    """The shape of a model that was found but not loaded; None where its card does not tell. Embeddings are taken to be
    apart, which asks a little too much of models that tie them."""
    if not card.parameters or not card.width:
        return None
    tied = card.parameters < 2 * card.width * card.vocabulary
    return Shape(card.label, card.parameters, card.width, card.vocabulary, tied)
