"""K3's trends put to a test, on the numbers of the finding `probability`."""

from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mematlas.analyses.extraction.probability.tables import CHANCE, SPOKEN
from mematlas.analyses.frames.proportions import between, percent, share_of
from mematlas.analyses.trend_tests import Verdict, majority
from mematlas.findings.finding import Trend
from mematlas.stats.estimates.differences import difference_of_shares
from mematlas.stats.extraction import samples_needed

MORE: Final = "sampling-extracts-more-than-greedy"
GROWTH: Final = "sampled-extraction-grows-with-size"
HELD_OUT: Final = "held-out-rows-are-sampled-less"
TRENDS: Final = (MORE, GROWTH, HELD_OUT)
_AT: Final = f"n = {SPOKEN:,} and p = {CHANCE}"
Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a claim is on: a model and a sampling scheme; frames: of `extraction_tables.probability_frames`."""

    frames: dict[str, pl.DataFrame]
    model: str
    scheme: str

    def line(self, scheme: str | None = None, **where: str) -> Line | None:
        """The share at the n and p spoken of, of training rows of the model unless told else; None without rows."""
        place = {"model": self.model, "role": "train", "scheme": scheme or self.scheme, "p": CHANCE} | where
        return next(self.frames["curves"].filter(samples=SPOKEN, **place).iter_rows(named=True), None)

    def share(self, scheme: str | None = None, role: str = "train") -> str:
        """The share of `line` in words, with its interval, of rows that are there."""
        line = self.line(scheme, role=role)
        return "not measured" if line is None else share_of(line, "share")

    def worst(self, name: str, role: str = "train") -> str:
        """A share of the worst case ("probable", "possible") in words, with its interval, of rows that are there."""
        found = self.frames["worst"].filter(model=self.model, scheme=self.scheme, role=role)
        return next((share_of(line, f"{name}_share") for line in found.iter_rows(named=True)), "not measured")


def paired(spoken: Spoken, rows: pl.DataFrame, role: str = "train") -> tuple[int, int]:
    """How many rows sampling alone draws, and how many greedy decoding alone recites; rows: `model_rows`."""
    known = rows.filter(role=role).drop_nulls(spoken.scheme)
    drawn = samples_needed(known[spoken.scheme].to_numpy(), float(CHANCE)) <= SPOKEN
    recited = known["recited"].to_numpy()
    return int((drawn & ~recited).sum()), int((~drawn & recited).sum())


def probability_trends(spoken: Spoken, rows: pl.DataFrame, by_size: list[str]) -> tuple[Trend, ...]:
    """The TRENDS. rows: `model_rows` of the model spoken of; by_size: models of different, known size, ascending."""
    return _more(spoken, rows), _growth(spoken, by_size), _held_out(spoken)


def _more(spoken: Spoken, rows: pl.DataFrame) -> Trend:
    """McNemar's test, by the interval of the share of rows that sampling alone draws."""
    sampled, greedy = paired(spoken, rows)
    beside = " and ".join(f"{count:,}" for count in paired(spoken, rows, "control"))
    test = (
        f"training rows of {spoken.model} that only sampling ({spoken.scheme}) draws at {_AT}: {sampled:,}; that only "
        f"greedy decoding recites: {greedy:,} (of control rows {beside}); shown if the 95 % interval of the first's "
        "share of both is above a half"
    )
    return Trend(MORE, majority(sampled, greedy), test)


def _growth(spoken: Spoken, by_size: list[str]) -> Trend:
    known = [line for model in by_size if (line := spoken.line(model=model)) is not None]
    if len(known) < 2:
        return Trend(GROWTH, "cannot tell", "the study lacks two models of different, known size with known p_z")
    smallest, largest = known[0], known[-1]
    test = (
        f"{share_of(smallest, 'share')} of the rows of {smallest['model']}, {share_of(largest, 'share')} of "
        f"{largest['model']} at {_AT}; a direction is shown if the 95 % intervals are apart"
    )
    return Trend(GROWTH, _apart(largest, smallest), test)


def _apart(more: Line, less: Line) -> Verdict:
    if more["share_lower"] > less["share_upper"]:
        return "shows"
    return "contradicts" if more["share_upper"] < less["share_lower"] else "cannot tell"


def _held_out(spoken: Spoken) -> Trend:
    train, control = spoken.line(), spoken.line(role="control")
    if train is None or control is None:
        return Trend(HELD_OUT, "cannot tell", "the study has no control rows with known p_z")
    gap = difference_of_shares((train["discoverable"], train["rows"]), (control["discoverable"], control["rows"]))
    ends = [end for end in (gap.lower, gap.upper) if end is not None]
    test = (
        f"{spoken.model} at {_AT}: {share_of(train, 'share')} of {train['rows']:,} training rows, "
        f"{share_of(control, 'share')} of {control['rows']:,} control rows; difference {percent(gap.estimate)} "
        f"({between(gap.lower, gap.upper)}); shown if its 95 % interval is above 0"
    )
    verdict: Verdict = "shows" if ends and min(ends) > 0 else "contradicts" if ends and max(ends) < 0 else "cannot tell"
    return Trend(HELD_OUT, verdict, test)


def strength(spoken: Spoken, rows: pl.DataFrame) -> float | None:
    """The share that sampling adds to greedy decoding / its standard error (McNemar's); None where rows agree."""
    sampled, greedy = paired(spoken, rows)
    return None if sampled + greedy == 0 else abs(sampled - greedy) / (sampled + greedy) ** 0.5
