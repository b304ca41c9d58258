"""Metrics of teacher-forced hits: extraction strength and memory unit length."""

import polars as pl
import pytest

from mematlas.metrics import METRICS


def metric_values(
    metric: str, *hits: list[int | None] | None, context: int = 2, continuation: int = 4
) -> list[float | None]:
    """The metric of rows with these hits; the first token has no hit."""
    lists = [None if row is None else [None, *(hit if hit is None else bool(hit) for hit in row)] for row in hits]
    schema = {"hit": pl.List(pl.Boolean), "context": pl.Int32, "continuation": pl.Int32}
    frame = pl.DataFrame({"hit": lists, "context": context, "continuation": continuation}, schema=schema)
    return frame.select(METRICS.load(metric).expression().alias("value"))["value"].to_list()


def test_extraction_strength_counts_the_hits_at_the_end_of_the_continuation():
    rows = ([0, 0, 1, 1, 1], [0, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 0, 0, 1], [1, 1, 1, 0, 1])
    assert metric_values("extraction_strength", *rows) == [0.75, 1, 0, 0.25, 0.25]


def test_extraction_strength_of_a_row_without_a_hit_is_zero_not_one_over_its_length():
    assert metric_values("extraction_strength", [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]) == [0, 0]


def test_extraction_strength_counts_beyond_255():
    hits = [0, 0, *[1] * 298]
    assert metric_values("extraction_strength", hits, context=1, continuation=300) == [298 / 300]


def test_memory_unit_length_is_the_papers_example():
    assert metric_values("memory_unit_length", [1, 1, 0, 1, 1, 1, 0], context=3, continuation=5) == [2.5]


def test_memory_units_run_from_the_second_token_to_the_last():
    rows = ([1, 0, 1, 0, 1], [0, 0, 0, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 1, 0, 1])
    assert metric_values("memory_unit_length", *rows) == [1, 2, 5, 3, 1.5]


def test_a_row_without_a_hit_has_no_memory_unit():
    assert metric_values("memory_unit_length", [0, 0, 0, 0, 0], [0, 0, 1, 0, 0]) == [None, 1]


@pytest.mark.parametrize("metric", ["extraction_strength", "memory_unit_length"])
def test_a_row_without_any_hits_recorded_has_no_number(metric):
    assert metric_values(metric, []) == [None]


@pytest.mark.parametrize("metric", ["extraction_strength", "memory_unit_length"])
def test_a_row_with_missing_hits_has_no_number(metric):
    assert metric_values(metric, [1, 1, None, 1, 1], [1, 1, 1], None, [1, 1, 1, 1, 1]) == [
        None,
        None,
        None,
        {"extraction_strength": 1, "memory_unit_length": 5}[metric],
    ]


def test_a_missing_hit_in_the_context_matters_only_to_memory_unit_length():
    assert metric_values("extraction_strength", [None, 1, 1, 1, 1]) == [1]
    assert metric_values("memory_unit_length", [None, 1, 1, 1, 1]) == [None]
