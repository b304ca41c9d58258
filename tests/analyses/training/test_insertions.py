"""What insertions do: exact on numbers worked out by hand; planted relations are found, and nothing else."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.training.insertions.finding import ANALYSIS
from mematlas.analyses.training.insertions.items import insertion_items_of
from mematlas.analyses.training.insertions.tables import (
    insertion_dilution,
    insertion_levels,
    insertion_trends,
    insertion_windows,
)
from tests.analyses.awkward_studies import full_study, with_insertions
from tests.analyses.synthetic_tables import with_probes


def records(arm: str, losses: dict[int, list[float]], step: int = 8, verbatim: float = 0) -> list[tuple]:
    found = []
    for level, values in losses.items():
        for item, loss in enumerate(values):
            key = (arm, step, f"level-{level}:{item}")
            metrics = {"M": 0.5, "loss": loss, "verbatim": verbatim, "shown": float(level)}
            found += [(*key, metric, float(value), 1) for metric, value in metrics.items()]
    return found


def study(*arms):
    return with_probes(full_study(60), [record for arm in arms for record in arm])


def test_a_level_by_hand():
    losses = {0: [5.0, 4.0, 3.0, 4.0], 4: [2.0, 3.5, 2.5]}
    tables = study(records("s4-seed0--1x-epoch", losses, verbatim=99))
    zero, four = insertion_levels(insertion_items_of(tables)).to_dicts()
    assert (zero["level"], zero["n"], zero["loss"], zero["gain"], zero["auc"]) == (0, 4, 4.0, None, None)
    assert (four["level"], four["n"], four["recited"]) == (4, 3, 1.0)
    assert four["gain"] == pytest.approx(4 - 8 / 3)
    assert four["gain_lower"] < four["gain"] < four["gain_upper"]
    assert four["auc"] == pytest.approx(11 / 12), "of 12 pairs one, 3.5 and 3, is in the wrong order"


def test_levels_are_compared_within_seeds():
    arms = [
        records(f"s4-seed{seed}--1x-epoch", {0: [5 + 9 * seed, 6 + 9 * seed], 1: [4 + 9 * seed, 3 + 9 * seed]})
        for seed in range(2)
    ]
    one = insertion_levels(insertion_items_of(study(*arms))).filter(level=1).row(0, named=True)
    assert (one["gain"], one["auc"], one["n"]) == (2.0, 1.0, 4)


def test_the_last_measurement_counts_and_what_arms_are_is_read_from_their_names():
    losses = {0: [4.0, 5.0], 1: [3.0, 2.0]}
    names = ("standard", "1x-epoch", "2x-epoch", "1x-steps", "window-25-50")
    arms = [
        records(f"s4-seed0--{name}", losses, 8) + records(f"s4-seed0--{name}", {0: [9.0, 9.0]}, 4) for name in names
    ]
    items = insertion_items_of(study(*arms, records("s4-seed0--other", losses)))
    assert set(items["loss"]) == {2.0, 3.0, 4.0, 5.0}
    found = items.select("arm", "corpus", "start", "stop").unique(maintain_order=True).rows()
    assert sorted(found) == [
        ("1x-epoch", 1, 0, 100), ("1x-steps", 1, 0, 100), ("2x-epoch", 2, 0, 100), ("standard", 1, None, None),
        ("window-25-50", 1, 25, 50),
    ]  # fmt: skip


def test_dilution_is_compared_item_by_item_at_equal_epochs_and_at_equal_steps():
    hard = np.array([0.0, 3.0, 6.0])

    def arm(name: str, level: float, gain: float) -> list[tuple]:
        return records(f"s4-seed0--{name}", {0: list(level + hard), 4: list(level + hard - gain - 0.01 * hard)})

    tables = study(arm("1x-epoch", 5, 1.0), arm("2x-epoch", 4, 0.25), arm("1x-steps", 3, 0.75))
    found = insertion_dilution(insertion_items_of(tables))
    rows = found.select("comparison", "corpus", "level", "difference").rows()
    assert [row[:3] for row in rows] == [
        ("equal epochs", 1, 4), ("equal epochs", 2, 4), ("equal steps", 1, 4), ("equal steps", 2, 4),
    ]  # fmt: skip
    assert [row[3] for row in rows] == [None, pytest.approx(-0.75), None, pytest.approx(-0.5)]
    first, twice = found.filter(comparison="equal epochs").to_dicts()
    assert first["gain_upper"] - first["gain_lower"] > 1, "items differ by more than levels do"
    assert twice["difference_lower"] is None, "the differences of all items are the same"


def test_windows_are_compared_with_insertions_anywhere():
    tables = with_insertions(gain=0.4, sizes=("s4",), windows={"window-0-25": 0.1, "window-75-100": 0.9})
    found = insertion_windows(insertion_items_of(tables)).filter(level=16)
    assert found["window"].to_list() == ["0-25", "0-100", "75-100"]
    early, _, late = found.to_dicts()
    assert early["difference_upper"] < 0 < late["difference_lower"]
    finding = ANALYSIS.compute(tables)
    assert {trend.trend: trend.verdict for trend in finding.trends}["late-insertions-are-kept-best"] == "shows"


@pytest.mark.parametrize("slope", [0.2, -0.2, 0.0])
def test_a_planted_relation_is_found_with_its_sign_and_size_and_not_with_levels_permuted(slope):
    tables = with_insertions(gain=slope, sizes=("s4",))
    (trend,) = insertion_trends(insertion_items_of(tables)).filter(arm="1x-epoch").to_dicts()
    assert trend["slope_lower"] < -slope < trend["slope_upper"]
    assert trend["slope_upper"] - trend["slope_lower"] < 0.2
    assert trend["permuted_lower"] < 0 < trend["permuted_upper"]
    assert abs(trend["permuted"]) < 0.02
    assert (trend["permuted_lower"] < trend["slope"] < trend["permuted_upper"]) == (slope == 0)
    headline = ANALYSIS.compute(tables).headline
    assert (
        headline
        == {
            0.2: "The more often items are inserted, the better models know them",
            -0.2: "The more often items are inserted, the worse models know them",
            0.0: "Inserting items more often makes no clear difference",
        }[slope]
    )


def test_items_never_inserted_are_not_told_from_each_other_and_halves_cover():
    areas = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        arms = [records(f"s4-seed{n}--1x-epoch", {0: list(n + rng.normal(4, 1, 20)), 1: [4.0, 3.0]}) for n in range(3)]
        (trend,) = insertion_trends(insertion_items_of(study(*arms))).to_dicts()
        areas.append([trend["halves"], trend["halves_lower"], trend["halves_upper"]])
    middle, low, high = np.array(areas).T
    assert abs(middle.mean() - 0.5) < 2 * middle.std() / len(middle) ** 0.5
    assert ((low < 0.5) & (high > 0.5)).mean() > 0.85


def test_a_standard_model_is_a_control_of_levels():
    finding = ANALYSIS.compute(with_insertions(gain=0.5, sizes=("s4",)))
    assert "In models that nothing was inserted into, levels have AUCs from 0." in finding.control
    standard = finding.table("level").filter(arm="standard", level=16).row(0, named=True)
    assert standard["auc_lower"] < 0.5 < standard["auc_upper"]


def test_imported_counts_and_recorded_losses_are_levels_too():
    tables = with_insertions(gain=0.3)
    assert ANALYSIS.compute(replace(tables, probes=None)).missing is not None
    shown = with_insertions(gain=0.3, imported=True)
    finding = ANALYSIS.compute(shown)
    assert finding.missing is None
    assert finding.table("items")["arm"].unique().to_list() == ["as imported"]
    assert finding.table("level")["level"].unique().sort().to_list() == [0, 1, 16]
    assert [trend.verdict for trend in finding.trends] == ["cannot tell"] * 2
    top = finding.table("level").filter(level=16).row(-1, named=True)
    assert top["auc_lower"] > 0.5
    assert "divided into levels at random" in finding.caveats[0]


def test_a_study_without_insertions_says_what_to_run():
    for tables in (full_study(60), with_probes(full_study(60), records("s4-seed0--1x-epoch", {0: [1.0, 2.0]}))):
        assert "`mematlas experiment insertions insertions.yaml`" in ANALYSIS.compute(tables).missing
    assert isinstance(insertion_levels(insertion_items_of(full_study(60))), pl.DataFrame)
