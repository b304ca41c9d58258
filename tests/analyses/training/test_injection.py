"""What showings do to what is recited: exact on numbers worked out by hand, and nothing where nothing differs."""

import numpy as np
import polars as pl
import pytest

from mematlas.analyses.training.injection.curve import injection_costs, injection_curve, injection_interactions
from mematlas.analyses.training.injection.finding import ANALYSIS
from mematlas.analyses.training.injection.tables import (
    _power_of_two,
    injection_frequencies,
    injection_illusions,
    injection_lengths,
    injection_thresholds,
)
from tests.analyses.awkward_studies import full_study, with_injections, with_trained_models
from tests.analyses.synthetic_tables import with_probes

#: V after steps 10, 14 and 20 of three sequences, and their showings in the treatment.
SHOWN = {"text@8@replace:0": (0, 4, 8), "text@32@replace:0": (0, 1, 2), "random@never": (0, 0, 0)}
TREATMENT = {"text@8@replace:0": (1, 5, 17), "text@32@replace:0": (0, 0, 3), "random@never": (2, 9, 1)}
CONTROL = {"text@8@replace:0": (1, 2, 2), "text@32@replace:0": (0, 1, 0), "random@never": (2, 9, 2)}


def records(group: str, arm: str, values: dict, copied: float = 0.0) -> list[tuple]:
    found = []
    for name, lengths in values.items():
        for step, length, shown in zip((10, 14, 20), lengths, SHOWN[name], strict=True):
            metrics = {"V": length, "cap": 32, "copied": copied * (length > 5), "shown": shown * (arm != "control")}
            found += [(f"{group}--{arm}", step, name, metric, float(value), 1) for metric, value in metrics.items()]
    return found


def study(*arms, losses=()):
    return with_probes(full_study(60), [*(record for arm in arms for record in arm), *losses])


@pytest.fixture(scope="module")
def twins():
    return study(records("s4-seed0", "treatment", TREATMENT, copied=1.0), records("s4-seed0", "control", CONTROL))


def curve_of(tables) -> pl.DataFrame:
    return injection_curve(tables.probes.collect(), tables.models)


def test_the_curve_pairs_treatment_and_control_of_one_sequence_and_step(twins):
    curve = curve_of(twins).filter(sequence="text@8@replace:0")
    assert curve.select("model", "kind", "period", "mode").unique().rows() == [("s4", "text", 8, "replace")]
    assert curve["step"].to_list() == [10, 14, 20]
    assert curve["t"].to_list() == [0, 4, 10]
    assert curve["occurrences"].to_list() == [0, 4, 8]
    assert curve["dV"].to_list() == [0.0, 3.0, 15.0]
    assert curve["copied"].to_list() == [False, False, True]
    never = curve_of(twins).filter(kind="random")
    assert never["sequence"].unique().to_list() == ["random@never:0"]
    assert (never["period"].null_count(), never["mode"].null_count()) == (3, 3)


def test_lengths_on_text_stand_beside_those_on_token_ids(twins):
    assert curve_of(twins)["text_treatment"].null_count() == len(curve_of(twins))
    arms = (("treatment", TREATMENT, 9.0), ("control", CONTROL, 1.0))
    measured = [(f"s4-seed0--{arm}", 20, "text@8@replace:0", "V_text", value, 1) for arm, _, value in arms]
    curve = curve_of(study(*(records("s4-seed0", arm, values) for arm, values, _ in arms), losses=measured))
    known = curve.filter(pl.col("text_treatment").is_not_null())
    assert known.select("sequence", "step", "text_treatment", "text_control").rows() == [
        ("text@8@replace:0", 20, 9.0, 1.0)
    ]
    (often,) = injection_frequencies(curve).filter(period=8).iter_rows(named=True)
    assert (often["text_treatment"], often["text_control"]) == (9.0, 1.0)


def test_lengths_are_by_powers_of_two_of_the_showings(twins):
    lengths = injection_lengths(curve_of(twins))
    found = lengths.select("arm", "showings", "length").rows()
    assert found == [
        ("treatment", 1, 0.0), ("treatment", 2, 3.0), ("treatment", 4, 5.0), ("treatment", 8, 17.0),
        ("control model", 1, 1.0), ("control model", 2, 0.0), ("control model", 4, 2.0), ("control model", 8, 2.0),
    ]  # fmt: skip


def test_showings_of_all_numbers_fall_into_the_right_power_of_two():
    numbers = pl.DataFrame({"n": range(1, 300)}).with_columns(cast=pl.col("n").cast(pl.Int64))
    found = numbers.select(_power_of_two(pl.col("cast"))).to_series().to_list()
    assert found == [2 ** (number.bit_length() - 1) for number in range(1, 300)]


def test_frequencies_are_those_at_the_end_and_what_was_never_shown_is_apart(twins):
    found = injection_frequencies(curve_of(twins)).select("kind", "period", "showings", "dV").rows()
    assert found == [("text", 8, 8.0, 15.0), ("text", 32, 2.0, 3.0), ("random", None, 0.0, -1.0)]


