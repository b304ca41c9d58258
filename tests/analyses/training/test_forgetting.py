"""The excess over the branch without showings: exact on numbers worked out by hand, and 0 for the branch repeated."""

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.training.forgetting.baseline import fitted_curves, forgetting_baseline
from mematlas.analyses.training.forgetting.excess import forgetting_excess, forgetting_left
from mematlas.analyses.training.forgetting.finding import ANALYSIS
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


#: Steps after the last showing, at step 100.
STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128)


def falling(curve, noise: float = 0.01, blocks: int = 12):
    """A study of a branch whose excess is 0 before the last showing and `curve`(t) after it, with noise in blocks."""
    rng, found = np.random.default_rng(0), []
    for t in (-10, *STEPS):
        for block in range(blocks):
            base, excess = 0.1 + block / 200, (curve(t) if t >= 0 else 0) + rng.normal(0, noise)
            for branch, m in (("0x", base), ("9x", base + excess)):
                shown = 9.0 if branch == "9x" and t >= 0 else 0.0
                found += [(f"s4--{branch}", 100 + t, f"special:{block}", "M", m, 4)]
                found += [(f"s4--{branch}", 100 + t, f"special:{block}", "shown", shown, 4)]
    return with_probes(full_study(60), found)


def baseline_of(study) -> dict:
    return forgetting_baseline(study.probes.collect(), study.models).row(0, named=True)


def test_the_floor_of_an_exponential_is_recovered_from_the_peak_on():
    rise = 0.05  # the excess rises for a step, as it does in real branches
    study = falling(lambda t: 0.4 if t == 0 else rise + 0.3 * np.exp(-0.1 * t) + 0.1)
    found = baseline_of(study)
    assert (found["branch"], found["times"], found["points"]) == ("9x", 9, 8), "the first of nine is before the peak"
    assert found["c_lower"] < 0.15 < found["c_upper"]
    assert found["c_upper"] - found["c_lower"] < 0.05
    assert (found["law"], found["reason"]) == ("exponential", None)
    finding = ANALYSIS.compute(study)
    assert f"falling exponentially to a floor of {100 * found['c']:.1f} [" in finding.claim
    curves = fitted_curves(finding.table("baseline"), finding.table("excess"))
    measured, fitted = (curves.filter(curve=name)["excess"].to_numpy() for name in ("measured", "fitted"))
    assert np.abs(measured - fitted).max() < 0.03
    assert "baseline" in [chart.name for chart in finding.charts]


def test_a_fall_with_the_logarithm_of_time_is_not_taken_for_an_exponential():
    finding = ANALYSIS.compute(falling(lambda t: 0.6 - 0.1 * np.log1p(t)))
    found = finding.table("baseline").row(0, named=True)
    assert (found["law"], found["c"], found["reason"]) == (
        "log-time", None, "a fall with the logarithm of time has no floor above 0",
    )  # fmt: skip
    assert finding.claim.endswith(", falling with the logarithm of time.")
    assert "baseline" not in [chart.name for chart in finding.charts]


def test_of_noise_neither_law_nor_floor_is_claimed():
    finding = ANALYSIS.compute(falling(lambda t: 0.0, noise=0.03))
    found = finding.table("baseline").row(0, named=True)
    assert (found["law"], found["c"]) == (None, None)
    assert "falling" not in finding.claim


def test_too_few_measurements_are_null_with_the_reason(study):
    found = baseline_of(study)
    assert (found["law"], found["c"], found["error_exponential"], found["points"]) == (None, None, None, 2)
    assert found["reason"] == "2 points from the peak on; comparing laws needs 5"
