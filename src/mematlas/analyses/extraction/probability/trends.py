"""Tests of K3's trends on the numbers of the finding `probability`."""

from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mematlas.analyses.extraction.probability.tables import HEADLINE_CHANCE, HEADLINE_SAMPLES
from mematlas.analyses.frames.proportions import format_interval, format_percent, format_share
from mematlas.analyses.trend_tests import Verdict, majority_verdict
from mematlas.findings.finding import Trend
from mematlas.stats.estimates.differences import difference_of_shares
from mematlas.stats.extraction import samples_needed

MORE_THAN_GREEDY: Final = "sampling-extracts-more-than-greedy"
GROWTH: Final = "sampled-extraction-grows-with-size"
HELD_OUT: Final = "held-out-rows-are-sampled-less"
TRENDS: Final = (MORE_THAN_GREEDY, GROWTH, HELD_OUT)
_HEADLINE_PHRASE: Final = f"n = {HEADLINE_SAMPLES:,} and p = {HEADLINE_CHANCE}"
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Headline:
    """The subject of the claim: a model and a sampling scheme; frames: from `probability_frames`."""

    frames: dict[str, pl.DataFrame]
    model: str
    scheme: str

    def record(self, scheme: str | None = None, **where: str) -> Record | None:
        """The share at the headline n and p, by default of the model's training rows; None without rows."""
        filters = {"model": self.model, "role": "train", "scheme": scheme or self.scheme, "p": HEADLINE_CHANCE} | where
        return next(self.frames["curves"].filter(samples=HEADLINE_SAMPLES, **filters).iter_rows(named=True), None)

    def share(self, scheme: str | None = None, role: str = "train") -> str:
        """The share of `record` with its interval, for a sentence."""
        record = self.record(scheme, role=role)
        return "not measured" if record is None else format_share(record, "share")

    def worst_case_share(self, name: str, role: str = "train") -> str:
        """A share of the worst case ("probable", "possible") with its interval, for a sentence."""
        records = self.frames["worst"].filter(model=self.model, scheme=self.scheme, role=role)
        return next((format_share(record, f"{name}_share") for record in records.iter_rows(named=True)), "not measured")


def exclusive_rows(headline: Headline, rows: pl.DataFrame, role: str = "train") -> tuple[int, int]:
    """How many rows only sampling draws, and how many only greedy decoding recites.

    Args:
        rows: from `model_rows`.
    """
    known_rows = rows.filter(role=role).drop_nulls(headline.scheme)
    is_drawn = samples_needed(known_rows[headline.scheme].to_numpy(), float(HEADLINE_CHANCE)) <= HEADLINE_SAMPLES
    recited = known_rows["recited"].to_numpy()
    return int((is_drawn & ~recited).sum()), int((~is_drawn & recited).sum())


def probability_trends(headline: Headline, rows: pl.DataFrame, by_size: list[str]) -> tuple[Trend, ...]:
    """The verdict on each of TRENDS.

    Args:
        rows: `model_rows` of the headline model.
        by_size: models of different, known size, ascending.
    """
    return _more_than_greedy(headline, rows), _growth(headline, by_size), _held_out(headline)


def _more_than_greedy(headline: Headline, rows: pl.DataFrame) -> Trend:
    """McNemar's test, by the interval of the share of discordant rows that only sampling draws."""
    sampled_only, greedy_only = exclusive_rows(headline, rows)
    control_counts = " and ".join(f"{count:,}" for count in exclusive_rows(headline, rows, "control"))
    test = (
        f"training rows of {headline.model} that only sampling ({headline.scheme}) draws at {_HEADLINE_PHRASE}: "
        f"{sampled_only:,}; that only greedy decoding recites: {greedy_only:,} (of control rows {control_counts}); "
        f"shown if the 95 % interval of the first's share of both is above a half; at so many samples every row with "
        f"p_z of at least {_least_probability():.2g} is drawn, and rows recited by greedy decoding nearly always have "
        "more, so that this nearly holds by definition and is no evidence of memorization"
    )
    return Trend(MORE_THAN_GREEDY, majority_verdict(sampled_only, greedy_only), test)


def _least_probability() -> float:
    """The smallest p_z at which a row is drawn at the headline: 1 - (1 - p_z)^n >= p (K3)."""
    return 1 - (1 - float(HEADLINE_CHANCE)) ** (1 / HEADLINE_SAMPLES)


def _growth(headline: Headline, by_size: list[str]) -> Trend:
    records = [record for model in by_size if (record := headline.record(model=model)) is not None]
    if len(records) < 2:
        return Trend(GROWTH, "cannot tell", "the study lacks two models of different, known size with known p_z")
    smallest, largest = records[0], records[-1]
    test = (
        f"{format_share(smallest, 'share')} of the rows of {smallest['model']}, {format_share(largest, 'share')} of "
        f"{largest['model']} at {_HEADLINE_PHRASE}; a direction is shown if the 95 % intervals are apart"
    )
    return Trend(GROWTH, _compare_intervals(largest, smallest), test)


def _compare_intervals(larger_model: Record, smaller_model: Record) -> Verdict:
    if larger_model["share_lower"] > smaller_model["share_upper"]:
        return "shows"
    return "contradicts" if larger_model["share_upper"] < smaller_model["share_lower"] else "cannot tell"


def _held_out(headline: Headline) -> Trend:
    train, control = headline.record(), headline.record(role="control")
    if train is None or control is None:
        return Trend(HELD_OUT, "cannot tell", "the study has no control rows with known p_z")
    difference = difference_of_shares(
        (train["discoverable"], train["rows"]), (control["discoverable"], control["rows"])
    )
    interval = [end for end in (difference.lower, difference.upper) if end is not None]
    test = (
        f"{headline.model} at {_HEADLINE_PHRASE}: {format_share(train, 'share')} of {train['rows']:,} training rows, "
        f"{format_share(control, 'share')} of {control['rows']:,} control rows; difference "
        f"{format_percent(difference.estimate)} ({format_interval(difference.lower, difference.upper)}); shown if its "
        "95 % interval is above 0"
    )
    verdict: Verdict = (
        "shows"
        if interval and min(interval) > 0
        else "contradicts"
        if interval and max(interval) < 0
        else "cannot tell"
    )
    return Trend(HELD_OUT, verdict, test)


def strength(headline: Headline, rows: pl.DataFrame) -> float | None:
    """The share that sampling adds to greedy decoding / its standard error (McNemar); None if all rows agree."""
    sampled_only, greedy_only = exclusive_rows(headline, rows)
    return (
        None
        if sampled_only + greedy_only == 0
        else abs(sampled_only - greedy_only) / (sampled_only + greedy_only) ** 0.5
    )
