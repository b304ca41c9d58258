"""Prediction invariance (P5): how many different answers a model gives to one item over templates, languages, ..."""

from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from mematlas.probes.recall.asking import Questionnaire
from mematlas.probes.recall.buckets import prediction_invariance

_SCHEMA: Final = {
    "item": pl.String,
    "axis": pl.String,
    "repeats": pl.Int64,
    "distinct": pl.Int64,
    "pi": pl.Float64,
    "hits": pl.Int64,
}


def invariance_table(answers: pl.DataFrame, popularity: pl.DataFrame, asked: Questionnaire) -> pl.DataFrame:
    """PI of each item on each axis that was asked for and has at least two answers; see `tables.COLUMNS`."""
    normal = asked.parser.normal
    records: list[dict[str, Any]] = []
    for axis, part in _axes(answers.filter(split="items"), asked):
        for (item,), group in part.group_by("item", maintain_order=True):
            if group.height < 2:
                continue
            distinct = len({None if answer is None else normal(answer) for answer in group["answer"]})
            pi = prediction_invariance(distinct, group.height)
            counts = {"repeats": group.height, "distinct": distinct, "pi": pi, "hits": int(group["hit"].sum())}
            records.append({"item": item, "axis": axis, **counts})
    table = pl.DataFrame(records, schema=_SCHEMA)
    known = popularity.select("item", "popularity")
    return table.join(known, on="item", how="left", maintain_order="left")


def _axes(answers: pl.DataFrame, asked: Questionnaire) -> Iterator[tuple[str, pl.DataFrame]]:
    """The answers that are compared on each axis."""
    wanted, greedy = asked.config.invariance, answers.filter(axis="recall", shots=asked.headline_shots)
    if "templates" in wanted:  # of one language: that of the first template
        first = asked.templates[0].language
        yield "templates", greedy.filter(pl.col("language").eq_missing(first))
    if "languages" in wanted:  # the first template of each
        firsts = {template.language: template.name for template in reversed(asked.templates) if template.language}
        yield "languages", greedy.filter(pl.col("template").is_in(list(firsts.values())))
    for axis in ("temperatures", "repetitions"):
        if axis in wanted:
            yield axis, answers.filter(axis=axis)
