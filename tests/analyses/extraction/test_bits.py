"""Bits beyond a reference model: by hand, with twins, with what each model was trained on, and nothing for a copy."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.extraction.bits.finding import ANALYSIS
from mematlas.analyses.extraction.bits.row_bits import bits_by_model, bits_by_repetitions, reference_of, row_bits_of
from tests.analyses.awkward_studies import smaller_study
from tests.analyses.synthetic_tables import tables as make_tables
from tests.analyses.synthetic_tables import with_signals

ROWS = 8
ROLES = ["train"] * 6 + ["control"] * 2


def study(codes: dict[str, list[float]], **options):
    """Rows of 4 + 4 tokens, whose 7 predicted tokens have these log2-probabilities in all: one number a row."""
    made = make_tables(
        {model: {(4, 4): [0] * ROWS} for model in codes},
        parameters=dict(zip(codes, (1000, 100), strict=False)),
        roles=ROLES,
        **options,
    )
    lists = {model: [[None, *[bits * np.log(2) / 7] * 7] for bits in of_rows] for model, of_rows in codes.items()}
    return with_signals(made, kinds=("truth",), truth_log_probability=lists)


def test_a_row_of_2_to_the_minus_40_and_2_to_the_minus_10_has_30_bits():
    tables = study({"big": [-10.0, -50, -40, -40, -40, -40, -35, -45], "ref": [-40.0] * ROWS}, control_models=("ref",))
    rows = row_bits_of(tables)
    assert rows["bits"].to_list() == pytest.approx([30, 0, 0, 0, 0, 0, 5, 0], abs=1e-5)
    assert rows["difference"].to_list() == pytest.approx([30, -10, 0, 0, 0, 0, 5, -5], abs=1e-5)
    assert rows["model"].unique().to_list() == ["big"]
    (found,) = bits_by_model(rows).to_dicts()
    assert (found["rows"], found["controls"], found["tokens"]) == (6, 2, 7)
    assert (found["bits"], found["control_bits"], found["excess"]) == pytest.approx((5, 2.5, 2.5))
    assert (found["total"], found["per_parameter"]) == pytest.approx((30, 0.03))


def test_the_reference_itself_and_a_copy_of_it_hold_nothing():
    tables = study({"copy": [-40.0] * ROWS, "ref": [-40.0] * ROWS}, control_models=("ref",))
    (found,) = bits_by_model(row_bits_of(tables)).to_dicts()
    assert (found["bits"], found["total"], found["excess"]) == (0, 0, 0)
    assert ANALYSIS.compute(tables).headline == "The model holds no clear bits of its training rows"


def test_a_twin_is_compared_with_its_own_control():
    names = (
        "a-seed0--treatment-step-9",
        "a-seed1--treatment-step-9",
        "a-seed0--control-step-9",
        "a-seed1--control-step-9",
    )
    tables = make_tables({name: {(4, 4): [0] * 3} for name in names}, control_models=names[2:])
    assert [reference_of(tables, name) for name in names[:2]] == list(names[2:])
    assert reference_of(replace(tables, control_models=names[2:3]), names[1]) == names[2], "any control, if need be"


def test_what_a_model_was_trained_on_is_taken_from_exposures():
    codes = {"big": [-10.0, -20, -40, -40, -40, -40, -40, -40], "ref": [-40.0] * ROWS}
    tables = study(codes, control_models=("ref",))
    exposures = pl.DataFrame({"model": ["big"] * 3, "row": [0, 1, 2], "times": [4, 1, 0]})
    rows = row_bits_of(replace(tables, exposures=exposures.lazy()))
    assert rows["member"].to_list() == [True, True, *[False] * 6]
    by_times = bits_by_repetitions(rows).select("repetitions", "bits").rows()
    assert by_times == [(1, pytest.approx(20, abs=1e-5)), (4, pytest.approx(30, abs=1e-5))]


def test_noise_brings_bits_to_trained_rows_and_to_others_alike():
    rng = np.random.default_rng(0)
    roles = ["train", "control"] * 200
    names = ("big", "ref")
    made = make_tables({name: {(4, 4): [0] * 400} for name in names}, roles=roles, control_models=("ref",))
    lists = {name: [[None, *(-3 + rng.normal(size=7))] for _ in range(400)] for name in names}
    tables = with_signals(made, kinds=("truth",), truth_log_probability=lists)
    (found,) = bits_by_model(row_bits_of(tables)).to_dicts()
    assert found["bits_lower"] > 1
    assert found["excess_lower"] < 0 < found["excess_upper"]
    assert ANALYSIS.compute(tables).headline == "The model holds no clear bits of its training rows"


def test_a_study_without_a_control_model_says_how_to_score_one():
    assert (
        "--control-models BASE --signals truth" in ANALYSIS.compute(with_signals(smaller_study(("s1", "s4")))).missing
    )
    assert "--control-models BASE --signals truth" in ANALYSIS.compute(smaller_study(("s1",))).missing
