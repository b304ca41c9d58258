"""Means over the rows of a class, with intervals that take rows which share text as one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mematlas.probes.rows.opening import CLASSES
from mematlas.stats.estimates.averages import means

if TYPE_CHECKING:
    import polars as pl

#: What an interval is, for the tables' columns.
INTERVAL: Final = "95 % interval (Student's t over rows, those that share 13 tokens being one)"


def class_means(
    records: "pl.DataFrame", value: str, by: Sequence[str], classes: Sequence[str] = CLASSES
) -> "pl.DataFrame":
    """The mean of a column for each class and value of `by`.

    Args:
        records: class, cluster, `value` and `by`, one record a row (and value of `by`).
        classes: names of the classes, in their order.

    Returns:
        class, by, rows, value, value_lower, value_upper; ordered by class, then by `by`.
    """
    import polars as pl

    made = []
    for key, group in records.group_by("class", *by, maintain_order=True):
        estimate = means(group[value].to_numpy()[:, None], clusters=group["cluster"].to_numpy())
        lower, upper = float(estimate.lower[0]), float(estimate.upper[0])
        numbers = {value: float(estimate.estimate[0]), f"{value}_lower": lower, f"{value}_upper": upper}
        made.append({**dict(zip(("class", *by), key, strict=True)), "rows": group.height, **numbers})
    schema = {"class": pl.Enum(classes), **{name: records.schema[name] for name in by}, "rows": pl.Int64}
    schema |= {name: pl.Float64() for name in (value, f"{value}_lower", f"{value}_upper")}
    frame = pl.DataFrame(made, schema=schema)
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None)).sort("class", *by)
