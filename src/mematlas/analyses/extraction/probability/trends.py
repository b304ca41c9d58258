"""Tests of K3's trends on the numbers of the finding `probability`."""

from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mematlas.analyses.extraction.probability.tables import HEADLINE_CHANCE, HEADLINE_SAMPLES
from mematlas.analyses.frames.proportions import format_interval, format_percent, format_share
from mematlas.analyses.frames.share_differences import share_differences
from mematlas.analyses.trend_tests import Verdict, clustered_majority_verdict
from mematlas.findings.finding import Trend
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


def drawn_rows(headline: Headline, rows: pl.DataFrame) -> pl.DataFrame:
    """role, cluster, recited, and drawn (whether sampling draws the row at the headline) of rows with known p_z.

    Args:
        rows: from `model_rows`.
    """
    known_rows = rows.drop_nulls(headline.scheme)
    is_drawn = samples_needed(known_rows[headline.scheme].to_numpy(), float(HEADLINE_CHANCE)) <= HEADLINE_SAMPLES
    return known_rows.select("role", "cluster", "recited", pl.Series("drawn", is_drawn, dtype=pl.Boolean))


def exclusive_rows(drawn: pl.DataFrame, role: str = "train") -> pl.DataFrame:
    """How many rows of each cluster only sampling draws, and how many only greedy decoding recites, if any.

    Args:
        drawn: from `drawn_rows`.

    Returns:
        cluster, sampled_only, greedy_only.
    """
    of_role = drawn.filter(pl.col("drawn") != pl.col("recited"), role=role)
    sums = (pl.col(name).sum().cast(pl.Int64) for name in ("drawn", "recited"))
    counts = of_role.group_by("cluster", maintain_order=True).agg(*sums)
    return counts.rename({"drawn": "sampled_only", "recited": "greedy_only"})


def probability_trends(headline: Headline, rows: pl.DataFrame, by_size: list[str]) -> tuple[Trend, ...]:
    """The verdict on each of TRENDS.

    Args:
        rows: `model_rows` of the headline model.
        by_size: models of different, known size, ascending.
    """
    drawn = drawn_rows(headline, rows)
    return _more_than_greedy(headline, drawn), _growth(headline, by_size), _held_out(headline, drawn)


def _more_than_greedy(headline: Headline, drawn: pl.DataFrame) -> Trend:
    """McNemar's test, by the interval of the share of discordant rows that only sampling draws."""
    train, control = exclusive_rows(drawn), exclusive_rows(drawn, "control")
    sampled_only, greedy_only = train["sampled_only"].sum(), train["greedy_only"].sum()
    test = (
        f"training rows of {headline.model} that only sampling ({headline.scheme}) draws at {_HEADLINE_PHRASE}: "
        f"{sampled_only:,}. Rows that only greedy decoding recites: {greedy_only:,} (of control rows "
        f"{control['sampled_only'].sum():,} and {control['greedy_only'].sum():,}). "
        "Shown if the 95 % interval of the first's share of both is above a half. "
        f"At so many samples every row with p_z of at least {_least_probability():.2g} is drawn. "
        "Greedily recited rows nearly always have more, so that this nearly holds by definition and is no evidence of "
        "memorization"
    )
    return Trend(MORE_THAN_GREEDY, clustered_majority_verdict(train, "sampled_only", "greedy_only"), test)


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
        f"{largest['model']}. A direction is shown if the 95 % intervals at {_HEADLINE_PHRASE} are apart"
    )
    return Trend(GROWTH, _compare_intervals(largest, smallest), test)


def _compare_intervals(larger_model: Record, smaller_model: Record) -> Verdict:
    if larger_model["share_lower"] is None or smaller_model["share_lower"] is None:  # rows of a single cluster
        return "cannot tell"
    if larger_model["share_lower"] > smaller_model["share_upper"]:
        return "shows"
    return "contradicts" if larger_model["share_upper"] < smaller_model["share_lower"] else "cannot tell"


def _held_out(headline: Headline, drawn: pl.DataFrame) -> Trend:
    train, control = headline.record(), headline.record(role="control")
    if train is None or control is None:
        return Trend(HELD_OUT, "cannot tell", "the study has no control rows with known p_z")
    sums = (pl.len().cast(pl.Int64).alias("rows"), pl.col("drawn").sum().cast(pl.Int64))
    counts = drawn.group_by("role", "cluster", maintain_order=True).agg(*sums)
    counts = counts.with_columns(model=pl.lit(headline.model))
    estimate, lower, upper = (
        share_differences(counts, "drawn", ("model",), "role", "train", "control")
        .select("difference", "difference_lower", "difference_upper")
        .row(0)
    )
    test = (
        f"{format_share(train, 'share')} of {train['rows']:,} training rows of {headline.model}, "
        f"{format_share(control, 'share')} of {control['rows']:,} control rows. Difference at {_HEADLINE_PHRASE}: "
        f"{format_percent(estimate)} ({format_interval(lower, upper)}). Shown if its 95 % interval is above 0"
    )
    verdict: Verdict = "cannot tell"
    if lower is not None:
        verdict = "shows" if lower > 0 else "contradicts" if upper < 0 else "cannot tell"
    return Trend(HELD_OUT, verdict, test)


def strength(headline: Headline, rows: pl.DataFrame) -> float | None:
    """The share that sampling adds to greedy decoding / its standard error; None if all rows agree.

    McNemar's test, summed over clusters (Obuchowski 1998): the sum of their differences over the root of the sum of
    squares, which with one row per cluster is McNemar's.
    """
    counts = exclusive_rows(drawn_rows(headline, rows))
    differences = (counts["sampled_only"] - counts["greedy_only"]).to_numpy().astype(float)
    squares = float(differences @ differences)
    return abs(float(differences.sum())) / squares**0.5 if squares else None
