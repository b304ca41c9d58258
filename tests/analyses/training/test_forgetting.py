"""The excess over the branch without showings: exact on numbers worked out by hand, and 0 for the branch repeated."""

import polars as pl
import pytest

from mematlas.analyses.training.forgetting import ANALYSIS, forgetting_excess, forgetting_left
from tests.analyses.awkward_studies import full_study, probed
from tests.analyses.synthetic_tables import with_probes

#: M of two blocks (of 1 and 3 rows) after steps 4 (before), 8 (last showing), 9 and 12.
NEVER = {4: (0.1, 0.2), 8: (0.1, 0.2), 9: (0.1, 0.2), 12: (0.2, 0.3)}
SHOWN = {4: (0.1, 0.2), 8: (0.5, 0.4), 9: (0.5, 0.8), 12: (0.2, 0.5)}


def records(branch: str, values: dict, last: int | None) -> list[tuple]:
    found = []
    for step, blocks in values.items():
        shown = 3.0 if last is not None and step >= last else 0.0
        for block, (m, n) in enumerate(zip(blocks, (1, 3), strict=True)):
            found += [(f"s4--{branch}", step, f"special:{block}", "M", m, n)]
            found += [(f"s4--{branch}", step, f"special:{block}", "shown", shown, n)]
        found.append((f"s4--{branch}", step, "control", "M", 0.05, 9))
    return found


@pytest.fixture(scope="module")
def study():
    shown = [*records("0x", NEVER, None), *records("0x-again", NEVER, None), *records("3x", SHOWN, 8)]
    return with_probes(full_study(60), shown)


def excess_of(study) -> pl.DataFrame:
    return forgetting_excess(study.probes.collect(), study.models)


def test_the_excess_is_that_over_the_same_rows_at_the_same_step(study):
    shown = excess_of(study).filter(branch="3x")
    assert shown["t"].to_list() == [-4, 0, 1, 4]
    assert shown["after"].to_list() == [None, None, 1, 4]
    assert shown["times"].to_list() == [3] * 4
    assert shown["rows"].to_list() == [4] * 4
    by_hand = [0.0, (0.4 + 3 * 0.2) / 4, (0.4 + 3 * 0.6) / 4, (0 + 3 * 0.2) / 4]
    assert shown["excess"].to_list() == pytest.approx(by_hand)
    assert shown["never"].to_list() == pytest.approx([0.175, 0.175, 0.175, 0.275])
    assert shown["control"].to_list() == [0.05] * 4


def test_the_branch_trained_again_has_no_excess_at_all(study):
    again = excess_of(study).filter(branch="0x-again")
    assert again["excess"].to_list() == [0.0] * 4
    assert again["times"].to_list() == [0] * 4
    assert ANALYSIS.compute(study).control.endswith("that one, trained again, differs from itself by 0.0 points.")


def test_the_peak_and_what_is_left_are_reported_apart(study):
    left = forgetting_left(excess_of(study)).filter(branch="3x").row(0, named=True)
    assert (left["at_last"], left["peak"], left["peak_t"]) == (pytest.approx(0.25), pytest.approx(0.55), 1)
    assert (left["left"], left["lowest"], left["last_t"]) == (pytest.approx(0.15), pytest.approx(0.15), 4)
    assert left["left_lower"] < left["left"] < left["left_upper"]


def test_the_order_of_the_records_changes_nothing(study):
    shuffled = study.probes.collect().sample(fraction=1, shuffle=True, seed=1)
    assert forgetting_excess(shuffled, study.models).equals(excess_of(study))


def test_rate_0_is_flat():
    flat = with_probes(full_study(60), [*records("0x", NEVER, None), *records("3x", NEVER, 8)])
    assert excess_of(flat)["excess"].to_list() == [0.0] * 4
    assert ANALYSIS.compute(flat).strength is None


@pytest.mark.parametrize(("factor", "verdict"), [(1, "shows"), (-1, "contradicts"), (0, "cannot tell")])
def test_the_trend_follows_what_is_left_in_the_largest_model(factor, verdict):
    shown = []
    for arm, left in (("s1", 0.3), ("s4", 0.3 + 0.2 * factor)):
        for block in range(4):
            for branch, m in (("0x", 0.1), ("5x", 0.1 + left + block / 100)):
                shown += [(f"{arm}--{branch}", 9, f"special:{block}", "M", m, 8)]
                shown += [(f"{arm}--{branch}", 9, f"special:{block}", "shown", 5.0 * (branch == "5x"), 8)]
    (trend,) = ANALYSIS.compute(with_probes(full_study(60), shown)).trends
    assert (trend.trend, trend.verdict) == ("larger-models-forget-less", verdict)


def test_a_study_without_branches_says_what_to_run():
    for tables in (full_study(60), probed(blocks=1, arms=())):
        finding = ANALYSIS.compute(tables)
        assert "`mematlas experiment forget forget.yaml`" in finding.missing
