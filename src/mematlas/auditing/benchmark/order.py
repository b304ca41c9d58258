"""Look: is the file's order of choices the most probable one more often than chance (Ni et al. 2409.01790)?

If a model never saw the benchmark, no order of its choices is special, and the file's is the most probable of k! with a
chance of 1/k!. The number of questions where it is has an exact distribution then, the binomial one where all questions
have as many choices. Left out are questions whose choices name each other ("all of the above"), and those whose choices
are all numbers, which often rise: in whatever order these stand, as leaving out only those that rise would change the
chance of the others. Of more than 24 orders, 23 others are drawn at random, and the chance is 1/24.
"""

import math
import re
from collections.abc import Sequence
from itertools import permutations
from string import ascii_uppercase
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.auditing.base import Example, Look, Measure, could_not_be_judged
from mematlas.auditing.benchmark.completion import FEWEST
from mematlas.auditing.benchmark.questions import Question
from mematlas.corpus.reading.places import place_values
from mematlas.models.base import Model, ModelCard
from mematlas.progress import Progress
from mematlas.scoring.engines.prompting import score_continuations
from mematlas.stats.estimates.intervals import wilson
from mematlas.stats.hypotheses.by_document import p_of_higher_in_members, p_of_positive_mean
from mematlas.types import Encoder

TITLE: Final = "Order of choices"
MOST_ORDERS: Final = 24  # our choice: 4 choices have as many
_TIE: Final = 1e-6  # nats; orders nearer than this are equally probable, which is no hit
_EXAMPLES: Final = 4
_LEVEL: Final = 0.05
_MEASURED: Final = "the file's order is the most probable"
_REFERS: Final = re.compile(
    r"\b(all|none|both|neither|any|either) (of )?(the )?(above|these|those|others?)\b|\b[A-J] (and|or) [A-J]\b",
    re.IGNORECASE,
)


def has_free_order(choices: Sequence[str]) -> bool:
    """Whether choices could stand in any order: they differ, name no other, and do not all begin with a number."""
    if len(choices) < 2 or len(choices) > len(ascii_uppercase) or len(set(choices)) < len(choices):
        return False
    if any(_REFERS.search(choice) for choice in choices):
        return False
    return not all(re.match(r"\W*\d", choice) for choice in choices)


def orders(choices: Sequence[str], random: np.random.Generator) -> list[tuple[str, ...]]:
    """The file's order first, then all others, or 23 different ones drawn at random."""
    if math.factorial(len(choices)) <= MOST_ORDERS:
        return list(permutations(choices))
    found = {tuple(choices): None}
    while len(found) < MOST_ORDERS:
        found.setdefault(tuple(choices[i] for i in random.permutation(len(choices))))
    return list(found)


def rank_orders(
    model: Model,
    card: ModelCard,
    encoder: Encoder,
    questions: Sequence[Question],
    seed: int,
    progress: Progress,
    of: str,
) -> pl.DataFrame:
    """One record for each question whose choices have no order by themselves: line, orders, first (whether the file's
    order is the most probable one), margin (nats above the best other order), question and choices (texts)."""
    free = [question for question in questions if has_free_order(question.choices)]
    progress.start(f"{of}, orders of choices", len(free), 0, "questions")
    start, records = card.bos if card.bos is not None else next(iter(card.eos), None), []
    for question in free:
        tried = orders(question.choices, np.random.default_rng([seed, question.line]))
        place = place_values(encoder, f"{question.text}\n", list(map(written, tried)), card.max_length, start)
        if card.max_length is None or len(place.prompt) + max(map(len, place.values)) <= card.max_length:
            scores = score_continuations(model, place.prompt, place.values).log_probability
            margin = float(scores[0] - scores[1:].max())
            records.append((question.line, len(tried), margin > _TIE, margin, question.text, written(question.choices)))
        progress.advance(1)
    progress.stop()
    schema = {"line": pl.Int64, "orders": pl.Int64, "first": pl.Boolean, "margin": pl.Float64,
              "question": pl.String, "choices": pl.String}  # fmt: skip
    return pl.DataFrame(records, schema=schema, orient="row")


def written(choices: Sequence[str]) -> str:
    """The choices as lines with letters."""
    return "\n".join(f"{letter}. {choice}" for letter, choice in zip(ascii_uppercase, choices, strict=False))


def p_of_hits(hits: int, chances: NDArray[np.float64]) -> float:
    """The chance of at least so many hits in independent trials of these chances; binomial if they are equal."""
    distribution = np.ones(1)
    for chance in chances.tolist():
        distribution = np.convolve(distribution, [1 - chance, chance])
    return float(min(1.0, distribution[hits:].sum()))


def look(
    model: pl.DataFrame,
    base: pl.DataFrame | None,
    control: pl.DataFrame | None,
    has_choices: bool,
    labels: dict[str, str],
) -> Look:
    """Whether the file's order is the first one more often than by chance, than by the base and than in the control."""
    if model.height < FEWEST:
        few = f"{model.height} questions have choices without an order of their own, and {FEWEST} are needed."
        return could_not_be_judged("order", TITLE, few if has_choices else "too few questions have choices.")
    chances, hits = 1 / model["orders"].to_numpy(), int(model["first"].sum())
    named = (("model", model), ("base", base), ("control", control))
    known = [(frame, labels[name]) for name, frame in named if frame is not None and frame.height]
    by_base = [] if base is None else base.filter("first")["line"].to_list()
    p = max(_p_values(model, base, control, hits, chances))
    natural = "There is no base model: an order that is natural to any reader counts as known."
    return Look(
        "order",
        TITLE,
        f"The file's order of choices is the most probable one in {hits:,} of {model.height:,} questions, where chance "
        f"gives {chances.sum():.1f}{'' if base is None else f' and the base {len(by_base):,}'}.",
        p,
        "membership",
        measures=(
            *(_share(*each) for each in known),
            Measure(_MEASURED, "chance", float(chances.mean()), n=model.height, unit="questions"),
        ),
        examples=_examples(model.filter(~pl.col("line").is_in(by_base))) if p <= _LEVEL else (),
        caveats=() if base is not None else (natural,),
        table=pl.concat([frame.with_columns(of=pl.lit(of)) for frame, of in known]),
    )


def _examples(model: pl.DataFrame) -> tuple[Example, ...]:
    """The questions where the file's order stands out most."""
    best = model.filter("first").sort("margin", descending=True).head(_EXAMPLES)
    return tuple(
        Example(
            f"line {record['line']}",
            f"{record['question']}\n",
            record["choices"],
            ((0, len(record["choices"])),),
            f"the most probable of {record['orders']} orders, {record['margin']:.1f} nats before the next",
        )
        for record in best.iter_rows(named=True)
    )


def _p_values(
    model: pl.DataFrame,
    base: pl.DataFrame | None,
    control: pl.DataFrame | None,
    hits: int,
    chances: NDArray[np.float64],
) -> list[float]:
    first, p_values = model["first"].to_numpy().astype(float), [p_of_hits(hits, chances)]
    if base is not None and base.height == model.height:
        p_values.append(p_of_positive_mean(first - base["first"].to_numpy(), np.arange(len(first))))
    if control is not None and control.height >= FEWEST:
        both = np.concatenate([first, control["first"].to_numpy().astype(float)])
        member = np.arange(len(both)) < len(first)
        p_values.append(p_of_higher_in_members(both, member, np.arange(len(both))))
    return p_values


def _share(frame: pl.DataFrame, of: str) -> Measure:
    share = wilson(int(frame["first"].sum()), frame.height)
    return Measure(_MEASURED, of, share.estimate, share.lower, share.upper, frame.height, "questions")
