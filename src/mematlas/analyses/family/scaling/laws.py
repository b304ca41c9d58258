"""Laws fitted to columns of shares: one fit per group of points, with its residuals.

Source: P9, Figure 1: the memorized share grows log-linearly in model size, repetitions and context.
"""

from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from mematlas.analyses.frames.memorized_shares import ROLE_DESCRIPTION
from mematlas.analyses.frames.proportions import EFFECTIVE_ROWS, with_effective_rows
from mematlas.analyses.frames.repetition_samples import (
    CELL_KEYS,
    COUNTS_RECIPE,
    BucketShares,
    sample_shares,
    shares_by_repetitions,
)
from mematlas.stats.regression.curves import (
    POINTS_FOR_INTERVAL,
    CurveComparison,
    LogLinearFit,
    compare_curves,
    fit_log_linear,
    lack_of_fit,
)

#: the columns that identify the points of one fit, in every table of laws; null where the fit goes across their values
GROUP_COLUMNS: Final = {
    "law": "size: share against parameters; repetitions: against repetitions; context: against context",
    "sample": "uniform: share of all rows; duplicate-normalised: mean of the buckets' shares; buckets: one by one",
    "model": "label of the model; null where the law goes across models",
    "role": ROLE_DESCRIPTION,
    "context": "tokens of the prompt; null where the law goes across contexts",
    "continuation": "tokens to recite",
}
LAW_COLUMNS: Final = {
    **GROUP_COLUMNS,
    "points": f"points fitted, each weighing its {EFFECTIVE_ROWS}",
    "slope": "change of the share per tenfold of the law's quantity",
    "slope_error": "its standard error; null below 3 points, and without scatter",
    "slope_lower": "lower end of its 95 % interval (Student's t)",
    "slope_upper": "upper end of it",
    "intercept": "share at one parameter, repetition or token, if the line went on that far",
    "r2": "explained share of the variance",
    "lack_of_fit": "p of the shares lying on the line up to chance (chi-squared, at the effective rows); "
    "null for the duplicate-normalised sample, whose points are no shares of rows, and below 3 points",
    "line_error": "root mean squared error of the line on points left out one at a time, as a share",
    "saturating_error": "the same of x^b / (k^b + x^b), which levels off at 0 and 1",
    "better": "the law with the smaller of both errors",
    "reason": "why a number is null",
}
RESIDUAL_COLUMNS: Final = {
    **GROUP_COLUMNS,
    "x": "parameters, repetitions or tokens of context",
    "rows": "rows behind the point",
    "effective_rows": f"{EFFECTIVE_ROWS}; of the uniform share where the sample is duplicate-normalised",
    "share": "memorized share",
    "fitted": "share on the line",
    "residual": "share - fitted",
}


LAWS_RECIPE: Final = f"{COUNTS_RECIPE}answer = recount.fit_laws(recount.law_points(counts))"
RESIDUALS_RECIPE: Final = f"{COUNTS_RECIPE}answer = recount.law_residuals(recount.law_points(counts))"
_NORMALISED: Final = "duplicate-normalised"
_SAMPLES: Final = {"uniform": "uniform_share", _NORMALISED: "normalised_share"}


def law_points(counts: pl.DataFrame) -> pl.DataFrame:
    """The points of every law: GROUP_COLUMNS, x (parameters, repetitions or tokens of context), share, rows,
    effective_rows (what the point weighs: those of its share, or of the uniform share of its rows).

    The law in size has no points where the size of a model of the family is unknown.

    Args:
        counts: as for `sample_shares`, with repetitions (geometric mean over the bucket's rows).
    """
    return points_of_shares(BucketShares(shares_by_repetitions(counts), sample_shares(counts)))


