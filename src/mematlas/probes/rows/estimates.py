"""Means, medians and shares over the rows of a class, with intervals that take rows which share text as one."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mematlas.probes.rows.opening import CLASSES
from mematlas.stats.estimates.averages import means, medians
from mematlas.stats.estimates.clustered import cluster_sums, clustered_shares, sum_by_label
from mematlas.stats.estimates.mean_scores import INTERVAL as JOINED
from mematlas.stats.estimates.mean_scores import MIN_ROWS, mean_score_of_rows

if TYPE_CHECKING:
    import polars as pl

#: What an interval is, for the tables' columns.
INTERVAL: Final = "95 % interval (Student's t over rows, those that share 13 tokens being one)"
SCORE_INTERVAL: Final = f"interval ({JOINED}; rows that share 13 tokens being one; null below {MIN_ROWS})"

_Estimate = Callable[["pl.DataFrame", str], tuple[float, float, float]]


def class_means(
    records: "pl.DataFrame", value: str, by: Sequence[str], classes: Sequence[str] = CLASSES
) -> "pl.DataFrame":
    """The mean of a column for each class and value of `by`.

    Args:
        records: class, cluster, `value` and `by`, one record a row (and value of `by`). Null values are left out.
        classes: names of the classes, in their order.

    Returns:
        class, by, rows, value, value_lower, value_upper; ordered by class, then by `by`.
    """
    return _by_class(records, value, by, _mean, classes)


def class_scores(records: "pl.DataFrame", value: str, by: Sequence[str]) -> "pl.DataFrame":
    """The mean of a column of numbers from 0 to 1, such as shares of tokens, as `class_means`.

    Its interval stays from 0 to 1 (see `stats.estimates.mean_scores`), and is null for fewer than 12 rows.
    """
    return _by_class(records, value, by, _score)


def class_changes(records: "pl.DataFrame", value: str, by: Sequence[str]) -> "pl.DataFrame":
    """The mean of a column of numbers from -1 to 1, such as differences of shares, as `class_means`, with the interval
    cut there."""
    import polars as pl

    return class_means(records, value, by).with_columns(pl.col(f"{value}_lower", f"{value}_upper").clip(-1, 1))


def class_medians(records: "pl.DataFrame", value: str, by: Sequence[str] = ()) -> "pl.DataFrame":
    """The median, as `class_means`."""
    return _by_class(records, value, by, _median)


def class_shares(records: "pl.DataFrame", value: str, by: Sequence[str]) -> "pl.DataFrame":
    """The share of records whose `value` is true, as `class_means`, with Wilson's interval."""
    return _by_class(records, value, by, clustered_share)


def _mean(group: "pl.DataFrame", value: str) -> tuple[float, float, float]:
    estimate = means(group[value].to_numpy()[:, None], clusters=group["cluster"].to_numpy())
    return float(estimate.estimate[0]), float(estimate.lower[0]), float(estimate.upper[0])


def _score(group: "pl.DataFrame", value: str) -> tuple[float, float, float]:
    score = mean_score_of_rows(group[value].to_numpy(), group["cluster"].to_numpy())
    mean, lower, upper = (np.nan if end is None else end for end in (score.estimate, score.lower, score.upper))
    return mean, lower, upper


def _median(group: "pl.DataFrame", value: str) -> tuple[float, float, float]:
    estimate = medians(group[value].to_numpy()[:, None], clusters=group["cluster"].to_numpy())
    return float(estimate.estimate[0]), float(estimate.lower[0]), float(estimate.upper[0])


def clustered_share(group: "pl.DataFrame", value: str) -> tuple[float, float, float]:
    """The share of records whose `value` is true, with the ends of its interval; NaN without records."""
    if group.is_empty():
        return np.nan, np.nan, np.nan
    labels = np.unique(group["cluster"].to_numpy(), return_inverse=True)[1]
    hits = np.stack([group[value].to_numpy().astype(np.float64), np.ones(group.height)], axis=1)
    sums = sum_by_label(labels, hits)
    share = clustered_shares(cluster_sums(sums[:, 0], sums[:, 1]))
    return float(share.estimate[0]), float(share.lower[0]), float(share.upper[0])


def _by_class(
    records: "pl.DataFrame", value: str, by: Sequence[str], estimate: _Estimate, classes: Sequence[str] = CLASSES
) -> "pl.DataFrame":
    import polars as pl

    names = (value, f"{value}_lower", f"{value}_upper")
    made = [
        {
            **dict(zip(("class", *by), key, strict=True)),
            "rows": group.height,
            **dict(zip(names, estimate(group, value), strict=True)),
        }
        for key, group in records.drop_nulls(value).group_by("class", *by, maintain_order=True)
    ]
    schema: dict[str, Any] = {"class": pl.Enum(classes), **{name: records.schema[name] for name in by}}
    schema |= {"rows": pl.Int64, **dict.fromkeys(names, pl.Float64)}
    frame = pl.DataFrame(made, schema=schema)
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None)).sort("class", *by)
