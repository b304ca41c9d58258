"""`counterfactual` of a pair of models: differences over rows, and what sets the models apart anyway."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.training.counterfactual.finding import compute
from tests.analyses.synthetic_tables import tables, with_documents

CELL, SHOWN, OTHERS, CONTROL = (16, 32), 60, 40, 20
ROWS = SHOWN + OTHERS + CONTROL
#: Right tokens of 32: of any model on any row; more of the treated model everywhere; more where it was trained.
LEVEL, BETTER, LEARNT = 8, 2, 10


def pair(*, learnt=LEARNT, seed=0, control_model=False, both=False):
    """A treated model, trained on the first rows, and one that was not; rows of a control follow."""
    rng, shown = np.random.default_rng(seed), np.arange(ROWS) < SHOWN
    noise = rng.integers(-2, 3, (2, ROWS))
    matches = {
        "treated": {CELL: (LEVEL + BETTER + learnt * shown + noise[0]).tolist()},
        "untreated": {CELL: (LEVEL + noise[1]).tolist()},
    }
    roles = ["train"] * (SHOWN + OTHERS) + ["control"] * CONTROL
    study = tables(matches, roles=roles, control_models=("untreated",) if control_model else ())
    exposures = pl.DataFrame({"model": "treated", "row": np.flatnonzero(shown), "times": 1})
    if not control_model:
        second = pl.DataFrame({"model": "untreated", "row": [SHOWN if both else 0], "times": [int(both)]})
        exposures = pl.concat([exposures, second], how="vertical_relaxed")
    return replace(study, exposures=exposures.lazy())


@pytest.mark.parametrize("control_model", [False, True])
def test_the_effect_is_the_difference_less_that_on_other_rows(control_model):
    finding = compute(pair(control_model=control_model))
    (record,) = finding.table("pairs").to_dicts()
    assert (record["model"], record["rows"], record["others"]) == ("treated", SHOWN, OTHERS + CONTROL)
    assert record["difference"] == pytest.approx(record["in"] - record["out"])
    assert record["difference_lower"] <= (BETTER + LEARNT) / 32 <= record["difference_upper"]
    assert record["elsewhere_lower"] <= BETTER / 32 <= record["elsewhere_upper"]
    assert record["effect_lower"] <= LEARNT / 32 <= record["effect_upper"]
    assert record["effect"] == pytest.approx(record["difference"] - record["elsewhere"])
    assert finding.claim.startswith("At 16 + 32 tokens treated has a mean M of 0.6")
    assert "less what sets them apart on other rows, +0.3" in finding.claim
    assert finding.control.startswith("On 60 rows that neither was trained on the same difference of treated is +0.0")
    assert finding.strength > 10
    assert any("its difference has no standard error" in caveat for caveat in finding.caveats)
    assert finding.trends[0].verdict == "cannot tell"


def test_differences_of_rows_have_no_standard_error():
    table = compute(pair()).table("differences")
    assert "se" not in table.columns
    assert table.filter(trained="yes").height == SHOWN
    assert (table["difference"] == table["score"] - table["untrained"]).all()
    assert table["n_out"].unique().to_list() == [1]


def test_a_model_that_learnt_nothing_has_no_effect_though_it_is_better():
    """The negative control: the difference alone would be taken for memorization."""
    (record,) = compute(pair(learnt=0)).table("pairs").to_dicts()
    assert record["effect_lower"] <= 0 <= record["effect_upper"]
    assert record["difference_lower"] > 0


def test_intervals_cover_the_effect_of_pairs():
    covered = []
    for seed in range(40):
        record = compute(pair(seed=seed)).table("pairs").row(0, named=True)
        covered.append(record["effect_lower"] <= LEARNT / 32 <= record["effect_upper"])
    assert np.mean(covered) >= 0.85


def test_complementary_halves_leave_no_row_that_neither_was_trained_on():
    shown = np.arange(40) < 20
    right = np.stack([8 + 10 * shown + np.arange(40) % 3, 8 + 10 * ~shown + np.arange(40) % 2])
    study = tables({"a": {CELL: right[0].tolist()}, "b": {CELL: right[1].tolist()}})
    exposures = pl.DataFrame({"model": np.where(shown, "a", "b"), "row": np.arange(40), "times": 1})
    finding = compute(replace(study, exposures=exposures.lazy()))
    assert finding.table("pairs")["model"].to_list() == ["a", "b"]
    assert finding.table("pairs")["effect"].to_list() == [None, None]
    assert finding.claim.endswith("no row that neither was trained on tells how the models differ otherwise.")
    assert finding.control is None


def test_rows_of_a_document_count_once():
    study = pair()
    alone = compute(study).table("pairs").row(0, named=True)
    documents = compute(with_documents(study, [row // 30 for row in range(ROWS)])).table("pairs").row(0, named=True)
    assert documents["difference"] == alone["difference"]
    assert documents["difference_upper"] - documents["difference"] > alone["difference_upper"] - alone["difference"]


def test_a_pair_trained_on_the_same_rows_says_nothing():
    study = pair(both=True)
    same = pl.DataFrame({"model": [*["treated"] * ROWS, *["untreated"] * ROWS], "row": [*range(ROWS)] * 2, "times": 1})
    assert "rows that 2 models were trained on and 2 were not" in compute(replace(study, exposures=same.lazy())).claim