def points_of_shares(bucket_shares: BucketShares) -> pl.DataFrame:
    """As `law_points`, from the shares of the counts."""
    shares = with_effective_rows(bucket_shares.samples, "memorized")
    # the last digits of a mean depend on the order of its rows, and a step-like fit depends on these digits
    rounded = pl.col("repetitions").round_sig_figs(12)
    buckets = with_effective_rows(bucket_shares.buckets.with_columns(rounded), "memorized")
    sizes_known = shares.filter(pl.col("role") != "control model")["parameters"].is_not_null().all()
    laws = [
        *(
            ("size", sample, shares, "parameters", share, CELL_KEYS)
            for sample, share in _SAMPLES.items()
            if sizes_known
        ),
        ("repetitions", "buckets", buckets, "repetitions", "share", ("model", *CELL_KEYS)),
        *(
            ("context", sample, shares, "context", share, ("model", "role", "continuation"))
            for sample, share in _SAMPLES.items()
        ),
    ]
    schema = _schema(GROUP_COLUMNS | dict.fromkeys(("x", "share", "rows", "effective_rows"), ""))
    frames = []
    for law, sample, points, x, share, by in laws:
        columns = {"law": pl.lit(law), "sample": pl.lit(sample), **{name: pl.col(name) for name in by}}
        columns |= {
            "x": pl.col(x),
            "share": pl.col(share),
            "rows": pl.col("rows"),
            "effective_rows": pl.col("effective_rows"),
        }
        known = points.drop_nulls([x, share]).filter(pl.col("rows") > 0)
        frames.append(
            known.select(columns.get(name, pl.lit(None)).cast(dtype).alias(name) for name, dtype in schema.items())
        )
    return pl.concat(frames)


def fit_laws(points: pl.DataFrame) -> pl.DataFrame:
    """Fit a law to the `points` (see `law_points`) of each group with two or more values of x; columns LAW_COLUMNS."""
    records = []
    for keys, group in _groups(points):
        data = (group["x"], group["share"], group["effective_rows"])
        p = None if keys["sample"] == _NORMALISED else lack_of_fit(*data)
        records.append(keys | _law_numbers(fit_log_linear(*data), p, compare_curves(*data)))
    return pl.DataFrame(records, schema=_schema(LAW_COLUMNS), orient="row")


def law_residuals(points: pl.DataFrame) -> pl.DataFrame:
    """The points of the fits of `fit_laws`, with the fitted shares; columns RESIDUAL_COLUMNS."""
    frames = [pl.DataFrame(schema=_schema(RESIDUAL_COLUMNS))]
    for _, group in _groups(points):
        fit = fit_log_linear(group["x"], group["share"], group["effective_rows"])
        residual = pl.Series("residual", fit.residuals, dtype=pl.Float64)
        fitted = (pl.col("share") - residual).alias("fitted")
        frames.append(group.with_columns(fitted, residual).select(*RESIDUAL_COLUMNS))
    return pl.concat(frames)


def _groups(points: pl.DataFrame) -> Iterator[tuple[dict[str, Any], pl.DataFrame]]:
    """The values of GROUP_COLUMNS and the points of each fit, sorted by x, since the order affects its last digits."""
    for key, group in points.group_by(list(GROUP_COLUMNS), maintain_order=True):
        if group["x"].n_unique() > 1:
            yield dict(zip(GROUP_COLUMNS, key, strict=True)), group.sort("x")


def _law_numbers(fit: LogLinearFit, lack_of_fit_p: float | None, comparison: CurveComparison) -> dict[str, Any]:
    no_interval = None
    if fit.count < POINTS_FOR_INTERVAL:
        no_interval = f"an interval and R2 need {POINTS_FOR_INTERVAL} points"
    elif fit.lower is None:
        no_interval = "all shares are equal: no interval, no R2"
    return {
        "points": fit.count,
        "slope": fit.slope,
        "slope_error": fit.standard_error,
        "slope_lower": fit.lower,
        "slope_upper": fit.upper,
        "intercept": fit.intercept,
        "r2": fit.r2,
        "lack_of_fit": lack_of_fit_p,
        "line_error": comparison.log_linear,
        "saturating_error": comparison.saturating,
        "better": comparison.better,
        "reason": "; ".join(reason for reason in (no_interval, comparison.reason) if reason) or None,
    }


def _schema(columns: dict[str, str]) -> dict[str, Any]:
    types: dict[str, Any] = dict.fromkeys(("law", "sample", "model", "role", "better", "reason"), pl.String)
    types |= dict.fromkeys(("context", "continuation"), pl.Int32)
    types |= dict.fromkeys(("points", "rows"), pl.Int64)
    return {name: types.get(name, pl.Float64) for name in columns}
