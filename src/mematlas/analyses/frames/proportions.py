"""Shares with their intervals: as columns, and formatted for sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.stats.estimates.clustered import ClusterSums, clustered_shares, effective_rows

#: The meaning of the columns that `with_shares` adds for the sample size of a single share.
SAMPLE_COLUMNS: Final = {
    "clusters": "clusters that the counted rows come from: documents, joined where they share 13 tokens; else rows",
    "design_effect": "variance of the share over that of so many independent rows; 1 for independent rows",
}

#: The meaning of what `with_effective_rows` adds, for descriptions of columns.
EFFECTIVE_ROWS: Final = (
    "effective rows: as many independent rows as would give its share the same interval (about rows / design effect)"
)


def with_shares(
    frame: pl.DataFrame,
    hits: str | Sequence[str],
    count: str = "rows",
    name: str = "share",
    *,
    sums: Sequence[str] = (),
) -> pl.DataFrame:
    """Add `name`, `name`_lower and `name`_upper: hits / count with its 95 % interval, clusters and design_effect.

    Where `frame` has a column cluster, its records are the counts of clusters: hits, count and the further columns
    `sums` are summed over them, and the interval is clustered (`mematlas.stats.estimates.clustered`). Without it every
    counted row is taken as independent, and the interval is Wilson's. Shares are null where count is 0 and where hits
    or count is null. With several columns of hits, each share is named `hits`_share, its design effect
    `hits`_design_effect.

    Raises:
        ValueError: hits is not between 0 and count in some record.
    """
    if isinstance(hits, str):
        return share_columns(frame, [Share(hits, count, name)], sums)
    shares = [Share(column, count, f"{column}_share", "clusters", f"{column}_design_effect") for column in hits]
    return share_columns(frame, shares, sums)


@dataclass(frozen=True, slots=True)
class Share:
    """A share to add to a frame: the columns of hits and count, and the names of the columns to add."""

    hits: str
    count: str
    name: str = "share"
    clusters: str = "clusters"
    design_effect: str = "design_effect"


def share_columns(frame: pl.DataFrame, shares: Sequence[Share], sums: Sequence[str] = ()) -> pl.DataFrame:
    """As `with_shares`, for several shares, which may have different counts."""
    counted = list(dict.fromkeys([*(column for share in shares for column in (share.hits, share.count)), *sums]))
    if "cluster" in frame.columns:
        keys = [column for column in frame.columns if column not in (*counted, "cluster")]
        totals = [pl.when(pl.col(column).is_not_null().any()).then(pl.col(column).sum()) for column in counted]
        statistics = [expression for share in shares for expression in _cluster_sums(share)]
        records = frame.group_by(keys or pl.lit(0).alias("all"), maintain_order=True)
        frame = records.agg(*(total.alias(name) for total, name in zip(totals, counted, strict=True)), *statistics)
    else:
        frame = frame.with_columns(expression for share in shares for expression in _row_sums(share))
    for share in shares:
        earlier = frame[share.clusters] if share.clusters in frame.columns else None
        frame = _with_interval(frame, share)
        if earlier is not None:  # of a share that shares the column, and may be known where this one is not
            frame = frame.with_columns(pl.coalesce(share.clusters, earlier).alias(share.clusters))
    return frame


def several_shares(frame: pl.DataFrame, count: int) -> list[pl.DataFrame]:
    """The shares of the columns of rows named 0, 1, ... below `count` out of the column `of`, a frame for each.

    Args:
        frame: these columns, in each cluster where it has a column cluster; the others are keys.

    Returns:
        the keys, rows, of, share with its bounds, clusters and design_effect.
    """
    names = [str(number) for number in range(count)]
    keys = [column for column in frame.columns if column not in (*names, "of", "cluster")]
    shares = [Share(name, "of", f"share_{name}", f"clusters_{name}", f"design_effect_{name}") for name in names]
    wide = share_columns(frame, shares)
    columns = ("share", "clusters", "design_effect")
    return [
        wide.select(
            *keys,
            pl.col(name).alias("rows"),
            "of",
            *(pl.col(f"{column}_{name}").alias(column) for column in columns),
            *(pl.col(f"share_{name}_{end}").alias(f"share_{end}") for end in ("lower", "upper")),
        )
        for name in names
    ]


def out_of_all(counts: pl.DataFrame, *group: str) -> pl.DataFrame:
    """Complete counts of exclusive kinds of rows: a record for every kind and cluster, with `of`, the cluster's rows.

    Args:
        counts: rows (of a kind in a cluster), cluster, and the columns that name the kind; group: those of them within
            which kinds are exclusive; none means all.
    """
    keys = [name for name in counts.columns if name not in ("rows", "cluster")]
    of_clusters = counts.group_by(*group, "cluster", maintain_order=True).agg(pl.col("rows").sum().alias("of"))
    kinds = counts.select(keys).unique(maintain_order=True)
    pairs = kinds.join(of_clusters, on=group) if group else kinds.join(of_clusters, how="cross")
    complete = pairs.join(counts, on=[*keys, "cluster"], how="left", nulls_equal=True, maintain_order="left")
    return complete.with_columns(pl.col("rows").fill_null(0))


def shares_of_all(counts: pl.DataFrame, *group: str) -> pl.DataFrame:
    """`with_shares(out_of_all(counts, *group), "rows", "of")`, without a record for every kind and cluster.

    Args:
        counts: as for `out_of_all`; without cluster every row is independent. Kinds may have records without rows,
            whose cluster may be null.
        group: those of the columns within which kinds are exclusive; none means all.

    Returns:
        one record per kind, of clusters in any order: its columns, rows, of, share with its bounds, clusters,
        design_effect.
    """
    keys = [name for name in counts.columns if name not in ("rows", "cluster")]
    everything = pl.lit(0).alias("all")
    if "cluster" not in counts.columns:
        total = pl.when(pl.col("rows").is_not_null().all()).then(pl.col("rows").sum()).alias("of")
        totals = counts.group_by(*group, everything, maintain_order=True).agg(total).drop("all")
        joined = counts.join(totals, on=list(group), how="left") if group else counts.join(totals, how="cross")
        return with_shares(joined.select(*keys, "rows", "of"), "rows", "of")
    known = counts.lazy().filter(pl.col("rows") > 0)
    y, n = pl.col("rows").cast(pl.Float64), pl.col("of").cast(pl.Float64)
    of_unit = known.group_by(*group, "cluster").agg(pl.col("rows").sum().alias("of")).collect(engine="streaming")
    totals = of_unit.group_by(*group, everything).agg(
        pl.col("of").sum(), pl.len().cast(pl.Float64).alias("share:clusters"), (n * n).sum().alias("share:rows_squared")
    )
    with_totals = known.join(of_unit.lazy(), on=[*group, "cluster"], how="left")
    sums = with_totals.group_by(keys).agg(
        pl.col("rows").sum().cast(pl.Int64),
        (y * y).sum().alias("share:hits_squared"),
        (y * n).sum().alias("share:hits_times_rows"),
        pl.len().cast(pl.Float64).alias("share:with_hit"),
        (y == n).sum().cast(pl.Float64).alias("full"),
    )
    empty = counts.lazy().filter(pl.col("rows") == 0).select(keys).unique().join(sums, on=keys, how="anti")
    frame = pl.concat([sums.collect(engine="streaming"), empty.collect(engine="streaming")], how="diagonal")
    totals = totals.drop("all")
    frame = frame.join(totals, on=list(group), how="left") if group else frame.join(totals, how="cross")
    frame = frame.with_columns(pl.col("rows", "of", "full", "^share:.*$").fill_null(0))
    frame = frame.with_columns(
        pl.col("of").cast(pl.Float64).alias("share:rows"),
        y.alias("share:hits"),
        (pl.col("share:clusters") - pl.col("full")).alias("share:with_miss"),
    )
    return _with_interval(frame.select(*keys, "rows", "of", "^share:.*$"), Share("rows", "of"))


_FIELDS: Final = (
    "rows",
    "hits",
    "clusters",
    "hits_squared",
    "hits_times_rows",
    "rows_squared",
    "with_hit",
    "with_miss",
)


def _cluster_sums(share: Share) -> list[pl.Expr]:
    """The sums over clusters that the interval needs, as columns name:field."""
    y, n = (pl.col(column).cast(pl.Float64) for column in (share.hits, share.count))
    known = (y.is_not_null() & n.is_not_null()).any()
    y, n = y.fill_null(0), n.fill_null(0)
    values = (n, y, n > 0, y * y, y * n, n * n, y > 0, y < n)
    return [
        pl.when(known).then(value.sum()).cast(pl.Float64).alias(f"{share.name}:{field}")
        for field, value in zip(_FIELDS, values, strict=True)
    ]


def _row_sums(share: Share) -> list[pl.Expr]:
    """The same sums where every row is a cluster of its own."""
    y, n = (pl.col(column).cast(pl.Float64) for column in (share.hits, share.count))
    values = (n, y, n, y, y, n, y, n - y)
    known = y.is_not_null() & n.is_not_null()
    return [
        pl.when(known).then(value).alias(f"{share.name}:{field}") for field, value in zip(_FIELDS, values, strict=True)
    ]


def _with_interval(frame: pl.DataFrame, share: Share) -> pl.DataFrame:
    columns = [f"{share.name}:{field}" for field in _FIELDS]
    values = [frame[column].fill_null(0).to_numpy().astype(np.float64) for column in columns]
    if ((values[1] < 0) | (values[1] > values[0])).any():
        raise ValueError(f"{share.hits} must be between 0 and {share.count} in every record")
    known = pl.col(columns[0]).is_not_null()
    frame = with_interval_of_sums(frame, ClusterSums(*values), share.name, share.clusters, share.design_effect)
    return frame.with_columns(pl.when(known).then(share.clusters).alias(share.clusters)).drop(columns)


def with_interval_of_sums(
    frame: pl.DataFrame,
    sums: ClusterSums,
    name: str = "share",
    clusters: str = "clusters",
    design_effect: str = "design_effect",
) -> pl.DataFrame:
    """Add a share, its interval, clusters and design effect from the sums of each record; as `with_shares`."""
    result = clustered_shares(sums)
    numbers = {
        name: result.estimate,
        f"{name}_lower": result.lower,
        f"{name}_upper": result.upper,
        design_effect: result.design_effect,
    }
    series = [pl.Series(column, values, dtype=pl.Float64).fill_nan(None) for column, values in numbers.items()]
    return frame.with_columns(*series, pl.Series(clusters, sums.clusters, dtype=pl.Float64).cast(pl.Int64))


def with_effective_rows(shares: pl.DataFrame, hits: str) -> pl.DataFrame:
    """Add effective_rows to a frame of `with_shares` (`hits`, rows, clusters, design_effect); see EFFECTIVE_ROWS.

    Where the design effect is unknown, because all rows are in one cluster, it is the number of clusters.
    """
    design_effect = shares["design_effect"].fill_null(float("nan"))
    effective = effective_rows(shares[hits], shares["rows"], shares["clusters"], design_effect)
    number = pl.Series("effective_rows", effective, dtype=pl.Float64).fill_nan(None)
    return shares.with_columns(number.fill_null(shares["clusters"].cast(pl.Float64)))


def format_percent(share: Any, digits: int = 1) -> str:
    """Format a share (a number or None) for a sentence."""
    return "not measured" if share is None else f"{100 * share:.{digits}f} %"


def format_share(record: Mapping[str, Any], name: str) -> str:
    """Format the share `name` of a record of `with_shares` with its interval, for a sentence."""
    return f"{format_percent(record[name])} ({format_interval(record[f'{name}_lower'], record[f'{name}_upper'])})"


def format_interval(lower: float | None, upper: float | None, digits: int = 1) -> str:
    """Format an interval of shares for a sentence."""
    if lower is None or upper is None:
        return "no interval"
    return f"{100 * lower:.{digits}f} to {100 * upper:.{digits}f} %"
