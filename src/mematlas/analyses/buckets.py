"""Buckets of repetitions: bucket n holds rows seen r times with 2^(n/4) <= r < 2^((n+1)/4), four a doubling.

Source: P9 (a). The edges are exact: n = floor(4 log2 r) is one less than the number of binary digits of r^4. Some
low buckets hold no whole number (1, 2, 3, 5 and 7) and are left out here.
"""

from math import isqrt
from typing import Any, Final

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
    kept = frame.filter(pl.col("repetitions") >= 1)
    seen = kept["repetitions"].unique().to_list()
    of = pl.DataFrame(
        {"repetitions": seen, "bucket": [bucket(value) for value in seen]},
        schema={"repetitions": kept.schema["repetitions"], "bucket": pl.Int64},
    )
    return kept.join(of, on="repetitions", how="left", maintain_order="left")


def shortfall(rows: pl.LazyFrame) -> pl.DataFrame:
    """What each bucket between the lowest and the highest of the training rows holds and lacks (columns: COLUMNS)."""
    counts = rows.filter(role="train").group_by("repetitions").agg(pl.len().cast(pl.Int64).alias("rows")).collect()
    held = dict(with_bucket(counts).group_by("bucket").agg(pl.col("rows").sum()).iter_rows())
    lines = [
        (number, *span, count := held.get(number, 0), max(0, WANTED - count), count < FEW)
        for number in range(min(held, default=0), max(held, default=-1) + 1)
        if (span := members(number))
    ]
    schema: dict[str, Any] = {name: pl.Boolean if name == "few" else pl.Int64 for name in COLUMNS}
    return pl.DataFrame(lines, schema=schema, orient="row")
