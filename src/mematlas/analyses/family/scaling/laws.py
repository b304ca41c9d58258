"""Laws fitted to columns of shares: one fit a group of points, with its residuals.

Source: P9, Figure 1: the memorized share grows log-linearly in model size, repetitions and context.
"""

from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from mematlas.analyses.frames.proportions import with_shares
from mematlas.analyses.frames.repetition_samples import CELL, COUNTS_RECIPE, sample_shares
from mematlas.stats.regression.curves import POINTS_FOR_INTERVAL, Comparison, Line, compare, fit_line

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


LAWS_RECIPE: Final = f"{COUNTS_RECIPE}answer = recount.fit_laws(recount.law_points(counts))"
RESIDUALS_RECIPE: Final = f"{COUNTS_RECIPE}answer = recount.law_residuals(recount.law_points(counts))"
_SAMPLES: Final = {"uniform": "uniform_share", "duplicate-normalised": "normalised_share"}


def law_points(counts: pl.DataFrame) -> pl.DataFrame:
    """The points of every law: columns of GROUP, x (parameters, repetitions or tokens of context), share, rows.

    There is none against size where the size of a model of the family is unknown.

    Args:
        counts: as `sample_shares` takes it, with repetitions (geometric mean over the bucket's rows).
    """
    shares = sample_shares(counts)
    # the last digits of a mean hang on the order of its rows, and those of a step-like fit on them
    means = pl.col("repetitions").round_sig_figs(12)
    buckets = with_shares(counts.drop_nulls("bucket").with_columns(means), "memorized")
    sized = shares.filter(pl.col("role") != "control model")["parameters"].is_not_null().all()
    laws = [
        *(("size", sample, shares, "parameters", share, CELL) for sample, share in _SAMPLES.items() if sized),
        ("repetitions", "buckets", buckets, "repetitions", "share", ("model", *CELL)),
        *(
            ("context", sample, shares, "context", share, ("model", "role", "continuation"))
            for sample, share in _SAMPLES.items()
        ),
    ]
    schema = _schema(GROUP | {"x": "", "share": "", "rows": ""})
    found = []
    for law, sample, points, x, share, by in laws:
        names = {"law": pl.lit(law), "sample": pl.lit(sample), **{name: pl.col(name) for name in by}}
        values = names | {"x": pl.col(x), "share": pl.col(share), "rows": pl.col("rows")}
        known = points.drop_nulls([x, share]).filter(pl.col("rows") > 0)
        found.append(
            known.select(values.get(name, pl.lit(None)).cast(kind).alias(name) for name, kind in schema.items())
        )
    return pl.concat(found)


def fit_laws(points: pl.DataFrame) -> pl.DataFrame:
    """One line a law fitted to the `points` (as `law_points`) of each group with two x or more; columns LAWS."""
    lines = []
    for place, group in _groups(points):
        fitted = (group["x"], group["share"], group["rows"])
        lines.append(place | _numbers(fit_line(*fitted), compare(*fitted)))
    return pl.DataFrame(lines, schema=_schema(LAWS), orient="row")


def law_residuals(points: pl.DataFrame) -> pl.DataFrame:
    """The points that `fit_laws` fits, beside their line; columns RESIDUALS."""
    found = [pl.DataFrame(schema=_schema(RESIDUALS))]
    for _, group in _groups(points):
        residual = pl.Series(
            "residual", fit_line(group["x"], group["share"], group["rows"]).residuals, dtype=pl.Float64
        )
        fitted = (pl.col("share") - residual).alias("fitted")
        found.append(group.with_columns(fitted, residual).select(*RESIDUALS))
    return pl.concat(found)


def _groups(points: pl.DataFrame) -> Iterator[tuple[dict[str, Any], pl.DataFrame]]:
    """The values of GROUP and the points of each fit, ascending in x: the last digits of a fit hang on their order."""
    for key, group in points.group_by(list(GROUP), maintain_order=True):
        if group["x"].n_unique() > 1:
            yield dict(zip(GROUP, key, strict=True)), group.sort("x")


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


def _schema(columns: dict[str, str]) -> dict[str, Any]:
    texts = {"law", "sample", "model", "role", "better", "reason"}
    whole = {"context", "continuation"}
    counts = {"points", "rows"}
    return {
        name: pl.String if name in texts else pl.Int32 if name in whole else pl.Int64 if name in counts else pl.Float64
        for name in columns
    }
