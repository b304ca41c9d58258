"""Wrong answers that belong to other items: are those items, or the answers as texts, more alike than random ones?"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.metrics.similarity import text_edit_distances
from mematlas.probes.items.parsing import AnswerParser

_RANDOM: Final = 20  # other items that each error is compared with; our choice
_SCHEMA: Final = {
    "item": pl.String,
    "template": pl.String,
    "shots": pl.Int32,
    "predicted": pl.String,
    "predicted_input": pl.String,
    "label_jaccard": pl.Float64,
    "random_jaccard": pl.Float64,
    "edit": pl.Float64,
    "random_edit": pl.Float64,
}


def errors_table(items: pl.DataFrame, parser: AnswerParser, seed: int) -> pl.DataFrame:
    """Every wrong answer that is the right one of another asked item; see `tables.COLUMNS`.

    Of several items with that answer, the first is compared.
    """
    known = items.unique("item", keep="first", maintain_order=True)
    inputs, outputs = known["input"].to_list(), [parser.normal(output) for output in known["output"]]
    places = {output: place for place, output in reversed(list(enumerate(outputs)))}
    own = {item: place for place, item in enumerate(known["item"])}
    records: list[dict[str, Any]] = []
    wrong = items.filter(~pl.col("hit") & pl.col("in_list").fill_null(False))
    random = np.random.default_rng([seed, 8])
    for item, template, shots, answer in wrong.select("item", "template", "shots", "answer").iter_rows():
        predicted, place = places.get(parser.normal(answer)), own[item]
        if predicted is None:  # of an example, which is not asked
            continue
        others = _others(place, outputs, random)
        edits = text_edit_distances([outputs[other] for other in (predicted, *others)], outputs[place])
        jaccards = [label_jaccard(inputs[place], inputs[other]) for other in (predicted, *others)]
        records.append(
            {
                "item": item,
                "template": template,
                "shots": shots,
                "predicted": answer,
                "predicted_input": inputs[predicted],
                "label_jaccard": jaccards[0],
                "random_jaccard": float(np.mean(jaccards[1:])),
                "edit": float(edits[0]),
                "random_edit": float(np.mean(edits[1:])),
            }
        )
    return pl.DataFrame(records, schema=_SCHEMA)


def _others(place: int, outputs: Sequence[str], random: np.random.Generator) -> list[int]:
    """Random items with another answer than the one at `place`; there are some, as the wrong answer is of one."""
    others = [other for other, output in enumerate(outputs) if output != outputs[place]]
    return random.choice(others, _RANDOM).tolist()


def label_jaccard(first: str, second: str) -> float:
    """Words that two texts share, of all their words, whatever their case: 0 to 1."""
    a, b = set(first.casefold().split()), set(second.casefold().split())
    return len(a & b) / len(a | b) if a | b else 1.0
