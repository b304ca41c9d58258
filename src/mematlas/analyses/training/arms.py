"""Measurements taken in training (`study.schemas.probes`) as analyses read them: by arm, branch and block of rows."""

import numpy as np
import polars as pl

from mematlas.stats.estimates.averages import means


def split_names(probes: pl.DataFrame) -> pl.DataFrame:
    """`probes` with the parts of its names: group and branch of the arm (GROUP--BRANCH; branch null without one), set
    and block (SET:BLOCK; block 0 without one)."""
    arm, rows = pl.col("arm").str.splitn("--", 2), pl.col("set").str.splitn(":", 2)
    return probes.with_columns(
        arm.struct[0].alias("group"),
        arm.struct[1].alias("branch"),
        rows.struct[0].alias("set"),
        rows.struct[1].cast(pl.Int64, strict=False).fill_null(0).alias("block"),
    )


def block_means(records: pl.DataFrame, value: str, by: list[str]) -> pl.DataFrame:
    """The mean of `value` over rows, with Student's 95 % interval over blocks: by, rows, value, lower and upper.

    Records (by, block, value, n) are means over the n rows of a block. There is no interval for one block, or where all
    blocks are equal.
    """
    ordered = records.filter(pl.col(value).is_not_null()).sort(*by, "block")  # sums depend on the order
    grouped = ordered.group_by(by, maintain_order=True).agg(value, "n")
    estimates = [_mean(np.array(values), np.array(n)) for values, n in grouped.select(value, "n").iter_rows()]
    names = (value, f"{value}_lower", f"{value}_upper")
    columns = [pl.Series(name, [row[i] for row in estimates], pl.Float64) for i, name in enumerate(names)]
    rows = grouped.select(pl.col("n").list.sum().cast(pl.Int64).alias("rows"))["rows"]
    return grouped.select(by).with_columns(rows, *columns)


def _mean(values: np.ndarray, n: np.ndarray) -> tuple[float, float | None, float | None]:
    """The mean over rows: that of the blocks, each scaled by its share of the rows."""
    estimate = means((values * n / n.mean())[:, None])
    lower, upper = float(estimate.lower[0]), float(estimate.upper[0])
    bounds = (None, None) if np.isnan(lower) else (lower, upper)
    return float(estimate.estimate[0]), *bounds


def arm_parameters(models: pl.DataFrame) -> pl.DataFrame:
    """Number of weights by arm and group (arm, group, parameters), from the labels of models: ARM-step-NUMBER."""
    arm = pl.col("model").str.replace(r"-step-\d+$", "")
    known = models.select(arm.alias("arm"), pl.col("parameters").cast(pl.Int64)).filter(pl.col("parameters") > 0)
    return known.with_columns(group=pl.col("arm").str.splitn("--", 2).struct[0]).unique("arm", maintain_order=True)


def with_parameters(records: pl.DataFrame, models: pl.DataFrame, by: str) -> pl.DataFrame:
    """`records` (by, ...) with the number of weights of its arm or group; null where it is not known."""
    known = arm_parameters(models).select(by, "parameters").unique(by, keep="first", maintain_order=True)
    return records.join(known, on=by, how="left", maintain_order="left")
