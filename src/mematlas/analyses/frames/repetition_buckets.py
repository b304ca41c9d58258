"""Buckets of repetitions: bucket n contains rows seen r times with 2^(n/4) <= r < 2^((n+1)/4), four per doubling.

Source: P9 (a). The edges are exact: n = floor(4 log2 r) is one less than the number of binary digits of r^4. Some
low buckets contain no whole number (1, 2, 3, 5 and 7) and are left out here.
"""

from math import isqrt
from typing import Final

import polars as pl

P9_ROWS: Final = 1000  # rows that P9 drew per bucket and length
FEW_ROWS: Final = 30  # our choice: a bucket with fewer rows is flagged

BUCKET_COLUMNS: Final = {
    "bucket": "n of the bucket [2^(n/4), 2^((n+1)/4))",
    "fewest": "fewest repetitions that fall into it",
    "most": "most repetitions that fall into it",
    "rows": "training rows of the study in it",
    "shortfall": f"rows that lack to the {P9_ROWS:,} which P9 drew a bucket",
    "few": f"whether it has fewer than {FEW_ROWS} rows (our choice), so that its share is hardly known",
}


BUCKETS_RECIPE: Final = f"""\
counts = recount.with_bucket(study.rows().filter(role="train")).group_by("bucket").agg(rows=pl.len().cast(int))
spans = recount.bucket_spans(min(counts["bucket"]), max(counts["bucket"])).join(counts, on="bucket", how="left")
answer = spans.with_columns(pl.col("rows").fill_null(0), shortfall=({P9_ROWS} - pl.col("rows").fill_null(0)).clip(0))"""


def bucket(repetitions: int) -> int:
    """The bucket of a number of repetitions.

    Raises:
        ValueError: repetitions is below 1.
    """
    if repetitions < 1:
        raise ValueError(f"only rows seen at least once fall into a bucket, not {repetitions} times")
    return (repetitions**4).bit_length() - 1


def bucket_range(number: int) -> tuple[int, int] | None:
    """The fewest and the most repetitions of a bucket; None for a bucket that contains no whole number."""
    start, stop = _fourth_root(2**number), _fourth_root(2 ** (number + 1))
    return (start, stop - 1) if start < stop else None


def _fourth_root(value: int) -> int:
    """The smallest whole number whose fourth power is at least `value`."""
    root = isqrt(isqrt(value))
    return root + (root**4 < value)


def with_bucket(frame: pl.DataFrame) -> pl.DataFrame:
    """Add `bucket`; rows whose `repetitions` is unknown or 0 are left out."""
    return frame.with_columns(bucket_column(frame["repetitions"])).drop_nulls("bucket")


def bucket_column(repetitions: pl.Series) -> pl.Series:
    """The `bucket` of each number of repetitions; null where it is unknown or 0."""
    values = [value for value in repetitions.unique() if value]
    buckets = [bucket(value) for value in values]
    return (
        repetitions.cast(pl.Int64).replace_strict(values, buckets, default=None, return_dtype=pl.Int64).alias("bucket")
    )


def bucket_spans(lowest: int, highest: int) -> pl.DataFrame:
    """The buckets from `lowest` to `highest` that contain a whole number: bucket, fewest, most (repetitions)."""
    records = [(number, *ends) for number in range(lowest, highest + 1) if (ends := bucket_range(number))]
    return pl.DataFrame(records, schema=dict.fromkeys(("bucket", "fewest", "most"), pl.Int64), orient="row")


def shortfall(rows: pl.LazyFrame) -> pl.DataFrame:
    """The number of training rows in each bucket, and how many fewer than in P9; columns BUCKET_COLUMNS."""
    counts = rows.filter(role="train").group_by("repetitions").agg(pl.len().cast(pl.Int64).alias("rows")).collect()
    bucket_rows = with_bucket(counts).group_by("bucket").agg(pl.col("rows").sum())
    numbers = bucket_rows["bucket"].to_list()
    spans = bucket_spans(min(numbers, default=0), max(numbers, default=-1))
    rows_or_zero = pl.col("rows").fill_null(0)
    return (
        spans.join(bucket_rows, on="bucket", how="left", maintain_order="left")
        .with_columns(
            rows_or_zero,
            (P9_ROWS - rows_or_zero).clip(lower_bound=0).alias("shortfall"),
            (rows_or_zero < FEW_ROWS).alias("few"),
        )
        .select(*BUCKET_COLUMNS)
    )
