"""Buckets of repetitions: bucket n holds rows seen r times with 2^(n/4) <= r < 2^((n+1)/4), four a doubling.

Source: P9 (a). The edges are exact: n = floor(4 log2 r) is one less than the number of binary digits of r^4. Some
low buckets hold no whole number (1, 2, 3, 5 and 7) and are left out here.
"""

from math import isqrt
from typing import Final

import polars as pl

WANTED: Final = 1000  # rows a bucket and length that P9 drew
FEW: Final = 30  # our choice: a bucket of fewer rows is flagged

COLUMNS: Final = {
    "bucket": "n of the bucket [2^(n/4), 2^((n+1)/4))",
    "fewest": "fewest repetitions that fall into it",
    "most": "most repetitions that fall into it",
    "rows": "training rows of the study in it",
    "shortfall": f"rows that lack to the {WANTED:,} which P9 drew a bucket",
    "few": f"whether it has fewer than {FEW} rows (our choice), so that its share is hardly known",
}


RECIPE: Final = f"""\
counts = recount.with_bucket(study.rows().filter(role="train")).group_by("bucket").agg(rows=pl.len().cast(int))
spans = recount.bucket_spans(min(counts["bucket"]), max(counts["bucket"])).join(counts, on="bucket", how="left")
answer = spans.with_columns(pl.col("rows").fill_null(0), shortfall=({WANTED} - pl.col("rows").fill_null(0)).clip(0))"""


def bucket(repetitions: int) -> int:
    """The bucket of a number of repetitions.

    Raises:
        ValueError: repetitions is below 1.
    """
    if repetitions < 1:
        raise ValueError(f"only rows seen at least once fall into a bucket, not {repetitions} times")
    return (repetitions**4).bit_length() - 1


def members(number: int) -> tuple[int, int] | None:
    """The fewest and the most repetitions that fall into a bucket; None for a bucket without a whole number."""
    first, after = _fourth_root(2**number), _fourth_root(2 ** (number + 1))
    return (first, after - 1) if first < after else None


def _fourth_root(value: int) -> int:
    """The smallest whole number whose fourth power is at least `value`."""
    root = isqrt(isqrt(value))
    return root + (root**4 < value)


def with_bucket(frame: pl.DataFrame) -> pl.DataFrame:
    """Add `bucket`; rows whose `repetitions` is unknown or 0 are left out."""
    return frame.with_columns(buckets_of(frame["repetitions"])).drop_nulls("bucket")


def buckets_of(repetitions: pl.Series) -> pl.Series:
    """`bucket` of each number of repetitions; null where it is unknown or 0."""
    seen = [value for value in repetitions.unique() if value]
    found = [bucket(value) for value in seen]
    return repetitions.cast(pl.Int64).replace_strict(seen, found, default=None, return_dtype=pl.Int64).alias("bucket")


def bucket_spans(lowest: int, highest: int) -> pl.DataFrame:
    """The buckets from `lowest` to `highest` that hold a whole number: bucket, fewest, most (repetitions)."""
    lines = [(number, *span) for number in range(lowest, highest + 1) if (span := members(number))]
    return pl.DataFrame(lines, schema=dict.fromkeys(("bucket", "fewest", "most"), pl.Int64), orient="row")


def shortfall(rows: pl.LazyFrame) -> pl.DataFrame:
    """What each bucket between the lowest and the highest of the training rows holds and lacks (columns: COLUMNS)."""
    counts = rows.filter(role="train").group_by("repetitions").agg(pl.len().cast(pl.Int64).alias("rows")).collect()
    held = with_bucket(counts).group_by("bucket").agg(pl.col("rows").sum())
    numbers = held["bucket"].to_list()
    spans = bucket_spans(min(numbers, default=0), max(numbers, default=-1))
    here = pl.col("rows").fill_null(0)
    return (
        spans.join(held, on="bucket", how="left", maintain_order="left")
        .with_columns(here, (WANTED - here).clip(lower_bound=0).alias("shortfall"), (here < FEW).alias("few"))
        .select(*COLUMNS)
    )
