"""The tables of a probe of recall, made from the answers: items, accuracy, buckets, correlations, invariance, errors.

What each column is stands in COLUMNS, from which the README beside the tables is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mematlas.probes.items.controls import initials_guess
from mematlas.probes.items.task_file import Item
from mematlas.probes.recall.accuracy import accuracy_table
from mematlas.probes.recall.answers import ANSWERS
from mematlas.probes.recall.asking import MADE_UP, Questionnaire
from mematlas.probes.recall.by_popularity import buckets_table, correlations_table
from mematlas.probes.recall.errors import errors_table
from mematlas.probes.recall.invariance import invariance_table
from mematlas.probes.rows.stages import column_meanings

_SETTING: Final = {
    "template": "name of the template",
    "shots": "solved examples before the question",
}
_INTERVAL: Final = {"low": "lower end of the 95 % interval", "high": "upper end of the 95 % interval"}
#: Table -> its title, and the meaning of every column.
COLUMNS: Final[Mapping[str, tuple[str, dict[str, str]]]] = {
    "items": (
        "Every item with every template and number of examples",
        {
            "item": "id of the item",
            "input": "what was asked about",
            "output": "the right answer",
            "group": "group of the item; null without one",
            **_SETTING,
            "answer": "the model's answer; null if there is none",
            "hit": "whether it is the right one",
            "in_list": "whether it is the right answer of some item; null without an answer",
            "is_greedy": "whether each token of the right answer is the most probable one; null for APIs",
            "logp": "log-probability of the right answer, nats; null for APIs",
            "logp_made_up": "the same of an answer of the same form that is none; null without one",
            "rank": "rank of the right answer among the candidates, 1 = most probable; null without candidates",
            "candidates": "number of candidates",
            "initials": "whether the answer can be read off the input: its first letters, or its words'",
            "popularity": "how frequent the item is, in the unit of the facts; null if it is not known",
        },
    ),
    "accuracy": (
        "Shares of items, and what they are compared with",
        {
            **_SETTING,
            "what": "recall, or a baseline or control",
            "n": "items behind the share",
            "hits": "items that count; null for the mean of shuffles",
            "share": "share of the items",
            "low": "lower end of the 95 % interval (Wilson; of shuffles their middle 95 %)",
            "high": "upper end",
        },
    ),
    "buckets": (
        "Items by popularity: 50 groups of values as in P5 (faithful), and groups of as many items (equal)",
        {
            **_SETTING,
            "scheme": "faithful or equal",
            "bucket": "number of the bucket, from 1 for the least popular",
            "n": "items",
            "popularity": "mean popularity of the items",
            "least": "smallest popularity",
            "most": "largest popularity",
            "accuracy": "share of right answers",
            **_INTERVAL,
            "shuffled": "the share with labels shuffled among all items, mean of 200 shuffles",
        },
    ),
    "correlations": (
        "Popularity against accuracy, over items and over buckets",
        {
            **_SETTING,
            "over": "items, faithful or equal buckets",
            "kind": "pearson or spearman",
            "n": "pairs",
            "estimate": "the coefficient; null if it is not defined",
            "low": "lower end of the bootstrap 95 % interval, over items or buckets",
            "high": "upper end",
            "p": "two-sided p-value of 9,999 permutations",
            "reason": "why there is no coefficient",
        },
    ),
    "invariance": (
        "Prediction invariance: how alike answers to one item are",
        {
            "item": "id of the item",
            "axis": "what the answers differ in: templates, languages, temperatures, repetitions",
            "repeats": "R, answers that are compared",
            "distinct": "distinct answers among them; no answer is one of its own",
            "pi": "1 - (distinct - 1)/(R - 1)",
            "hits": "right answers among them",
            "popularity": "how frequent the item is; null if it is not known",
        },
    ),
    "errors": (
        "Wrong answers that are right answers of other items",
        {
            "item": "id of the item",
            **_SETTING,
            "predicted": "the model's answer",
            "predicted_input": "the input that it is the answer of",
            "label_jaccard": "words that both inputs share, of all their words",
            "random_jaccard": "the same with a random other item, mean over 20",
            "edit": "characters to change from the right answer to the model's (Levenshtein)",
            "random_edit": "the same for a random other answer, mean over 20",
        },
    ),
    "popularity": (
        "How frequent the items are",
        {
            "item": "id of the item",
            "popularity": "the number by which items are grouped; null if it is not known",
            "count_input": "occurrences of the input as words of the corpus; null without an index",
            "count_output": "occurrences of the answer as words; null without an index",
            "count_both": "documents with both, or inputs with the answer within the window; null without an index",
        },
    ),
}


@dataclass(frozen=True, slots=True)
class Material:
    """What tables are made from. answers: as ANSWERS; items: that were asked; popularity: of them."""

    answers: pl.DataFrame
    items: tuple[Item, ...]
    popularity: pl.DataFrame
    asked: Questionnaire
    seed: int


def make_tables(material: Material) -> dict[str, pl.DataFrame]:
    """All tables of COLUMNS, with their columns in this order."""
    items = items_table(material)
    asked = material.asked
    made_up = material.answers.filter(split=MADE_UP)
    tables = {
        "items": items,
        "accuracy": accuracy_table(items, made_up, asked.parser, asked.outputs, material.seed),
        "buckets": buckets_table(items, asked.parser, material.seed),
        "correlations": pl.DataFrame(),
        "invariance": invariance_table(material.answers, material.popularity, asked),
        "errors": errors_table(items, asked.parser, material.seed),
        "popularity": material.popularity,
    }
    tables["correlations"] = correlations_table(items, tables["buckets"], material.seed)
    return {name: table.select(list(COLUMNS[name][1])) for name, table in tables.items()}


def items_table(material: Material) -> pl.DataFrame:
    """The recall of every item in every setting."""
    known = pl.DataFrame(
        {
            "item": [item.id for item in material.items],
            "input": [item.input for item in material.items],
            "output": [item.output for item in material.items],
            "group": pl.Series([item.group for item in material.items], dtype=pl.String),
            "initials": [initials_guess(item) for item in material.items],
        }
    )
    normal = material.asked.parser.normal
    outputs = {normal(output) for output in material.asked.outputs}
    asked = material.answers.filter(pl.col("axis") == "recall", pl.col("split") == "items")
    listed = [None if answer is None else normal(answer) in outputs for answer in asked["answer"].to_list()]
    joined = known.join(material.popularity.select("item", "popularity"), on="item", how="left", maintain_order="left")
    return asked.with_columns(in_list=pl.Series(listed, dtype=pl.Boolean)).join(
        joined, on="item", how="left", maintain_order="left"
    )


def token_rows(answers: pl.DataFrame) -> pl.DataFrame:
    """Prompts with their right answers as rows of a corpus: row, tokens, document (number of the item), source (split).

    `mematlas score` reads it as any corpus; context says how many of a row's tokens are the prompt.
    """
    rows = answers.filter(pl.col("tokens").is_not_null())
    return rows.select(
        pl.int_range(pl.len()).alias("row"),
        "tokens",
        "context",
        pl.col("item").rank("dense").cast(pl.Int64).sub(1).alias("document"),
        pl.col("split").alias("source"),
        "item",
        "template",
        "shots",
    )


def readme(facts: Mapping[str, Any], tables: Mapping[str, pl.DataFrame], command: str) -> str:
    """README.md beside the tables: what was asked, how, and what each column is."""
    templates = "\n".join(f"- {name}: `{text}`" for name, text in facts["templates"].items())
    popularity = facts["popularity"]
    parts = [
        f"# What {facts['model']} answers to the items of {facts['items']}",
        f"{facts['asked']:,} items, {', '.join(map(str, facts['shots']))} solved examples before each "
        f"(items {', '.join(facts['examples']) or 'none'}, which are not asked), greedy decoding. "
        f"An answer is what `{facts['pattern']}` finds in the first line, compared {facts['normalization']}.",
        templates,
        f"Popularity: {popularity['source'] or 'not given'} ({popularity['unit']}), known of {popularity['known']:,} "
        "items.",
        "Made by:",
        f"    {command}",
        *(
            column_meanings(f"{name}.parquet: {title}", columns)
            for name, (title, columns) in COLUMNS.items()
            if name in tables
        ),
        column_meanings("answers/*.parquet", {field.name: field.metadata[b"is"].decode() for field in ANSWERS}),
    ]
    return "\n\n".join(parts) + "\n"


def settings_of(table: pl.DataFrame) -> Sequence[tuple[str, int]]:
    """The settings (template, shots) of a table, in their order."""
    return table.select("template", "shots").unique(maintain_order=True).rows()
