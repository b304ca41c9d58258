"""Everything that determines what a small family learns, in one frozen object."""

import math
from dataclasses import dataclass, field

from mematlas.errors import OptionError
from mematlas.experiments.design.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Size:
    """The shape of one GPT-NeoX model (Black et al. 2022) and its peak learning rate.

    hidden: width; layers: depth; heads: attention heads, a divisor of `hidden`; peak_rate: Adam's rate after warm-up.
    """

    hidden: int
    layers: int
    heads: int
    peak_rate: float

    def __post_init__(self) -> None:
        if min(self.hidden, self.layers, self.heads) < 1 or self.hidden % self.heads or self.peak_rate <= 0:
            raise OptionError(
                f"{self} is not a valid model: values are positive, and the heads divide the hidden size."
            )

    def parameters(self, vocabulary: int) -> int:
        """Weights and biases of this shape: two separate embeddings, `layers` blocks, one last norm."""
        block = 12 * self.hidden**2 + 13 * self.hidden
        return 2 * vocabulary * self.hidden + self.layers * block + 2 * self.hidden

    def label(self, vocabulary: int) -> str:
        """The model's name: ``neox-0.29m`` has 0.29 million parameters."""
        return f"neox-{self.parameters(vocabulary) / 1e6:.2f}m"


@dataclass(frozen=True, slots=True)
class PlantingConfig:
    """Which rows are shown, and how often. Levels are powers of 2 (bins of Carlini et al. 2023); the rest is ours.

    vocabulary: size of the tokenizer; row_length: tokens per row; repetitions: how often the rows of each level are
    shown; rows_per_level: number of rows per level; control_rows: number of rows that are never shown; held_out_share:
    share of documents kept out of training, from which the control is drawn; overlap: a control row may share no
    passage of this many tokens with any training document, and a training row none with another row.
    """

    vocabulary: int = 4096
    row_length: int = 96
    repetitions: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    rows_per_level: int = 48
    control_rows: int = 400
    held_out_share: float = 0.2
    overlap: int = 32

    def __post_init__(self) -> None:
        if not self.repetitions or min(self.repetitions) < 1 or len(set(self.repetitions)) < len(self.repetitions):
            raise OptionError(f"Numbers of repetitions are positive and distinct, not {self.repetitions}.")
        if not 257 <= self.vocabulary <= 65536:
            raise OptionError(f"The vocabulary has 257 (all bytes) to 65536 tokens, not {self.vocabulary}.")
        if min(self.rows_per_level, self.control_rows) < 1:
            raise OptionError("Every level of repetition, and the control, needs at least one row.")
        if not 1 <= self.overlap <= self.row_length or self.row_length < 2:
            raise OptionError(f"The overlap is between 1 and the row length {self.row_length}, not {self.overlap}.")
        if not 0 < self.held_out_share < 1:
            raise OptionError(f"The held-out share of documents is between 0 and 1, not {self.held_out_share}.")

    @property
    def presentations(self) -> int:
        """The total number of rows that a model is shown, repetitions included."""
        return self.rows_per_level * sum(self.repetitions)


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """A family: the same rows in the same order for every size.

    AdamW with `betas` and without weight decay, gradients clipped at norm `clip`; learning rates rise over `warm_up`
    steps and fall along a cosine to `final_rate` of the peak. batch: rows per step. checkpoints: shares of the run
    after which a model is saved; it always is after the last step. seed: determines the documents held out, the rows,
    their order and the initial weights.
    """

    seed: int = 0
    planting: PlantingConfig = field(default_factory=PlantingConfig)
    sizes: tuple[Size, ...] = (
        Size(hidden=16, layers=2, heads=2, peak_rate=1e-2),
        Size(hidden=32, layers=2, heads=2, peak_rate=8e-3),
        Size(hidden=64, layers=3, heads=4, peak_rate=6e-3),
        Size(hidden=128, layers=4, heads=4, peak_rate=4e-3),
    )
    batch: int = 16
    warm_up: int = 30
    final_rate: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    checkpoints: tuple[float, ...] = (0.25, 0.5, 0.75)

    def __post_init__(self) -> None:
        labels = [size.label(self.planting.vocabulary) for size in self.sizes]
        if not labels or len(set(labels)) < len(labels):
            raise OptionError(f"A family has at least one size, and no two of the same name; these are {labels}.")
        if self.batch < 1 or self.warm_up < 0 or self.seed < 0:
            raise OptionError("The batch is positive; warm-up and seed are not negative.")
        if any(not 0 < share < 1 for share in self.checkpoints):
            raise OptionError(f"Checkpoints are shares of the run between 0 and 1, not {self.checkpoints}.")

    @property
    def steps(self) -> int:
        """Optimizer steps of every size; the last batch may be a smaller one."""
        return math.ceil(self.planting.presentations / self.batch)

    @property
    def checkpoint_steps(self) -> tuple[int, ...]:
        """The steps after which a model is saved, ascending, including the last step."""
        return tuple(sorted({max(1, round(share * self.steps)) for share in self.checkpoints} | {self.steps}))

    def schedule(self, peak: float) -> Schedule:
        """The optimizer of a size with this peak rate."""
        return Schedule(peak, self.warm_up, self.final_rate, self.betas, self.clip)
