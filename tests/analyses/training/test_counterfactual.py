"""`counterfactual`: scores made from known membership, so that every number is known in advance."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.training.counterfactual.finding import ANALYSIS, compute
from mematlas.analyses.training.counterfactual.subset_scores import subset_arrays, subset_scores_of
from mematlas.stats.counterfactual import sample_membership
from tests.analyses.synthetic_tables import tables, with_copies

CELL, MODELS, SHARE = (16, 32), 80, 0.25
#: copies of a text -> number of texts
TEXTS = {1: 40, 2: 20, 4: 10}
GROUPS = np.repeat(np.arange(70), np.repeat(list(TEXTS), list(TEXTS.values())))


def exposures_of(members: np.ndarray) -> pl.LazyFrame:
    """Records of the rows that each model was trained on only."""
    model, row = np.nonzero(members)
    return pl.DataFrame({"model": [f"m{number}" for number in model], "row": row, "times": 5}).lazy()


def study_of_subsets(members: np.ndarray, right: np.ndarray, source="text"):
    """right: shape (models, rows), right tokens of 32."""
    matches = {f"m{number}": {CELL: values.tolist()} for number, values in enumerate(right)}
    study = tables(matches, parameters=dict.fromkeys(matches, 10**5))
    rows = study.rows.with_columns(source=pl.lit(source))
    return replace(study, rows=rows, exposures=exposures_of(members))


@pytest.fixture(scope="module")
def copies():
    """A model gets all 32 tokens of a row whose text it was trained on in any copy, else 8."""
    members = sample_membership(MODELS, len(GROUPS), SHARE, 0)
    knows = np.stack([members[:, group == GROUPS].any(1) for group in GROUPS], axis=1)
    study = with_copies(study_of_subsets(members, np.where(knows, 32, 8)), GROUPS.tolist())
    return members, compute(study)


def test_the_table_of_rows_is_the_definition(copies):
    members, finding = copies
    table = finding.table("mem")
    assert table["row"].to_list() == list(range(120))
    assert table["n_in"].to_list() == members.sum(0).tolist()
    assert table["n_out"].to_list() == (MODELS - members.sum(0)).tolist()
    assert table["copies"].to_list() == [1] * 40 + [2] * 40 + [4] * 40
    np.testing.assert_allclose(table["in"], 1)
    np.testing.assert_allclose(table["mem"], 1 - table["out"])
    single = table.filter(copies=1)
    np.testing.assert_allclose(single["mem"], 0.75)
    np.testing.assert_allclose(single["simplicity"], 0.25 + 0.75 * single["n_in"] / MODELS)
    assert (single["se"] < 1e-12).all()
    assert (single["q"] < 1e-6).all()


def test_copies_follow_the_law_and_so_does_their_influence(copies):
    table = copies[1].table("by_copies")
    values = {what: table.filter(what=what).sort("copies") for what in table["what"].unique()}
    measured, predicted = values["measured"], values["predicted"]
    np.testing.assert_allclose(predicted["value"], [0.75, 0.75 * 0.75, 0.75 * 0.75**3], rtol=0.01)
    assert measured["groups"].to_list() == [40, 20, 10]
    distance = np.abs(measured["value"] - predicted["value"])
    assert (distance <= 3 * measured["error"] + 1e-9).all()
    influence = values["influence on the other copies"]
    assert (np.abs(influence["value"] - measured["value"][1:]) <= 3 * measured["error"][1:]).all()


def test_copies_are_the_influences_that_are_listed(copies):
    table = copies[1].table("influence")
    assert table["tested"][0] == 120 * 119
    found = table.filter(pl.col("q") <= 0.05)
    assert (found["copy"] == "yes").all()
    assert found.filter(pl.col("source") < 80).height >= 38
    histogram = copies[1].table("histogram")
    assert histogram.filter(target="copies of the row")["pairs"].sum() == 40 + 40 * 3
    assert histogram["pairs"].sum() == 120 * 119


def test_permuted_membership_and_the_claim(copies):
    finding = copies[1]
    true, permuted = finding.table("null").to_dicts()
    assert permuted["mean_lower"] < 0 < permuted["mean_upper"]
    assert true["mean"] > 10 * permuted["mean_upper"]
    assert finding.strength > 10
    assert "80 models, each row in 25.0 % of them on average" in finding.claim
    assert "a mean M of 1.000 on rows they were trained on" in finding.claim
    assert "by copies of the text (1 / 2 / 4): 0.750 / " in finding.claim
    assert finding.trends[0].verdict == "shows"
    assert any("Training is saturated" in caveat for caveat in finding.caveats)
    assert any("Copies hide memorization" in caveat for caveat in finding.caveats)


def test_saturated_rows_lie_on_the_line():
    members = sample_membership(60, 30, 0.5, 1)
    table = compute(study_of_subsets(members, 32 * members)).table("simplicity")
    rows, line = (table.filter(what=what).sort("row") for what in ("rows", "learnt in full"))
    np.testing.assert_allclose(rows["mem"], 1)
    np.testing.assert_allclose(rows["simplicity"], members.mean())
    np.testing.assert_allclose(line["mem"], (1 - rows["simplicity"]) / (1 - members.mean()))
    np.testing.assert_allclose(line["mem"], 1)


def test_more_models_agree_better():
    rng = np.random.default_rng(0)
    members = sample_membership(MODELS, 100, 0.5, 0)
    chance = 0.1 + members * rng.uniform(0, 0.8, 100)
    table = compute(study_of_subsets(members, rng.binomial(32, chance))).table("convergence")
    assert table["models"].to_list() == [5, 10, 20, 40]
    assert table["correlation"].is_sorted()
    assert table["correlation"][-1] > 0.95


def test_scores_that_do_not_depend_on_membership_show_nothing():
    rng = np.random.default_rng(0)
    members = sample_membership(40, 100, 0.25, 0)
    finding = compute(study_of_subsets(members, rng.binomial(32, 0.3, members.shape)))
    true, permuted = finding.table("null").to_dicts()
    assert permuted["mean_lower"] <= true["mean"] <= permuted["mean_upper"]
    assert finding.table("mem").filter(pl.col("q") <= 0.05).height == 0
    assert "is there in 0 of them" in finding.claim
    assert finding.rows == {}
    assert any("The order of rows is not settled" in caveat for caveat in finding.caveats)


def test_rows_of_all_models_or_none_are_null_and_counted():
    members = sample_membership(20, 30, 0.5, 0)
    members[:, 0], members[:, 1] = True, False
    finding = compute(study_of_subsets(members, 32 * members))
    assert finding.table("mem")["mem"].to_list() == [None, None] + [1.0] * 28
    assert finding.table("mem")["se"][:2].to_list() == [None, None]
    assert any(caveat.startswith("2 of 30 rows are left out") for caveat in finding.caveats)


def test_rows_of_other_sources_are_not_mixed():
    members = sample_membership(MODELS, len(GROUPS), SHARE, 0)
    knows = np.stack([members[:, group == GROUPS].any(1) for group in GROUPS], axis=1)
    study = with_copies(study_of_subsets(members, 32 * knows), GROUPS.tolist())
    source = pl.when(pl.col("row") < 20).then(pl.lit("easy")).otherwise(pl.lit("text")).alias("source")
    table = compute(replace(study, rows=study.rows.with_columns(source))).table("by_copies")
    assert table["source"].unique().to_list() == ["text"]
    assert table.filter(copies=1, what="measured")["rows"].to_list() == [20]


def test_shown_several_times_or_in_several_tables_is_trained_once():
    members = sample_membership(20, 30, 0.5, 0)
    study = study_of_subsets(members, 32 * members)
    zero = pl.DataFrame({"model": "m0", "row": np.arange(30), "times": 0}).lazy()
    lines = subset_scores_of(replace(study, exposures=pl.concat([study.exposures, zero])))
    assert (subset_arrays(lines).members == members[[int(m[1:]) for m in lines["model"].unique().sort()]]).all()


def test_a_model_without_a_record_is_left_out():
    members = sample_membership(20, 30, 0.5, 0)
    study = study_of_subsets(members, 32 * members)
    lines = subset_scores_of(replace(study, exposures=study.exposures.filter(pl.col("model") != "m7")))
    assert set(lines["model"]) == {f"m{number}" for number in range(20) if number != 7}


def test_without_exposures_the_finding_says_what_to_run():
    finding = compute(tables({"a": {CELL: [32, 0]}}))
    assert finding.claim.endswith("the study lacks a record of which models were trained on which rows.")
    assert "`mematlas experiment counterfactual FILE.yaml`" in finding.missing
    assert finding.trends[0].verdict == "cannot tell"
    everyone = study_of_subsets(np.ones((3, 4), dtype=bool), np.full((3, 4), 32))
    assert "rows that 2 models were trained on and 2 were not" in compute(everyone).claim
    assert ANALYSIS.trends == ("copies-hide-memorization",)


def test_of_many_rows_a_sample_is_tested_for_influence(monkeypatch):
    monkeypatch.setattr("mematlas.analyses.training.counterfactual.records.MAX_INFLUENCE_ROWS", 10)
    monkeypatch.setattr("mematlas.analyses.training.counterfactual.finding.MAX_INFLUENCE_ROWS", 10)
    members = sample_membership(40, 30, 0.5, 0)
    finding = compute(with_copies(study_of_subsets(members, 32 * members), [*range(29), 28]))
    assert finding.table("histogram")["pairs"].sum() == 90
    assert any("between 10 random rows of 30" in caveat for caveat in finding.caveats)
