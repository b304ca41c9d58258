"""Laws fitted to columns of shares: one fit a group of points, with its residuals.

Source: P9, Figure 1: the memorized share grows log-linearly in model size, repetitions and context.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mematlas.stats.lines import POINTS_FOR_INTERVAL, Comparison, Line, compare, fit_line

#: which points one fit takes, as columns of every table of laws; null where the fit goes across them
GROUP: Final = {
    "law": "size: share against parameters; repetitions: against repetitions; context: against context",
    "sample": "uniform: share of all rows; duplicate-normalised: mean of the buckets' shares; buckets: one by one",
    "model": "label of the model; null where the law goes across models",
    "role": "train: rows of the corpus; control: rows no model was trained on; control model: untrained on the corpus",
    "context": "tokens of the prompt; null where the law goes across contexts",
    "continuation": "tokens to recite",
}
LAWS: Final = {
    **GROUP,
    "points": "points fitted, each weighing as many as its rows",
    "slope": "change of the share per tenfold of the law's quantity",
    "slope_error": "its standard error; null below 3 points, and without scatter",
    "slope_lower": "lower end of its 95 % interval (Student's t)",
    "slope_upper": "upper end of it",
    "intercept": "share at one parameter, repetition or token, if the line went on that far",
    "r2": "explained share of the variance",
    "line_error": "root mean squared error of the line on points left out one at a time, as a share",
    "saturating_error": "the same of x^b / (k^b + x^b), which levels off at 0 and 1",
    "better": "the law with the smaller of both errors",
    "reason": "why a number is null",
}
RESIDUALS: Final = {
    **GROUP,
    "x": "parameters, repetitions or tokens of context",
    "rows": "rows behind the point",
    "share": "memorized share",
    "fitted": "share on the line",
    "residual": "share - fitted",
}


@dataclass(frozen=True, slots=True)
class Law:
    """What to fit: `y`, a share, against `x`, in each group of `points` with the same values of `by`.

    `points` has the columns of GROUP that `by` names, and `rows`; points without x or y are left out.
    """

    name: str
    sample: str
    points: pl.DataFrame
    x: str
    y: str
    by: tuple[str, ...]


def fit(laws: Sequence[Law]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One line a fit (columns: LAWS) and one a point (columns: RESIDUALS); groups with one x give neither."""
    lines: list[dict[str, Any]] = []
    residuals: list[pl.DataFrame] = []
    for law in laws:
        points = law.points.drop_nulls([law.x, law.y]).filter(pl.col("rows") > 0)
        for key, group in points.group_by(law.by, maintain_order=True):
            if group[law.x].n_unique() > 1:
                place = {"law": law.name, "sample": law.sample, **dict(zip(law.by, key, strict=True))}
                line = fit_line(group[law.x], group[law.y], group["rows"])
                lines.append(place | _numbers(line, compare(group[law.x], group[law.y], group["rows"])))
                residuals.append(_residuals(place, group, law, line))
    found = pl.DataFrame(lines, schema=_schema(LAWS), orient="row")
    empty = pl.DataFrame(schema=_schema(RESIDUALS))
    return found, pl.concat([empty, *residuals])


def _numbers(line: Line, comparison: Comparison) -> dict[str, Any]:
    flat = "all shares are equal: no interval, no R2" if line.lower is None else None
    few = f"an interval and R2 need {POINTS_FOR_INTERVAL} points" if line.count < POINTS_FOR_INTERVAL else flat
    return {
        "points": line.count,
        "slope": line.slope,
        "slope_error": line.error,
        "slope_lower": line.lower,
        "slope_upper": line.upper,
        "intercept": line.intercept,
        "r2": line.r2,
        "line_error": comparison.line,
        "saturating_error": comparison.saturating,
        "better": comparison.better,
        "reason": "; ".join(why for why in (few, comparison.reason) if why) or None,
    }


def _residuals(place: dict[str, Any], group: pl.DataFrame, law: Law, line: Line) -> pl.DataFrame:
    schema = _schema(RESIDUALS)
    residual = pl.Series("residual", line.residuals, dtype=pl.Float64)
    return group.select(
        *(pl.lit(place.get(name), schema[name]).alias(name) for name in GROUP),
        pl.col(law.x).cast(pl.Float64).alias("x"),
        pl.col("rows").cast(pl.Int64),
        pl.col(law.y).alias("share"),
        (pl.col(law.y) - residual).alias("fitted"),
        residual,
    )


def _schema(columns: dict[str, str]) -> dict[str, Any]:
    texts = {"law", "sample", "model", "role", "better", "reason"}
    whole = {"context", "continuation"}
    counts = {"points", "rows"}
    return {
        name: pl.String if name in texts else pl.Int32 if name in whole else pl.Int64 if name in counts else pl.Float64
        for name in columns
    }
