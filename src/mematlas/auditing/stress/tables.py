"""The table of all prompts of a stress test, one record a prompt, and its summary by prompt."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from mematlas.auditing.stress.damage import mean_of
from mematlas.auditing.stress.prompts import ORIGINAL, PERTURBATIONS, Prompt, prompt_name

OF_PROMPTS: Final = {
    "role": "tested: to be forgotten; kept: to be kept; control: text that no model was trained on",
    "row": "id of the row in its corpus",
    "document": "rows of one document are not independent; a row of its own where documents are not known",
    "perturbation": "how the prompt differs from the row's first tokens",
    "strength": "by how many tokens, words, or steps of training",
    "draw": "number of the random choice, from 0",
    "prompt": "the two in words",
    "prompt_tokens": "tokens of the prompt",
    "cap": "tokens that can be recited after it",
    "length_before": "tokens that the original model recites before its first miss",
    "length_after": "tokens that the unlearned model recites",
    "length_retrained": "tokens that the model recites that was trained without the rows; null without one",
    "gain": "length_after less that after the row's original prompt",
    "reason": "why the prompt was not asked; null where it was",
}
OF_SUMMARY: Final = {
    "prompt": "the prompt; of several draws, the one that recites most",
    "of": "the model, of the rows to be forgotten; control: the unlearned model, of never-seen rows",
    "length": "mean tokens recited before the first miss",
    "low": "lower end of its 95 % interval over documents",
    "high": "upper end",
    "gain": "mean of the gain over the original prompt, tokens",
    "gain_low": "lower end of its 95 % interval over documents",
    "gain_high": "upper end",
    "rows": "rows that were asked",
    "documents": "documents that they are of",
}
_LENGTHS: Final = ("length_before", "length_after", "length_retrained")


def prompt_table(
    prompts: Sequence[Prompt], before: pl.Series, after: pl.Series, retrained: pl.Series | None
) -> pl.DataFrame:
    """One record a prompt, with the lengths of each model in the same order."""
    none = pl.Series([None] * len(prompts), dtype=pl.Int64)
    frame = pl.DataFrame(
        {
            "role": [prompt.row.role for prompt in prompts],
            "row": [prompt.row.row for prompt in prompts],
            "document": [prompt.row.cluster for prompt in prompts],
            "perturbation": pl.Series([prompt.perturbation for prompt in prompts], dtype=pl.Enum(PERTURBATIONS)),
            "strength": [prompt.strength for prompt in prompts],
            "draw": [prompt.draw for prompt in prompts],
            "prompt": [prompt_name(prompt.perturbation, prompt.strength) for prompt in prompts],
            "prompt_tokens": [len(prompt.tokens) for prompt in prompts],
            "cap": [None if prompt.reason else len(prompt.truth) for prompt in prompts],
            "length_before": before,
            "length_after": after,
            "length_retrained": none if retrained is None else retrained,
            "gain": none,
            "reason": pl.Series([prompt.reason for prompt in prompts], dtype=pl.String),
        }
    )
    return _with_gains(frame)


def _with_gains(frame: pl.DataFrame) -> pl.DataFrame:
    originals = frame.filter(perturbation=ORIGINAL).select("role", "row", pl.col("length_after").alias("original"))
    joined = frame.join(originals, on=["role", "row"], how="left", maintain_order="left")
    return joined.with_columns(gain=pl.col("length_after") - pl.col("original")).drop("original")


def with_relearned(
    table: pl.DataFrame, lessons: Sequence[tuple[frozenset[tuple[str, int]], pl.Series]], steps: int
) -> pl.DataFrame:
    """The table with a record for each row that was asked after a training.

    lessons: of each training the rows that are asked (role, id), and its lengths of all original prompts, in order.
    """
    originals = table.filter(perturbation=ORIGINAL)
    parts = []
    for asked, lengths in lessons:
        is_asked = pl.Series([key in asked for key in originals.select("role", "row").rows()], dtype=pl.Boolean)
        records = originals.with_columns(length_after=lengths).filter(is_asked)
        name = pl.lit("relearned").cast(pl.Enum(PERTURBATIONS))
        parts.append(
            records.with_columns(
                perturbation=name,
                strength=pl.lit(steps, pl.Int64),
                prompt=pl.lit(prompt_name("relearned", steps)),
            )
        )
    return _with_gains(pl.concat([table, *parts]))


def best_of_draws(table: pl.DataFrame) -> pl.DataFrame:
    """Per row and prompt name the longest lengths over draws, of rows that were asked."""
    keys = ["role", "row", "document", "perturbation", "prompt"]
    return (
        table.filter(pl.col("reason").is_null())
        .group_by(keys, maintain_order=True)
        .agg(pl.col("strength").min(), pl.col(*_LENGTHS, "gain").max())
    )


def summary(table: pl.DataFrame, series: Sequence[tuple[str, pl.DataFrame, str]]) -> pl.DataFrame:
    """Mean lengths and gains by prompt, in the order of the prompts.

    series: of each line its name, its rows (role, row) and the column with its lengths.
    """
    best = best_of_draws(table).sort("perturbation", "strength", maintain_order=True)
    records = []
    for of, rows, column in series:
        own = best.join(rows.select("role", "row"), on=["role", "row"], how="semi", maintain_order="left")
        for (prompt,), part in own.group_by("prompt", maintain_order=True):
            documents = part["document"].to_numpy()
            length = mean_of(part[column].cast(pl.Float64).to_numpy(), documents)
            is_unlearned = column == "length_after"
            gain = mean_of(part["gain"].cast(pl.Float64).to_numpy() if is_unlearned else _EMPTY, documents)
            numbers = (length.value, length.low, length.high, gain.value, gain.low, gain.high)
            records.append((prompt, of, *numbers, length.n, length.clusters))
    types = [pl.String, pl.String, *[pl.Float64] * 6, pl.Int64, pl.Int64]
    return pl.DataFrame(records, schema=dict(zip(OF_SUMMARY, types, strict=True)), orient="row")


_EMPTY: Final = pl.Series([], dtype=pl.Float64).to_numpy()
