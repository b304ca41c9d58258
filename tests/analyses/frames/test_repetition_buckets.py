import polars as pl
import pytest

from mematlas.analyses.frames.repetition_buckets import bucket, bucket_range, shortfall, with_bucket


@pytest.mark.parametrize(
    ("repetitions", "number"),
    [(1, 0), (2, 4), (3, 6), (4, 8), (5, 9), (6, 10), (7, 11), (8, 12), (9, 12), (10, 13), (724, 37), (725, 38)],
)
def test_repetitions_fall_into_their_bucket(repetitions, number):
    assert bucket(repetitions) == number


@pytest.mark.parametrize("power", range(0, 60, 4))
def test_edges_are_half_open_and_exact(power):
    """2^(n/4) is whole where 4 divides n: it opens bucket n, and one less is still in bucket n - 1."""
    edge = 2 ** (power // 4)
    assert bucket(edge) == power
    assert edge == 1 or bucket(edge - 1) < power


def test_the_range_of_a_bucket_is_that_of_the_numbers_in_it():
    numbers = {}
    for repetitions in range(1, 2000):
        numbers.setdefault(bucket(repetitions), []).append(repetitions)
    for number in range(40):
        assert bucket_range(number) == ((numbers[number][0], numbers[number][-1]) if number in numbers else None)


@pytest.mark.parametrize("repetitions", [0, -3])
def test_a_row_that_was_never_seen_has_no_bucket(repetitions):
    with pytest.raises(ValueError, match="at least once"):
        bucket(repetitions)


def test_rows_of_unknown_repetitions_are_left_out():
    frame = pl.DataFrame({"repetitions": [8, None, 0, 9, 2], "row": [0, 1, 2, 3, 4]})
    result = with_bucket(frame)
    assert result.select("row", "bucket").rows() == [(0, 12), (3, 12), (4, 4)]


def test_the_shortfall_of_each_bucket_is_computed_including_empty_buckets():
    repetitions = [2] * 1003 + [5] * 2 + [None, 0] + [1]
    roles = ["train"] * (len(repetitions) - 1) + ["control"]
    result = shortfall(pl.LazyFrame({"repetitions": repetitions, "role": roles}))
    assert result.rows() == [
        (4, 2, 2, 1003, 0, False),
        (6, 3, 3, 0, 1000, True),
        (8, 4, 4, 0, 1000, True),
        (9, 5, 5, 2, 998, True),
    ]


def test_without_repetitions_there_are_no_buckets():
    rows = pl.LazyFrame({"repetitions": [None], "role": ["train"]}, schema={"repetitions": pl.Int64, "role": pl.String})
    assert shortfall(rows).height == 0
