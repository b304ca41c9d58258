"""Tests of P1's trends in hidden states, and look-ups of the records that the finding's sentences cite.

P1's statements are about unscaled states; how it averages over rows and steps is not published. Here: the mean over all
pairs of sampled training rows and over all decoding steps, free-running if that was recorded.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.phrasing import format_difference
from mematlas.analyses.states.embedding.distances import ALL_LEVELS, MIN_ROWS
from mematlas.analyses.states.embedding.tables import KIND_PHRASES, Frames
from mematlas.analyses.trend_tests import Verdict
from mematlas.findings.finding import Trend

_DIRECTIONS: Final = {
    "embedding-distance-grows-with-size": ("distance", "mean Euclidean distance", +1),
    "embedding-cosine-falls-with-size": ("cosine", "mean cosine similarity", -1),
}
TRENDS: Final = tuple(_DIRECTIONS)
Record = dict[str, Any]


def distance_record(
    frames: Frames, model: str, kind: str, between: str, step: int, roles: tuple[str, ...]
) -> Record | None:
    """The distances of two levels at a step; None unless both have enough rows."""
    filters = {"model": model, "kind": kind, "step": step, "between": between}
    too_few = pl.min_horizontal("first_rows", "second_rows") < MIN_ROWS
    records = frames["distances"].filter(pl.col("role").is_in(roles), ~too_few, **filters)
    return next(records.iter_rows(named=True), None)


def separation_records(frames: Frames, model: str, kind: str, measure: str, state: str) -> tuple[Record, Record] | None:
    """The record of the levels and that of permuted levels; None if too few rows have levels."""
    records = frames["separation"].filter(model=model, kind=kind, measure=measure, state=state).to_dicts()
    return (records[0], records[1]) if records else None


def embedding_trends(frames: Frames, kind: str) -> tuple[Trend, ...]:
    """The verdict on each of TRENDS."""
    return tuple(_trend(frames, kind, name) for name in TRENDS)


def _trend(frames: Frames, kind: str, name: str) -> Trend:
    measure, phrase, sign = _DIRECTIONS[name]
    slopes = {
        slope["measure"]: slope
        for slope in frames["slopes"].filter(kind=kind, role="train", between=ALL_LEVELS).iter_rows(named=True)
    }
    if measure not in slopes:
        return Trend(name, "cannot tell", "the study lacks two models of different, known size with hidden states")
    slope, scaled = slopes[measure], slopes.get(f"scaled_{measure}")
    scaled_text = f". After centring and scaling {format_difference(scaled, 'slope')}" if scaled else ""
    test = (
        f"change of the {phrase} of training rows per tenfold of parameters, {slope['models']} models: "
        f"{format_difference(slope, 'slope')}{scaled_text}. Pairs are of all score levels, states as they are "
        f"({KIND_PHRASES[kind]}), means over decoding steps. A direction is shown if the interval of the states as "
        "they are leaves out 0"
    )
    return Trend(name, _verdict(slope, sign), test)


def _verdict(slope: Record, sign: int) -> Verdict:
    """ "shows" if the interval excludes 0 on the side of `sign`, "contradicts" if on the other side."""
    ends = [sign * slope[name] for name in ("slope_lower", "slope_upper") if slope[name] is not None]
    return "shows" if ends and min(ends) > 0 else "contradicts" if ends and max(ends) < 0 else "cannot tell"
