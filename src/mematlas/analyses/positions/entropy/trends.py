"""Tests of P1's trends in entropy, and look-ups of the records that the finding's sentences cite.

P1's entropies are those of generated steps: a direction is tested on the free-running path, or along the truth where
that was not recorded. Jumps at the boundary are tested along the truth, the only path with entropies on both sides.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import capitalized, format_difference
from mematlas.analyses.positions.boundary_step import ONE_STEP
from mematlas.analyses.positions.entropy.profiles import IN_CONTINUATION
from mematlas.analyses.positions.entropy.signals import PATHS, TRUTH
from mematlas.analyses.positions.entropy.tables import PATH_PHRASES, Frames
from mematlas.analyses.positions.profiles import BOUNDARY
from mematlas.analyses.positions.token_windows import ALL_ROWS, MEMORIZED, UNMEMORIZED
from mematlas.analyses.trend_tests import Verdict
from mematlas.findings.finding import Trend

_HIGHER: Final = "entropy-is-higher-in-unmemorized-rows"
_SIZE: Final = "entropy-falls-with-size"
_JUMPS: Final = {
    "entropy-rises-at-the-border-of-unmemorized-rows": (UNMEMORIZED, +1),
    "entropy-falls-at-the-border-of-memorized-rows": (MEMORIZED, -1),
}
TRENDS: Final = (_HIGHER, *_JUMPS, _SIZE)
Record = dict[str, Any]


def statistic_record(
    frames: Frames, model: str, name: str, path: str, statistic: str = IN_CONTINUATION, **where: str
) -> Record | None:
    """The entropy statistic of a class, by default of training rows at the boundary; None if it was not measured."""
    where = {"role": "train", "alignment": BOUNDARY} | where | {"class": name}
    records = frames["statistics"].filter(model=model, path=path, measure="entropy", statistic=statistic, **where)
    return next(records.iter_rows(named=True), None)


def format_level(record: Record) -> str:
    """The value of a record with its interval, for a sentence."""
    lower, upper = record["value_lower"], record["value_upper"]
    interval = "no interval" if lower is None else f"95 % interval {lower:.3g} to {upper:.3g}"
    return f"{record['value']:.3g} nats ({interval})"


def contrast_record(frames: Frames, model: str, path: str, role: str = "train") -> Record | None:
    """Entropy over the continuation of memorized minus unmemorized rows; None if either class has none."""
    filters = {"path": path, "measure": "entropy", "statistic": IN_CONTINUATION}
    return next(frames["contrasts"].filter(model=model, role=role, **filters).iter_rows(named=True), None)


def known_paths(frames: Frames, model: str) -> list[str]:
    """The paths along which entropies of the model's training rows are known, free-running first."""
    return [path for path in PATHS if statistic_record(frames, model, ALL_ROWS, path)]


def entropy_trends(tables: Tables, frames: Frames, model: str) -> tuple[Trend, ...]:
    """The verdict on each of TRENDS."""
    path = known_paths(frames, model)[0]
    return (_higher(frames, model, path), *(_jump(frames, model, name) for name in _JUMPS), _falls(frames, path))


def _verdict(record: Record, name: str, sign: int) -> Verdict:
    """ "shows" if the interval excludes 0 on the side of `sign`, "contradicts" if on the other side."""
    ends = [sign * record[f"{name}_{end}"] for end in ("lower", "upper") if record[f"{name}_{end}"] is not None]
    return "shows" if ends and min(ends) > 0 else "contradicts" if ends and max(ends) < 0 else "cannot tell"


def _higher(frames: Frames, model: str, path: str) -> Trend:
    contrast = contrast_record(frames, model, path)
    if contrast is None:
        return Trend(_HIGHER, "cannot tell", f"{model} does not have both memorized and unmemorized rows")
    test = (
        f"mean entropy over the continuation ({PATH_PHRASES[path]}) of {contrast['memorized']:,} memorized minus "
        f"{contrast['unmemorized']:,} unmemorized rows of {model}: {format_difference(contrast)} nats. A direction is "
        "shown if the interval leaves out 0"
    )
    return Trend(_HIGHER, _verdict(contrast, "difference", -1), test)


def _jump(frames: Frames, model: str, name: str) -> Trend:
    row_class, sign = _JUMPS[name]
    record = statistic_record(frames, model, row_class, TRUTH, ONE_STEP)
    if record is None:
        missing = f"{model} has no row called {row_class} with entropies on both sides of the border"
        return Trend(name, "cannot tell", missing)
    window_records = frames["statistics"].filter(
        pl.col("statistic").str.starts_with("window"), model=model, path=TRUTH, measure="entropy", role="train"
    )
    window_record = next(
        (record for record in window_records.filter(alignment=BOUNDARY, **{"class": row_class}).iter_rows(named=True)),
        None,
    )
    window_text = (
        f". Over a {window_record['statistic']} tokens {format_difference(window_record, 'value')}"
        if window_record
        else ""
    )
    test = (
        f"entropy of {record['rows']:,} {row_class} rows of {model} along the truth: one step "
        f"{format_difference(record, 'value')} nats{window_text}. A direction is shown if the interval of the one step "
        "leaves out 0"
    )
    return Trend(name, _verdict(record, "value", sign), test)


def _falls(frames: Frames, path: str) -> Trend:
    """Tested on all training rows, as a class consists of different rows for each model."""
    filters = {"path": path, "measure": "entropy", "statistic": IN_CONTINUATION, "role": "train"}
    slopes = {slope["class"]: slope for slope in frames["slopes"].filter(**filters).iter_rows(named=True)}
    if ALL_ROWS not in slopes:
        return Trend(_SIZE, "cannot tell", "the study lacks two models of different, known size with entropies")
    all_rows = slopes.pop(ALL_ROWS)
    classes = "".join(
        f". {capitalized(name)} rows {format_difference(slope, 'slope')}" for name, slope in slopes.items()
    )
    test = (
        f"change of the mean entropy over the continuation ({PATH_PHRASES[path]}) per tenfold of parameters, "
        f"{all_rows['models']} models: all rows {format_difference(all_rows, 'slope')} nats{classes}. A direction is "
        "shown if the interval of all rows leaves out 0"
    )
    return Trend(_SIZE, _verdict(all_rows, "slope", -1), test)
