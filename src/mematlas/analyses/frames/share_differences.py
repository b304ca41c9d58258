"""Differences of two shares counted in separate groups of rows, as columns of a frame."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.stats.estimates.differences import ShareDifference, clustered_difference_of_shares, difference_of_shares

#: The meaning of the columns that `share_differences` adds beside the difference and its interval.
CLUSTERS_COLUMN: Final = {
    "clusters": "clusters (documents, joined where they share 13 tokens; else rows) of all of them"
}


def share_differences(
    counts: pl.DataFrame, hits: str, keys: Sequence[str], group: str, first: str, other: str
) -> pl.DataFrame:
    """The share of `hits` among rows of the group `first` minus that of the group `other`, with its 95 % interval.

    Args:
        counts: the columns `keys`, `group`, rows and `hits`; with a column cluster each record has the counts of one
            cluster, and the interval is clustered (`mematlas.stats.estimates.differences`); without it, one record for
            each of `keys` and `group`, every row is taken as independent.
        keys: the columns that identify a difference; only those with rows of both groups have one.

    Returns:
        `keys`, rows, `hits`, other_rows, other_`hits`, clusters, difference, difference_lower, difference_upper; null
        where unknown, in order of appearance.
    """
    unit = ["cluster"] if "cluster" in counts.columns else []
    known = counts.select(*keys, *unit, group, pl.col("rows", hits).cast(pl.Int64))
    sides = [known.filter(pl.col(group) == name).drop(group) for name in (first, other)]
    sides[1] = sides[1].rename({"rows": "other_rows", hits: f"other_{hits}"})
    joined = sides[0].join(sides[1], on=[*keys, *unit], how="full", coalesce=True, maintain_order="left_right")
    columns = ("rows", hits, "other_rows", f"other_{hits}")
    joined = joined.with_columns(pl.col(columns).fill_null(0))
    records = []
    for key, records_of_key in joined.group_by(*keys, maintain_order=True):
        # in the order of clusters, as the last digits of the interval depend on it
        ordered = records_of_key.sort(unit) if unit else records_of_key
        rows, hit, other_rows, other_hit = (ordered[name].to_numpy() for name in columns)
        sums = [int(values.sum()) for values in (rows, hit, other_rows, other_hit)]
        if sums[0] and sums[2]:
            difference = _difference(hit, rows, other_hit, other_rows, clustered=bool(unit))
            numbers = difference.estimate, difference.lower, difference.upper
            records.append((*key, *sums, difference.clusters, *numbers))
    schema: dict[str, Any] = {name: counts.schema[name] for name in keys}
    schema |= dict.fromkeys((*columns, "clusters"), pl.Int64)
    schema |= dict.fromkeys(("difference", "difference_lower", "difference_upper"), pl.Float64)
    return pl.DataFrame(records, schema=schema, orient="row")


def _difference(
    hits: np.ndarray, rows: np.ndarray, other_hits: np.ndarray, other_rows: np.ndarray, *, clustered: bool
) -> ShareDifference:
    if clustered:
        return clustered_difference_of_shares(hits, rows, other_hits, other_rows)
    return difference_of_shares((int(hits.sum()), int(rows.sum())), (int(other_hits.sum()), int(other_rows.sum())))
