"""What P1 says of entropy, put to a test, and the lines of the tables that sentences are made from.

P1's entropies are those of generated steps: a direction is tested on the free-running path, along the truth where that
was not recorded; jumps at the border along the truth, which alone has entropies on both sides of it.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import difference_of
from mematlas.analyses.positions.boundary_step import STEP
from mematlas.analyses.positions.entropy.curves import IN_CONTINUATION
from mematlas.analyses.positions.entropy.signals import PATHS, TRUTH
from mematlas.analyses.positions.entropy.tables import PATH_WORDS, Frames
from mematlas.analyses.positions.profiles import BORDER
from mematlas.analyses.positions.token_windows import EVERY, MEMORIZED, UNMEMORIZED
from mematlas.analyses.trend_tests import Verdict
from mematlas.findings.finding import Trend

_HIGHER: Final = "entropy-is-higher-in-unmemorized-rows"
_SIZE: Final = "entropy-falls-with-size"
_JUMPS: Final = {
    "entropy-rises-at-the-border-of-unmemorized-rows": (UNMEMORIZED, +1),
    "entropy-falls-at-the-border-of-memorized-rows": (MEMORIZED, -1),
}
TRENDS: Final = (_HIGHER, *_JUMPS, _SIZE)
Line = dict[str, Any]


def line_of(
    frames: Frames, model: str, name: str, path: str, statistic: str = IN_CONTINUATION, **where: str
) -> Line | None:
    """The entropy of a class; of training rows and the border unless told else; None where it was not measured."""
    where = {"role": "train", "alignment": BORDER} | where | {"class": name}
    found = frames["statistics"].filter(model=model, path=path, measure="entropy", statistic=statistic, **where)
    return next(found.iter_rows(named=True), None)


def level_of(line: Line) -> str:
    """The value of a line with its interval, for a sentence."""
    lower, upper = line["value_lower"], line["value_upper"]
    ends = "no interval" if lower is None else f"95 % interval {lower:.3g} to {upper:.3g}"
    return f"{line['value']:.3g} nats ({ends})"


def contrast_of(frames: Frames, model: str, path: str, role: str = "train") -> Line | None:
    """Entropy over the continuation of memorized rows minus that of unmemorized ones; None where a class has none."""
    told = {"path": path, "measure": "entropy", "statistic": IN_CONTINUATION}
    return next(frames["contrasts"].filter(model=model, role=role, **told).iter_rows(named=True), None)


def paths_of(frames: Frames, model: str) -> list[str]:
    """The paths along which entropies of the model's training rows are known, the free-running first."""
    return [path for path in PATHS if line_of(frames, model, EVERY, path)]


def entropy_trends(tables: Tables, frames: Frames, model: str) -> tuple[Trend, ...]:
    """One word on each of TRENDS."""
    path = paths_of(frames, model)[0]
    return (_higher(frames, model, path), *(_jump(frames, model, name) for name in _JUMPS), _falls(frames, path))


def _judged(line: Line, name: str, sign: int) -> Verdict:
    """Shown if the interval leaves out 0 on the side of `sign`."""
    ends = [sign * line[f"{name}_{end}"] for end in ("lower", "upper") if line[f"{name}_{end}"] is not None]
    return "shows" if ends and min(ends) > 0 else "contradicts" if ends and max(ends) < 0 else "cannot tell"


def _higher(frames: Frames, model: str, path: str) -> Trend:
    pair = contrast_of(frames, model, path)
    if pair is None:
        return Trend(_HIGHER, "cannot tell", f"{model} does not have both memorized and unmemorized rows")
    test = (
        f"mean entropy over the continuation ({PATH_WORDS[path]}) of {pair['memorized']:,} memorized minus "
        f"{pair['unmemorized']:,} unmemorized rows of {model}: {difference_of(pair)} nats; a direction is shown if the "
        "interval leaves out 0"
    )
    return Trend(_HIGHER, _judged(pair, "difference", -1), test)


def _jump(frames: Frames, model: str, name: str) -> Trend:
    of, sign = _JUMPS[name]
    line = line_of(frames, model, of, TRUTH, STEP)
    if line is None:
        lacking = f"{model} has no row called {of} with entropies on both sides of the border"
        return Trend(name, "cannot tell", lacking)
    wide = frames["statistics"].filter(
        pl.col("statistic").str.starts_with("window"), model=model, path=TRUTH, measure="entropy", role="train"
    )
    window = next((one for one in wide.filter(alignment=BORDER, **{"class": of}).iter_rows(named=True)), None)
    also = f", {window['statistic']} tokens {difference_of(window, 'value')}" if window else ""
    test = (
        f"entropy of {line['rows']:,} {of} rows of {model} along the truth: one step {difference_of(line, 'value')} "
        f"nats{also}; a direction is shown if the interval of the one step leaves out 0"
    )
    return Trend(name, _judged(line, "value", sign), test)


def _falls(frames: Frames, path: str) -> Trend:
    """On all training rows: a class of its own would hold other rows in each model."""
    told = {"path": path, "measure": "entropy", "statistic": IN_CONTINUATION, "role": "train"}
    slopes = {line["class"]: line for line in frames["slopes"].filter(**told).iter_rows(named=True)}
    if EVERY not in slopes:
        return Trend(_SIZE, "cannot tell", "the study lacks two models of different, known size with entropies")
    every = slopes.pop(EVERY)
    classes = "".join(f", {name} rows {difference_of(line, 'slope')}" for name, line in slopes.items())
    test = (
        f"change of the mean entropy over the continuation ({PATH_WORDS[path]}) per tenfold of parameters, "
        f"{every['models']} models: all rows {difference_of(every, 'slope')} nats{classes}; a direction is shown if "
        "the interval of all rows leaves out 0"
    )
    return Trend(_SIZE, _judged(every, "slope", -1), test)
