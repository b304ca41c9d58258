"""Measure how much a loaded model recites, in any training loop: `measure(model, rows)`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from mematlas.errors import OptionError
from mematlas.errors.functions import public_function
from mematlas.integrations.token_rows import ChosenRows, choose_rows
from mematlas.metrics import METRICS
from mematlas.models.base import LoadOptions
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Grid

if TYPE_CHECKING:
    import polars as pl

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
    return summarize(score_sets(model, sets, Grid((context,), (continuation,)), batch))


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


def score_sets(model: Any, sets: dict[str, ChosenRows], grid: Grid, batch: int) -> "dict[str, pl.DataFrame]":
    """The records of the scores table, by role, of rows that all have the grid's width.

    Raises:
        ModelError: see `measure`.
    """
    import polars as pl

    from mematlas.models.loaded import LoadedModel, undisturbed
    from mematlas.scoring.engines.causal import Engine
    from mematlas.scoring.records.tables import score_table

    source = LoadedModel(model)
    options = ScoringOptions(grid, batch=batch)
    with undisturbed(source.network):
        engine = Engine(source.load(LoadOptions()), source.card, options)
        results = {role: engine.score(rows.starts(grid.width), rows.index) for role, rows in sets.items()}
    label = source.card.label
    tables = {role: score_table(label, sets[role].index, result, options) for role, result in results.items()}
    return {role: pl.DataFrame(pl.from_arrow(table)) for role, table in tables.items()}


def summarize(scores: "dict[str, pl.DataFrame]") -> dict[str, float]:
    """The result of `measure` from the records of the scores table, by role: train, and control if there is one."""
    measured = dict(_means(scores["train"]))
    if "control" in scores:
        control = dict(_means(scores["control"]))
        measured["control_recited"] = control["recited"]
        measured["control_length"] = control["verbatim_length"]
        measured["excess"] = measured["recited"] - control["recited"]
    return measured


def _means(scores: "pl.DataFrame") -> Iterator[tuple[str, float]]:
    for name, metric in MEASURES.items():
        yield name, float(scores.select(METRICS.load(metric).expression().cast(float).mean()).item())
