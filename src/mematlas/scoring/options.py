"""The options of the scoring engines; every option that can change a number is part of a run's fingerprint."""

from dataclasses import dataclass
from typing import Literal

from mematlas.errors import ModelError
from mematlas.types import Depth, EosPolicy, Grid

Signals = Literal["truth", "free", "hidden"]

#: Margin in logits, by number type, below which a greedy decision is doubtful. Our choice: a few units in the last
#: place of logits around 20 (2^-8 relative for bfloat16, 2^-11 for float16), as much as was seen to depend on batch
#: shape.
DOUBTFUL_MARGIN = {"float32": 2e-4, "bfloat16": 0.25, "float16": 0.03}


def closest_to_32(lengths: tuple[int, ...]) -> int:
    """The length closest to 32 tokens, the length of P1 and K1: hidden states are stored for this one."""
    return min(lengths, key=lambda length: abs(length - 32))


def layer_number(layer: str, layers: int, label: str) -> int:
    """The number of the layer that `--hidden-layer` names: 0 is the embeddings, `layers` the last layer.

    Layers are counted as in the `output_hidden_states` of transformers.

    Args:
        layer: "last"; a number, negative from the end; or, with a decimal point, a share of the depth (0.5: middle).
        layers: number of layers of the model `label`; 0 for a stand-in, which has only one kind of state.

    Raises:
        ModelError: the model has no such layer.
    """
    if layer == "last":
        return layers
    number = int(float(layer) * layers + 0.5) if "." in layer else int(layer)
    if -layers - 1 <= number <= layers:
        return number % (layers + 1)
    available = f"the layers 0 (embeddings) to {layers} (last), or -{layers + 1} to -1" if layers else "one layer only"
    raise ModelError(
        f"--hidden-layer {layer} is beyond {label}, which has {available}; "
        f"{'name one of them, or a share of the depth such as 0.5' if layers else 'leave it out'}."
    )


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """What the engines compute for every row.

    bos: whether the model's BOS token is put before every prompt (packed rows have none, so the default is no);
    temperatures: extra temperatures for the true token's log-probability; batch: rows per batch, "auto" for as many as
    fit into memory; hidden_rows: maximum number of rows per model whose hidden states are stored; hidden_layer: the
    layer of these states, as `layer_number` reads it.
    """

    grid: Grid
    depth: Depth = "graded"
    signals: tuple[Signals, ...] = ()
    eos: EosPolicy = "ignore"
    bos: bool = False
    temperatures: tuple[float, ...] = ()
    batch: int | Literal["auto"] = 128
    hidden_rows: int = 0
    hidden_layer: str = "last"

    @property
    def masked(self) -> bool:
        """Whether the models are asked for hidden tokens of a row instead of the tokens after a context."""
        return self.grid.align == "masked"

    @property
    def truth(self) -> bool:
        return "truth" in self.signals

    @property
    def free(self) -> bool:
        return "free" in self.signals

    @property
    def hidden_kinds(self) -> tuple[str, ...]:
        """The kinds of hidden states to store: along the greedy text, and along the truth if that is recorded, too."""
        return () if "hidden" not in self.signals else ("free", "truth") if self.truth else ("free",)