def test_the_threshold_by_hand_and_not_reached(twins):
    # of text: V is .5 after 0 showings (1, 0), 0 after 1, 3 after 2, 5 after 4, 17 after 8; half of the cap is 16
    (text,) = injection_thresholds(curve_of(twins)).to_dicts()
    assert (text["kind"], text["most"], text["sequences"], text["reason"]) == ("text", 8, 2, None)
    assert text["n50"] == pytest.approx(4 + 4 * (16 - 5) / (17 - 5))
    low = {name: tuple(min(length, 15) for length in lengths) for name, lengths in TREATMENT.items()}
    tables = study(records("s4-seed0", "treatment", low), records("s4-seed0", "control", CONTROL))
    (text,) = injection_thresholds(curve_of(tables)).to_dicts()
    assert (text["n50"], text["low"], text["high"]) == (None, None, None)
    assert text["reason"] == "not reached in 8 showings"
    assert "half of 32 tokens are not reached in 8 showings" in ANALYSIS.compute(tables).claim


def test_an_illusion_is_what_the_control_recites():
    twin = {**CONTROL, "text@8@replace:0": (16, 16, 16)}
    tables = study(records("s4-seed0", "treatment", TREATMENT, copied=1.0), records("s4-seed0", "control", twin))
    found = injection_illusions(curve_of(tables)).select("threshold", "sequences", "recited", "copied", "illusions")
    assert found.rows() == [(8, 2, 1, 1, 1), (16, 2, 1, 1, 1), (32, 2, 0, 0, 0)]
    assert injection_illusions(curve_of(tables))["kind"].unique().to_list() == ["text"]


def test_the_cost_is_the_loss_over_that_of_the_control_of_the_same_seed():
    arms, losses = [], []
    for seed, base in ((0, 4.0), (1, 5.0), (2, 6.0)):
        group = f"s4-seed{seed}"
        arms += [records(group, "treatment", TREATMENT), records(group, "control", CONTROL)]
        for step in (10, 20):
            extra = (step == 20) * (0.1 + seed / 100)
            losses += [(f"{group}--control", step, "held-out", "loss", base, 9)]
            losses += [(f"{group}--treatment", step, "held-out", "loss", base + extra, 9)]
    tables = study(*arms, losses=losses)
    last = injection_costs(tables.probes.collect(), tables.models).filter(t=10, arm="treatment").row(0, named=True)
    assert (last["loss"], last["excess"], last["seeds"]) == (pytest.approx(5.11), pytest.approx(0.11), 3)
    assert 0 < last["excess_lower"] < 0.11 < last["excess_upper"] < 0.15, "seeds differ by more than arms do"
    assert last["loss_lower"] < 4.5


def test_what_a_sequence_gains_alone_stands_beside_what_it_gains_together(twins):
    alone = {"text@8@replace:0": (1, 6, 12)}
    tables = study(
        records("s4-seed0", "treatment", TREATMENT),
        records("s4-seed0", "control", CONTROL),
        records("s4-seed0", "alone-0", alone),
    )
    found = injection_interactions(tables.probes.collect(), tables.models).to_dicts()
    assert [(r["sequence"], r["dV_together"], r["dV_alone"], r["difference"]) for r in found] == [
        ("text@8@replace:0", 15.0, 10.0, -5.0)
    ]
    assert "so that sequences influence each other" in ANALYSIS.compute(tables).caveats[-1]
    assert ANALYSIS.compute(twins).caveats[-1].endswith("was not checked.")


def test_without_a_difference_nothing_is_claimed():
    tables = study(records("s4-seed0", "treatment", CONTROL), records("s4-seed0", "control", CONTROL))
    finding = ANALYSIS.compute(tables)
    assert curve_of(tables)["dV"].to_list() == [0.0] * 9
    assert finding.headline == "Showing sequences makes no clear difference to what is recited"
    assert finding.strength is None


@pytest.mark.parametrize("sign", [1, -1])
def test_the_headline_and_the_trend_follow_what_was_planted(sign):
    arms = []
    for size, length in (("s1", 12), ("s4", 12 + 8 * sign)):
        for seed in range(6):
            at = np.random.default_rng(seed).integers(0, 3)
            values = {name: (0, 0, int(length + at)) for name in list(SHOWN)[:2]}
            control = dict.fromkeys(values, (0, 0, 12 - 12 * sign))
            arms += [
                records(f"{size}-seed{seed}", "treatment", values),
                records(f"{size}-seed{seed}", "control", control),
            ]
    groups = {f"{size}-seed{seed}": weights for size, weights in (("s1", 10), ("s4", 1000)) for seed in range(6)}
    tables = with_trained_models(study(*arms), groups)
    finding = ANALYSIS.compute(tables)
    way = {1: "longer", -1: "less"}[sign]
    assert finding.headline == f"Sequences shown often are recited for {way} than without the showings"
    (trend,) = finding.trends
    assert trend.verdict == {1: "shows", -1: "contradicts"}[sign]


def test_many_injected_rows_are_warned_of():
    few = with_injections(frequencies=("4096@replace",))
    assert not any("rows are injected" in text for text in ANALYSIS.compute(few).caveats)
    assert any("8 % of the treatment's rows are injected" in t for t in ANALYSIS.compute(with_injections()).caveats)


def test_a_study_without_twins_says_what_to_run():
    for tables in (full_study(60), with_injections(arms=("treatment",))):
        assert "`mematlas experiment inject inject.yaml`" in ANALYSIS.compute(tables).missing
