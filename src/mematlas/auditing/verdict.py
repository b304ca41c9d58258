"""The answer of an audit: one of four, from all looks together."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
import polars as pl

from mematlas.auditing.base import Look
from mematlas.auditing.thresholds import Threshold
from mematlas.stats.hypotheses.by_document import holm

Answer = Literal["recites training text", "leaks membership", "no leak found", "cannot be judged"]
LEVEL: Final = 0.05
"""Chance of any false alarm, over all looks together."""


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """answer: what holds; sentence: why; looks: the results; q: their p-values, adjusted for the number of looks (Holm
    1979), by name, None for those not judged."""

    answer: Answer
    sentence: str
    looks: tuple[Look, ...]
    q: dict[str, float | None]

    def found(self, look: Look) -> bool:
        """Whether the look shows a leak."""
        q = self.q[look.name]
        return q is not None and q <= LEVEL

    def fails(self, threshold: Threshold) -> bool:
        """Whether a condition of `--fail-on` holds."""
        if threshold.measure == "recites":
            return self.answer == "recites training text"
        if threshold.measure == "leak":
            return self.answer in ("recites training text", "leaks membership")
        share = next((look.share for look in self.looks if look.name == threshold.measure), None)
        return share is not None and threshold.limit is not None and share > threshold.limit

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        """The records behind the looks, by name."""
        return {look.name: look.table for look in self.looks if look.table is not None}

    def as_json(self) -> dict[str, Any]:
        """The verdict without texts of examples, for `verdict.json`."""
        return {
            "answer": self.answer,
            "sentence": self.sentence,
            "level": LEVEL,
            "looks": [
                {
                    "name": look.name,
                    "title": look.title,
                    "sentence": look.sentence,
                    "p": look.p,
                    "q": self.q[look.name],
                    "shows_leak": self.found(look),
                    "not_judged_because": look.reason or None,
                    "share": look.share,
                    "power": look.power,
                    "measures": [asdict(measure) for measure in look.measures],
                    "caveats": list(look.caveats),
                }
                for look in self.looks
            ],
        }


def decide(looks: Sequence[Look]) -> Verdict:
    """Join the looks into one answer; a chance of 5 % of any false alarm is divided among them."""
    adjusted = holm([np.nan if look.p is None else look.p for look in looks])
    q = {look.name: None if np.isnan(p) else float(p) for look, p in zip(looks, adjusted, strict=True)}
    found = [look for look in looks if (value := q[look.name]) is not None and value <= LEVEL]
    reciting = [look for look in found if look.severity == "recites"]
    if reciting:
        return Verdict("recites training text", " ".join(look.sentence for look in reciting), tuple(looks), q)
    if found:
        return Verdict("leaks membership", " ".join(look.sentence for look in found), tuple(looks), q)
    recitation = next((look for look in looks if look.name == "recitation"), None)
    if recitation is None or recitation.p is None:
        reason = "no look could be taken." if recitation is None else recitation.reason
        return Verdict("cannot be judged", f"It cannot be judged whether it leaks: {reason}", tuple(looks), q)
    return Verdict("no leak found", _power_sentence(recitation), tuple(looks), q)


def _power_sentence(recitation: Look) -> str:
    if recitation.power is None:
        return "No leak was found, but there are too few documents to find one of any size with 95 %."
    return (
        f"No leak was found; recitation of {100 * recitation.power:.1f} % of the documents or more would have been "
        "found with 95 %."
    )
