"""The records of `lines`, `pairs`, `steps` and `memorizers` for synthetic studies."""

import polars as pl
import pytest

from mematlas.analyses import recount
from tests.analyses.study_folders import write_study
from tests.analyses.synthetic_tables import tables

CELL, LONG = (32, 32), (32, 64)
VERBATIM = {
    "small": {CELL: [32, 0, 3, None], LONG: [32, 0, 3, None]},
    "large": {CELL: [32, 32, 5, None], LONG: [64, 40, 5, None]},
}
MATCHES = {
    "small": {CELL: [32, 8, 16, None], LONG: [48, 8, 16, None]},
    "large": {CELL: [32, 32, 31, None], LONG: [64, 63, 31, None]},
}
ROLES, REPETITIONS = ["train", "train", "control", "train"], [1, 16, 16, None]


@pytest.fixture
def study(tmp_path):
    synthetic = tables(MATCHES, verbatim=VERBATIM, roles=ROLES, repetitions=REPETITIONS, parameters={"small": 0})
    return write_study(synthetic, tmp_path)


def test_a_record_has_the_properties_of_score_row_and_model(study):
    records = recount.lines(study, context=32, continuation=32).sort("model", "row", descending=[True, False])
    assert records["model"].to_list() == ["small"] * 3 + ["large"] * 3
    assert records["row"].to_list() == [0, 1, 2] * 2
    assert records["recited"].to_list() == [True, False, False, True, True, False]
    assert records["score"].to_list() == [1.0, 0.25, 0.5, 1.0, 1.0, 31 / 32]
    assert records["level"].to_list() == ["very high", "low", "medium", "very high", "very high", "very high"]
    assert records["role"].to_list() == ["train", "train", "control"] * 2
    assert records["bucket"].to_list() == [0, 16, None] * 2
    assert records["parameters"].to_list() == [None] * 3 + [100] * 3
    assert records["common"].to_list() == [True, True, False] * 2


def test_only_the_requested_records_are_returned(study):
    assert recount.lines(study).height == 12
    assert recount.lines(study, role="control", model="large").select("row", "continuation").rows() == [
        (2, 32),
        (2, 64),
    ]


def test_a_control_model_has_a_role_of_its_own_and_is_in_no_pair(tmp_path):
    study = write_study(tables(MATCHES, roles=ROLES, control_models=("small",)), tmp_path)
    assert set(recount.lines(study, model="small")["role"]) == {"control model"}
    assert recount.pairs(study, "model").height == 0
    assert recount.lines(study, model="large", role="train")["common"].all()


def test_of_checkpoints_the_last_of_each_size_is_the_latest(tmp_path):
    sizes, steps = {"early": 5, "late": 5, "other": 9}, {"early": 1, "late": 2, "other": 2}
    synthetic = tables({name: {CELL: [32]} for name in sizes}, parameters=sizes, steps=steps)
    assert set(recount.lines(write_study(synthetic, tmp_path), latest=True)["model"]) == {"late", "other"}


def test_without_graded_scores_records_distinguish_recited_from_not_recited(tmp_path):
    synthetic = tables({"m": {CELL: [32, None]}}, verbatim={"m": {CELL: [32, 7]}}, depth="verbatim")
    records = recount.lines(write_study(synthetic, tmp_path)).sort("row")
    assert records.select("recited", "level", "score").rows() == [(True, "M = 1", None), (False, "M < 1", None)]


def test_where_only_recited_rows_were_published_the_others_are_not_recited(tmp_path):
    synthetic = tables({"a": {CELL: [32, None, None]}, "b": {CELL: [32, 32, None]}}, complete=False)
    study = write_study(synthetic, tmp_path)
    records = recount.lines(study).sort("model", "row")
    assert records["recited"].to_list() == [True, False, False, True, True, False]
    assert records["level"].to_list() == ["M = 1", "M < 1", "M < 1", "M = 1", "M = 1", "M < 1"]
    assert recount.pairs(study, "model").sort("model", "row").select(
        "model", "row", "both", "gained", "lost"
    ).rows() == [
        ("a", 0, True, False, False),
        ("a", 1, False, True, False),
        ("b", 0, True, False, False),
        ("b", 1, False, False, True),
    ]
    assert recount.memorizers(study).select("row", "members").sort("row").rows() == [(0, 2), (1, 1)]


def test_pairs_across_contexts_and_continuations_ascend(study):
    records = recount.pairs(study, "continuation").sort("model", "row")
    assert set(records.select("continuation", "continuation_2").rows()) == {(32, 64)}
    assert records.select("model", "row", "both", "gained", "lost").rows() == [
        ("large", 0, True, False, False),
        ("large", 1, False, False, True),
        ("small", 0, False, False, True),
        ("small", 1, False, False, False),
    ]
    assert recount.pairs(study, "context").height == 0
    with pytest.raises(ValueError, match="model, context or continuation"):
        recount.pairs(study, "row")


def test_rows_stay_memorized_as_long_as_every_continuation_is(tmp_path):
    cells = {(32, length): matches for length, matches in ((16, [16, 16, 3]), (32, [32, 9, 32]), (64, [64, 64, None]))}
    records = recount.firm_lines(recount.lines(write_study(tables({"m": cells}), tmp_path))).sort("row", "continuation")
    assert records["row"].to_list() == [0] * 3 + [1] * 3, "row 2 was not scored at 64"
    assert records["shortest"].to_list() == [16] * 6
    assert records["surviving"].to_list() == [True, True, True, True, False, False]
    assert records["memorized_at_shortest"].all()


def test_steps_give_each_models_neighbour_and_memorizers_the_reciting_models(tmp_path):
    matches = {"m0": {CELL: [32, 0]}, "m1": {CELL: [32, 32]}, "m2": {CELL: [0, 32]}}
    study = write_study(tables(matches), tmp_path)
    assert recount.steps(study).select("step", "model", "model_2", "next").rows() == [
        (1, "m0", "m1", True),
        (2, "m1", "m2", True),
        (3, "m2", "m1", False),
    ]
    records = recount.memorizers(study).sort("row")
    assert records["models"].to_list() == [["m0", "m1"], ["m1", "m2"]]
    assert records.select("members", "of_members", "last", "last_name").rows() == [
        (2, 3, False, "largest"),
        (2, 3, True, "largest"),
    ]


@pytest.mark.parametrize(("name", "column"), [("lines", "recited"), ("pairs", "compute")])
def test_every_column_is_documented(study, name, column):
    records = recount.pairs(study, "model") if name == "pairs" else recount.lines(study)
    documentation = f"{recount.lines.__doc__} {recount.pairs.__doc__}"
    assert column in records.columns
    assert [name for name in records.columns if name.removesuffix("_2") not in documentation] == []


def test_the_share_of_an_unknown_number_is_null():
    frame = pl.DataFrame({"hits": [None, 1, 0], "rows": [4, None, 0]}, schema=dict.fromkeys(("hits", "rows"), pl.Int64))
    records = recount.with_shares(frame, ["hits"]).select("^hits_share.*$")
    assert records.rows() == [(None, None, None)] * 3
