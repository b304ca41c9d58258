import pytest

from mematlas.analyses.frames.model_series import model_series, size_name
from mematlas.analyses.frames.study_tables import Cell
from tests.analyses.synthetic_tables import tables

CELL = (32, 32)


def family(sizes, steps=None, **options):
    return tables({model: {CELL: [3]} for model in sizes}, parameters=sizes, steps=steps or {}, **options)


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        (70_426_624, "70M"),
        (405_334_016, "405M"),
        (999_800_000, "1.0B"),
        (1_414_647_808, "1.4B"),
        (2_775_208_960, "2.8B"),
        (6_857_302_016, "6.9B"),
        (11_846_072_320, "12B"),
        (137_664, "0.14M"),
        (997_000, "1.0M"),
        (9_960_000, "10M"),
        (1024, "1,024"),
        (None, "size unknown"),
    ],
)
def test_sizes_are_written_as_the_field_does(parameters, name):
    assert size_name(parameters) == name


def test_sizes_come_first_then_the_checkpoints_of_each():
    sizes = {"b2": 7 * 10**6, "a": 10**6, "b1": 7 * 10**6}
    by_size, by_step = model_series(family(sizes, {"a": 5, "b1": 1000, "b2": 2000}), Cell(*CELL))
    assert (by_size.name, by_size.models, by_size.short_names, by_size.slug) == (
        "model size",
        ("a", "b2"),
        ("1.0M", "7.0M"),
        "model-size",
    )
    assert (by_step.models, by_step.short_names) == (("b1", "b2"), ("step 1,000", "step 2,000"))
    assert (by_step.name, by_step.slug) == ("training step, 7.0M", "training-step-7-0m")
    assert by_step.ordered_by_step
    assert not by_size.ordered_by_step


def test_names_that_would_be_the_same_are_written_in_full():
    sizes = {"a1": 1_840_000, "a2": 1_840_000, "b1": 1_841_000, "b2": 1_841_000}
    all_series = model_series(family(sizes, {"a1": 1, "a2": 2, "b1": 1, "b2": 2}), Cell(*CELL))
    assert [series.name for series in all_series] == [
        "model size",
        "training step, 1,840,000",
        "training step, 1,841,000",
    ]
    assert all_series[0].short_names == ("a2", "b2")


def test_models_without_scores_in_the_cell_and_controls_are_left_out():
    study = family({"a": 10, "b": 20, "c": 30}, control_models=("b",))
    (series,) = model_series(study, Cell(*CELL))
    assert series.models == ("a", "c")
    assert model_series(study, Cell(16, 16)) == ()
