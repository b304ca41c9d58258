"""Capacity in bits: the plateau that was planted, never more than the entropy, and a reason where it may be more."""

import pytest

from mematlas.analyses.training.capacity import ANALYSIS, capacity_runs, capacity_sizes
from tests.analyses.awkward_studies import full_study, with_random_sequences


def runs_of(tables):
    return capacity_runs(tables.probes.collect(), tables.models)


def test_the_total_is_a_sum_over_sequences_and_never_above_their_entropy():
    runs = runs_of(with_random_sequences())
    assert (runs["total"] <= runs["entropy"] + 1e-9).all()
    last = runs.filter(step=100, model="s4")
    assert last["sequences"].to_list() == [8, 32, 128]
    assert last["total"].to_list() == pytest.approx([160, 400.5, 400.5])
    assert last["entropy"].to_list() == [160, 640, 2560]
    assert runs.filter(step=0)["total"].unique().to_list() == [0]


def test_a_plateau_is_the_capacity():
    largest = capacity_sizes(runs_of(with_random_sequences())).row(-1, named=True)
    assert (largest["capacity"], largest["reason"]) == (pytest.approx(400.5), None)
    assert largest["per_parameter"] == pytest.approx(400.5 / 10**4)
    assert largest["per_parameter_lower"] < largest["per_parameter"] < largest["per_parameter_upper"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"capacity": 10**9}, "all sequences are held: more of them are needed"),
        ({"capacity": 2000.0}, "the total still grows with the number of sequences"),
    ],
)
def test_what_is_no_plateau_has_a_reason(options, reason):
    tables = with_random_sequences(**options)
    assert set(capacity_sizes(runs_of(tables))["reason"]) == {reason}
    finding = ANALYSIS.compute(tables)
    assert "holds at least" in finding.claim
    assert any(reason in text for text in finding.caveats)


def test_a_study_without_random_sequences_says_what_to_run():
    assert "`mematlas experiment capacity capacity.yaml`" in ANALYSIS.compute(full_study(60)).missing
