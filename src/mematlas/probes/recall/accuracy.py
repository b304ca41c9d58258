"""Recall as shares of items, beside baselines that know nothing and controls that should show nothing."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.probes.items.parsing import AnswerParser
from mematlas.stats.estimates.intervals import wilson
from mematlas.stats.hypotheses.label_shuffles import SHUFFLES, label_shuffles, mean_and_middle

RECALL: Final = "recall"
SHUFFLED: Final = "shuffled labels"
MAJORITY: Final = "majority answer"
INITIALS: Final = "initials"
_SCHEMA: Final = {
    "template": pl.String,
    "shots": pl.Int32,
    "what": pl.String,
    "n": pl.Int64,
    "hits": pl.Int64,
    "share": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}


def accuracy_table(
    items: pl.DataFrame, made_up: pl.DataFrame, parser: AnswerParser, outputs: Sequence[str], seed: int
) -> pl.DataFrame:
    """The shares of each setting; see `tables.COLUMNS`.

    Args:
        items: `tables.items_table`; made_up: answers to inputs that do not exist; outputs: distinct right answers.
    """
    known = {parser.normal(output) for output in outputs}
    records: list[dict[str, Any]] = []
    for (template, shots), group in items.group_by("template", "shots", maintain_order=True):
        others = made_up.filter(template=template, shots=shots)["answer"].to_list()
        listed = [answer is not None and parser.normal(answer) in known for answer in others]
        counts = [*_counts(group, parser), ("made-up inputs answered from the list", sum(listed), len(listed))]
        for what, hits, count in counts:
            share = wilson(hits, count)
            numbers = {"share": share.estimate, "low": share.lower, "high": share.upper}
            records.append({"template": template, "shots": shots, "what": what, "n": count, "hits": hits, **numbers})
        shuffled = shuffled_hits(group, parser, seed).mean(1)[:, None]
        mean, low, high = (float(values[0]) for values in mean_and_middle(shuffled))
        ends = {"low": None if np.isnan(low) else low, "high": None if np.isnan(high) else high}
        control = {"template": template, "shots": shots, "what": SHUFFLED, "n": group.height, "hits": None}
        records.append({**control, "share": mean, **ends})
    return pl.DataFrame(records, schema=_SCHEMA)


def _counts(group: pl.DataFrame, parser: AnswerParser) -> Iterator[tuple[str, int, int]]:
    """What is counted among the items of one setting: name, items that count, items."""
    count = group.height
    yield RECALL, int(group["hit"].sum()), count
    if group["is_greedy"].count():
        yield "right tokens, whatever follows", int(group["is_greedy"].sum()), count
    yield "answers in the list", int(group["in_list"].sum()), count
    other = group.filter(~pl.col("initials"))
    yield "recall where initials say nothing", int(other["hit"].sum()), other.height
    yield INITIALS, int(group["initials"].sum()), count
    majority = Counter(parser.normal(output) for output in group["output"]).most_common(1)[0][1]
    yield MAJORITY, majority, count
    pairs = group.filter(pl.col("logp_made_up").is_not_null())
    if pairs.height:
        right = int((pairs["logp"] > pairs["logp_made_up"]).sum())
        yield "right answer above one that does not exist", right, pairs.height
    first = group.filter(pl.col("rank").is_not_null())
    if first.height:
        yield "right answer first of the candidates", int((first["rank"] == 1).sum()), first.height


def shuffled_hits(group: pl.DataFrame, parser: AnswerParser, seed: int) -> NDArray[np.float64]:
    """Whether each answer is right when the right answers are shuffled among the items: [shuffles, items]."""
    truths = [parser.normal(output) for output in group["output"]]
    answers = ["" if answer is None else parser.normal(answer) for answer in group["answer"]]
    numbers = {text: number for number, text in enumerate(dict.fromkeys([*truths, *answers]))}
    truth = np.array([numbers[text] for text in truths])
    given = np.array([numbers[text] for text in answers])
    orders = label_shuffles(len(truth), None, SHUFFLES, np.random.default_rng([seed, 7]))
    return np.stack([(truth[order] == given).astype(np.float64) for order in orders])
