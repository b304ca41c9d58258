"""Masks secrets in what an audit shows: an audit that is handed over must not leak them itself."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from mematlas.auditing.base import Example, Look
from mematlas.matching.secrets.finding import find_secrets


def masked(value: str) -> str:
    """The first and last two characters of a secret, or fewer of a short one; the others as bullets."""
    shown = min(2, len(value) // 4)
    return value[:shown] + "\u2022" * (len(value) - 2 * shown) + (value[-shown:] if shown else "")


def mask(text: str, values: Sequence[str]) -> str:
    """`text`, of the same length, with the given values and all secrets of known formats masked."""
    found = {occurrence.value for occurrence in find_secrets([text])}
    for value in sorted({*values, *found}, key=len, reverse=True):
        text = text.replace(value, masked(value))
    return text


def redacted(look: Look, values: Sequence[str]) -> Look:
    """The look with its examples and the column `value` of its table masked."""
    examples = tuple(_redacted_example(example, values) for example in look.examples)
    table = look.table
    if table is not None and "value" in table.columns:
        table = table.with_columns(pl.col("value").map_elements(masked, pl.String))
    return replace(look, examples=examples, table=table)


def _redacted_example(example: Example, values: Sequence[str]) -> Example:
    """Prompt and text are masked together: a secret may begin in one and end in the other."""
    whole = mask(example.prompt + example.text, values)
    return replace(example, prompt=whole[: len(example.prompt)], text=whole[len(example.prompt) :])
