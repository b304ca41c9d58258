"""What P1 says of hidden states, put to a test, and the lines of the tables that sentences are made from.

P1's sentences are on states as they are; how it averages over rows and steps is not published. Here: all pairs of the
training rows compared, mean over all decoding steps, free-running where that was recorded.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.phrasing import difference_of
from mematlas.analyses.states.embedding.distances import EVERY, FEW
from mematlas.analyses.states.embedding.tables import KIND_WORDS, Frames
from mematlas.analyses.trend_tests import Verdict
from mematlas.findings.finding import Trend

_DIRECTIONS: Final = {
    "embedding-distance-grows-with-size": ("distance", "mean Euclidean distance", +1),
    "embedding-cosine-falls-with-size": ("cosine", "mean cosine similarity", -1),
}
TRENDS: Final = tuple(_DIRECTIONS)
Line = dict[str, Any]


def line_of(frames: Frames, model: str, kind: str, between: str, step: int, roles: tuple[str, ...]) -> Line | None:
    """The distances of two levels at a step, where both have rows enough; None else."""
    here = {"model": model, "kind": kind, "step": step, "between": between}
    few = pl.min_horizontal("first_rows", "second_rows") < FEW
    found = frames["distances"].filter(pl.col("role").is_in(roles), ~few, **here)
    return next(found.iter_rows(named=True), None)


def separation_of(frames: Frames, model: str, kind: str, measure: str, state: str) -> tuple[Line, Line] | None:
    """The line of the levels and that of permuted ones; None where too few rows have levels."""
    found = frames["separation"].filter(model=model, kind=kind, measure=measure, state=state).to_dicts()
    return (found[0], found[1]) if found else None


def embedding_trends(frames: Frames, kind: str) -> tuple[Trend, ...]:
    """One word on each of TRENDS."""
    return tuple(_trend(frames, kind, name) for name in TRENDS)


def _trend(frames: Frames, kind: str, name: str) -> Trend:
    measure, words, sign = _DIRECTIONS[name]
    slopes = {
        line["measure"]: line
        for line in frames["slopes"].filter(kind=kind, role="train", between=EVERY).iter_rows(named=True)
    }
    if measure not in slopes:
        return Trend(name, "cannot tell", "the study lacks two models of different, known size with hidden states")
    line, scaled = slopes[measure], slopes.get(f"scaled_{measure}")
    also = f"; after centring and scaling {difference_of(scaled, 'slope')}" if scaled else ""
    test = (
        f"change of the {words} between training rows of all score levels ({KIND_WORDS[kind]}, states as they are, "
        f"mean over decoding steps) per tenfold of parameters, {line['models']} models: "
        f"{difference_of(line, 'slope')}{also}; a direction is shown if the interval of the states as they are leaves "
        "out 0"
    )
    return Trend(name, _judged(line, sign), test)


def _judged(line: Line, sign: int) -> Verdict:
    """Shown if the interval leaves out 0 on the side of `sign`."""
    ends = [sign * line[name] for name in ("slope_lower", "slope_upper") if line[name] is not None]
    return "shows" if ends and min(ends) > 0 else "contradicts" if ends and max(ends) < 0 else "cannot tell"
