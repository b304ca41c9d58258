"""The configuration of a counterfactual experiment: which rows there are, and how each model is trained on a subset."""

import math
from dataclasses import dataclass, field
from typing import Literal

from mematlas.errors import OptionError
from mematlas.experiments.design.config import Size
from mematlas.experiments.design.schedule import Schedule

Unit = Literal["row", "text"]


@dataclass(frozen=True, slots=True)
class SubsetRows:
    """The rows of which the models are shown subsets; the numbers are our choice.

    row_length: tokens; vocabulary: entries of the tokenizer, trained on the documents of the texts; texts: pairs of a
    number of copies and how many texts have so many, each copy a row of its own; random_rows: rows of uniformly drawn
    tokens; template_rows: rows of one text in which `template_slots` tokens of the second half differ from row to row;
    control_rows: rows of text that no model is shown; documents: number of documents that the texts are drawn from.
    """

    row_length: int = 48
    vocabulary: int = 2048
    texts: tuple[tuple[int, int], ...] = ((1, 80), (2, 24), (4, 10), (8, 6))
    random_rows: int = 24
    template_rows: int = 32
    template_slots: int = 2
    control_rows: int = 64
    documents: int = 150

    def __post_init__(self) -> None:
        if not 257 <= self.vocabulary <= 65536:
            raise OptionError(f"The vocabulary has 257 (all bytes) to 65536 tokens, not {self.vocabulary}.")
        if self.row_length < 4 or self.documents < 2 or self.control_rows < 1:
            raise OptionError("Rows have 4 tokens or more, and there are 2 documents and 1 control row at least.")
        if any(copies < 1 or texts < 1 for copies, texts in self.texts) or not self.texts:
            raise OptionError(f"Numbers of copies, and of texts that have them, are positive, not {self.texts}.")
        if not 1 <= self.template_slots <= self.row_length // 2 or min(self.random_rows, self.template_rows) < 0:
            raise OptionError(
                "There are no fewer than 0 rows of a kind, and 1 or more tokens that differ in a template."
            )

    @property
    def number_of_texts(self) -> int:
        """Different texts, without the template's."""
        return sum(texts for _, texts in self.texts)

    @property
    def rows(self) -> int:
        """All rows that a model may be shown."""
        return sum(copies * texts for copies, texts in self.texts) + self.random_rows + self.template_rows


@dataclass(frozen=True, slots=True)
class CounterfactualConfig:
    """The whole experiment: `models` models, each trained on a random `share` of the rows for `epochs` epochs.

    batch: rows per step; unit: "row", or "text" to sample copies together, which makes memorization free of what other
    copies hide; shared_start: the same first weights for all models, instead of others for each; seed: determines rows,
    subsets, first weights and orders.
    """

    models: int = 40
    share: float = 0.25
    epochs: int = 40
    batch: int = 8
    unit: Unit = "row"
    shared_start: bool = False
    seed: int = 0
    rows: SubsetRows = field(default_factory=SubsetRows)
    size: Size = field(default_factory=lambda: Size(hidden=32, layers=2, heads=2, peak_rate=1e-2))
    warm_up: int = 20
    final_rate: float = 0.1

    def __post_init__(self) -> None:
        if self.models < 4 or self.epochs < 1 or self.batch < 1 or self.seed < 0 or self.warm_up < 0:
            raise OptionError(
                f"A counterfactual experiment has 4 models, 1 epoch and a batch of 1 row or more, not {self.models}, "
                f"{self.epochs} and {self.batch}; seed and warm-up are not negative."
            )
        if not 0 < self.share < 1:
            raise OptionError(f"The share of rows in a subset is between 0 and 1, not {self.share}.")

    @property
    def schedule(self) -> Schedule:
        return Schedule(peak=self.size.peak_rate, warm_up=self.warm_up, final_rate=self.final_rate)

    def steps(self, subset_rows: int) -> int:
        """Optimizer steps of a model with so many rows in its subset."""
        return self.epochs * math.ceil(subset_rows / self.batch)
