"""Measure how much a loaded model recites, in any training loop: `measure(model, rows)`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mematlas.errors import OptionError
from mematlas.errors.functions import public_function
from mematlas.integrations.token_rows import ChosenRows, choose_rows
from mematlas.metrics import METRICS
from mematlas.models.base import LoadOptions
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Grid, TokenRows

if TYPE_CHECKING:
    import polars as pl

    from mematlas.models.loaded import LoadedModel
    from mematlas.scoring.engines.results import ContextResult

#: Name of a measure -> the metric whose mean over rows it is.
MEASURES: Final = {"recited": "extractable", "verbatim_length": "verbatim_length", "match": "memorization_score"}
BATCH: Final = 64


@public_function()
def measure(
    model: Any,
    rows: Any,
    *,
    control: Any = None,
    context: int = 32,
    continuation: int = 32,
    max_rows: int | None = None,
    batch: int = BATCH,
) -> dict[str, float]:
    """Prompt a loaded model with the beginning of every row and say how much of the rest it recites.

    The model is left as it was: its mode, its weights and all random states.

    Args:
        model: a causal model of transformers, also in training, and inside peft's LoRA.
        rows: token ids it was trained on: a dataset with `input_ids`, a 2-D array or tensor, or a list of rows.
        control: the same of text that it was not trained on.
        context: tokens that prompt the model; continuation: tokens that it should recite, decoded greedily.
        max_rows: measure so many rows, drawn with seed 0; by default all.
        batch: rows at a time; halved when memory runs out.

    Returns:
        recited: share of rows whose continuation is recited whole; verbatim_length: mean number of tokens before the
        first miss; match: mean share of right tokens; with a control, control_recited and control_length of it, and
        excess: recited minus control_recited.

    Raises:
        OptionError, CorpusError: rows or control hold no token ids, or are all shorter than context + continuation.
        ModelError: the model is no causal model of transformers, or its predictions depend on later tokens.
    """
    check_numbers(context=context, continuation=continuation, batch=batch, max_rows=max_rows)
    needed = context + continuation
    sets = {"train": choose_rows(rows, needed, max_rows, "rows")}
    if control is not None:
        sets["control"] = choose_rows(control, needed, max_rows, "control")
    from mematlas.models.loaded import LoadedModel

    return score_sets(LoadedModel(model), sets, Grid((context,), (continuation,)), batch).means()


def check_numbers(**numbers: int | None) -> None:
    """Refuse arguments that are no positive whole numbers; `max_rows` may be None.

    Raises:
        OptionError: one is none.
    """
    for name, value in numbers.items():
        may_be_none = name == "max_rows"
        if may_be_none and value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise OptionError(
                f"{name}={value!r} must be a positive whole number{', or None for all' if may_be_none else ''}."
            )


@dataclass(frozen=True, slots=True)
class ScoredSets:
    """Sets of rows that a model was asked for: those of all sets one after the other.

    sizes: by role, train and control, in this order; batch: rows that were scored at a time in the end.
    """

    options: ScoringOptions
    results: "list[ContextResult]"
    sizes: dict[str, int]
    batch: int

    def means(self) -> dict[str, float]:
        """The result of `measure`."""
        import polars as pl

        from mematlas.scoring.records.tables import score_table

        ids = np.arange(sum(self.sizes.values()))
        scores = pl.DataFrame(pl.from_arrow(score_table("", ids, self.results, self.options)))
        measured = dict(_means(scores.head(self.sizes["train"])))
        if "control" in self.sizes:
            control = dict(_means(scores.tail(self.sizes["control"])))
            measured["control_recited"] = control["recited"]
            measured["control_length"] = control["verbatim_length"]
            measured["excess"] = measured["recited"] - control["recited"]
        return measured


def score_sets(source: "LoadedModel", sets: dict[str, ChosenRows], grid: Grid, batch: int) -> ScoredSets:
    """Ask a loaded model for sets of rows that all have the grid's width; the model stays as it was.

    Raises:
        ModelError: see `measure`.
        CorpusError: a row has a token that is not in the model's vocabulary.
    """
    from mematlas.models.loaded import undisturbed
    from mematlas.scoring.engines.causal import Engine

    options = ScoringOptions(grid, batch=batch)
    starts = [rows.starts(grid.width) for rows in sets.values()]
    tokens = TokenRows(*(np.concatenate([getattr(start, name) for start in starts]) for name in ("ids", "lengths")))
    with undisturbed(source.network):
        engine = Engine(source.load(LoadOptions()), source.card, options)
        results = engine.score(tokens, np.concatenate([rows.index for rows in sets.values()]))
    return ScoredSets(options, results, {role: len(rows.index) for role, rows in sets.items()}, engine.batch)


def _means(scores: "pl.DataFrame") -> Iterator[tuple[str, float]]:
    for name, metric in MEASURES.items():
        yield name, float(scores.select(METRICS.load(metric).expression().cast(float).mean()).item())
