"""What scoring is asked to do; everything here that can change a number is part of a run's fingerprint."""

from dataclasses import dataclass
from typing import Literal

from mematlas.errors import ModelError
from mematlas.types import Depth, EosPolicy, Grid

Signals = Literal["truth", "free", "hidden"]

#: Margin under which a 16-bit decision is in doubt, in logits. Our choice: a few units in the last place of logits
#: around 20 (2^-8 relative for bfloat16, 2^-11 for float16), where batch shapes were seen to move them.
DOUBTFUL = {"float32": 2e-4, "bfloat16": 0.25, "float16": 0.03}


def nearest(lengths: tuple[int, ...]) -> int:
    """The length nearest to 32 tokens, P1's and K1's: that which hidden states are kept of."""
    return min(lengths, key=lambda length: abs(length - 32))


def layer_number(asked: str, layers: int, label: str) -> int:
    """The layer of a model that an option names, as `output_hidden_states` counts: 0 the embeddings, `layers` the last.

    Args:
        asked: "last"; a number, negative ones from the end; or, with a point, a share of the depth: 0.5 is the middle.
        layers: of the model `label`; 0 for a stand-in, which has one layer only.

    Raises:
        ModelError: the model has no such layer.
    """
    if asked == "last":
        return layers
    number = int(float(asked) * layers + 0.5) if "." in asked else int(asked)
    if -layers - 1 <= number <= layers:
        return number % (layers + 1)
    has = f"the layers 0 (embeddings) to {layers} (last), or -{layers + 1} to -1" if layers else "one layer only"
    raise ModelError(
        f"--hidden-layer {asked} is beyond {label}, which has {has}; "
        f"{'name one of them, or a share of the depth such as 0.5' if layers else 'leave it out'}."
    )


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """One question to a model.

    bos: whether the model's BOS token is put before every prompt (packed rows have none, so the default is not to);
    temperatures: extra temperatures of the true token's log-probability; batch: rows in step, "auto" for as many as fit
    into memory; hidden_rows: whose hidden states are kept at most, a model; hidden_layer: of which layer
    (`layer_number`).
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
    def truth(self) -> bool:
        return "truth" in self.signals

    @property
    def free(self) -> bool:
        return "free" in self.signals

    @property
    def hidden_kinds(self) -> tuple[str, ...]:
        """The kinds of hidden states to keep: along the truth where that record is asked for, too."""
        return () if "hidden" not in self.signals else ("free", "truth") if self.truth else ("free",)
