"""What P1's table of the predictor and its Figure 7 show, put to a test on held-out rows, over seeds.

P1's predictor reads the states of generated tokens: that one is tested, the one before generating where there is no
other.
"""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import difference_of
from mematlas.analyses.states.predict.over_seeds import over_seeds
from mematlas.analyses.states.predict.tables import Frames
from mematlas.analyses.trend_tests import Verdict
from mematlas.findings.finding import Trend
from mematlas.study.schemas.predictions import PREDICTOR

_LOW: Final = "fully-right-predictions-concentrate-on-low-scores"
_SIZE: Final = "predictor-accuracy-grows-with-size"
_LENGTH: Final = "predictor-accuracy-grows-with-continuation"
_FULL: Final = "full-accuracy-falls-with-continuation"
TRENDS: Final = (_LOW, _SIZE, _LENGTH, _FULL)
_LOW_LEVELS: Final = 2  # our choice: M below 0.4 is a low score
SEES_WORDS: Final = {"context": "before generating", "generated": "while generating"}
_RULE: Final = "a direction is shown if the interval leaves out"
Line = Mapping[str, Any]


def prediction_trends(tables: Tables, seeds: Frames, model: str) -> tuple[Trend, ...]:
    """One word on each of TRENDS. seeds: as `seed_frames`; model: the one spoken of."""
    own = seeds["scores"].filter(pl.col("model") == pl.col("tested"), method=PREDICTOR)
    seen = own.filter(model=model)["sees"].unique().to_list()
    sees = "generated" if "generated" in seen else "context"
    own = own.filter(sees=sees)
    mine = own.filter(model=model)
    levels = seeds["levels"].filter(model=model, tested=model, method=PREDICTOR, sees=sees)
    return (
        _low(levels, model, sees),
        _size(tables, own, sees),
        _along(_LENGTH, mine, "token_accuracy", +1, model, sees),
        _along(_FULL, mine, "full_accuracy", -1, model, sees),
    )


def judged(line: Line, name: str, sign: int = 1, nothing: float = 0.0) -> Verdict:
    """Shown if the interval lies beyond `nothing` on the side of `sign`; where all of several seeds give one number,
    that number decides."""
    if line[name] is None or (line["seeds"] < 2 and line[f"{name}_lower"] is None):
        return "cannot tell"
    ends = [line[f"{name}_lower"], line[f"{name}_upper"]]
    ends = [line[name]] if ends[0] is None else ends
    apart = [sign * (end - nothing) for end in ends]
    return "shows" if min(apart) > 0 else "contradicts" if max(apart) < 0 else "cannot tell"


def _low(levels: pl.DataFrame, model: str, sees: str) -> Trend:
    """Share of the rows predicted wholly right that have a low score, beside the share of all rows that have one."""
    low = levels.filter(pl.col("level") < _LOW_LEVELS).drop_nulls("share")
    if not low.height:
        return Trend(_LOW, "cannot tell", f"no row of {model} is predicted wholly right {SEES_WORDS[sees]}")
    found = _mean(low.group_by("seed", maintain_order=True).agg(pl.sum("share", "rows_share")), "share", "rows_share")
    test = (
        f"share of the rows of {model} predicted wholly right {SEES_WORDS[sees]} that have M < 0.4: "
        f"{difference_of(found, 'share').lstrip('+')}, {found['seeds']} seeds; {found['rows_share']:.3g} of all "
        f"held-out rows have; {_RULE} one half"
    )
    return Trend(_LOW, judged(found, "share", +1, 0.5), test)


def _size(tables: Tables, own: pl.DataFrame, sees: str) -> Trend:
    """Token accuracy of the largest minus that of the smallest model, at the longest continuation, paired by seed."""
    known = own.drop_nulls("token_accuracy")["model"].unique().to_list()
    sized = [model for model in tables.by_size if model in known and tables.parameters(model) is not None]
    if len(sized) < 2:
        return Trend(_SIZE, "cannot tell", "the study lacks predictors of two models of different, known size")
    longest = own.filter(pl.col("continuation") == pl.col("continuation").max())
    found = _paired(longest.filter(model=sized[-1]), longest.filter(model=sized[0]), "token_accuracy", "guess")
    if found is None:
        return Trend(_SIZE, "cannot tell", f"predictors of {sized[0]} and {sized[-1]} have no seed in common")
    test = (
        f"token accuracy {SEES_WORDS[sees]} of {sized[-1]} minus {sized[0]} at {longest['continuation'][0]} tokens: "
        f"{difference_of(found, 'token_accuracy_change')}, {found['seeds']} seeds; guessing changes by "
        f"{found['guess_change']:+.3g}; {_RULE} 0"
    )
    return Trend(_SIZE, judged(found, "token_accuracy_change"), test)


def _along(trend: str, mine: pl.DataFrame, name: str, sign: int, model: str, sees: str) -> Trend:
    """The longest continuation minus the shortest, paired by seed."""
    lengths = mine.drop_nulls(name)["continuation"].unique().sort().to_list()
    if len(lengths) < 2:
        return Trend(trend, "cannot tell", f"the predictor of {model} was measured at fewer than two continuations")
    found = _paired(mine.filter(continuation=lengths[-1]), mine.filter(continuation=lengths[0]), name, "guess")
    if found is None:
        return Trend(trend, "cannot tell", f"no seed of {model} has both continuations")
    what = name.replace("_", " ")
    test = (
        f"{what} of {model} {SEES_WORDS[sees]} at {lengths[-1]} minus at {lengths[0]} tokens: "
        f"{difference_of(found, f'{name}_change')}, {found['seeds']} seeds; guessing changes by "
        f"{found['guess_change']:+.3g} of tokens; {_RULE} 0"
    )
    return Trend(trend, judged(found, f"{name}_change", sign), test)


def _paired(one: pl.DataFrame, other: pl.DataFrame, *names: str) -> Line | None:
    """Means over seeds of one minus other, as name_change; None without a seed in common."""
    both = one.join(other, on="seed", suffix="_other").drop_nulls(names[0]).drop_nulls(f"{names[0]}_other")
    apart = [(pl.col(name) - pl.col(f"{name}_other")).alias(f"{name}_change") for name in names]
    return _mean(both.with_columns(apart), *(f"{name}_change" for name in names)) if both.height else None


def _mean(lines: pl.DataFrame, name: str, plain: str) -> Line:
    found = over_seeds(lines.select("seed", name, plain, all=pl.lit(0)), ("all",), (name,), (plain,))
    return found.row(0, named=True)
