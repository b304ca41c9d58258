"""Treatment and control go on from one model; they differ in the slots of the events and nowhere else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from mematlas.experiments import Size
from mematlas.experiments.data import documents as data_documents
from mematlas.experiments.design.plan import first_difference
from mematlas.experiments.inject import EXPERIMENT, InjectConfig, outline
from mematlas.experiments.running import collect_exposures, collect_probes, train_design
from mematlas.experiments.training.trainer import train_arm
from tests.experiments.conftest import documents, weights

EVENTS = [
    {"kinds": ["text", "random"], "every": [8], "sequences": 2},
    {"kinds": "shuffled", "every": [16], "sequences": 1, "mode": "prepend"},
    {"kinds": "canary", "steps": [2, 5], "sequences": 1, "mode": "splice"},
]
TINY = {
    "out": "out", "sizes": [Size(16, 1, 2, 2e-2)], "row_length": 24, "sequence_length": 20, "vocabulary": 300,
    "batch": 4, "context": 8, "base_steps": 4, "steps": 16, "cap": 8, "prompts": [4, 8], "held_out_rows": 6,
    "events": EVENTS, "never_shown": 1, "check_interaction": 1,
}  # fmt: skip


@pytest.fixture(autouse=True)
def synthetic_texts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data_documents, "standard_library_documents", documents)


def make(folder: Path, **keys):
    return EXPERIMENT.design(InjectConfig(**{**TINY, **keys}), folder)


def plans_of(design):
    return {arm.label.partition("--")[2]: arm.plan for arm in design.arms}


def silent(*_):
    pass


def test_batches_differ_in_event_slots_only(tmp_path):
    design = make(tmp_path)
    base, control, treatment, alone = (arm.plan for arm in design.arms)
    first = min(event.step for event in treatment.events)
    assert first_difference(treatment, control) == first > 4
    assert treatment.digest(first - 1) == control.digest(first - 1)
    assert base.digest(4) == treatment.digest(4), "the arms go on with the batches of their base"
    slots = {(event.step, event.slot) for event in treatment.events}
    differing = {
        (step, int(slot))
        for step in range(1, 21)
        for slot in np.flatnonzero((treatment.batch(step) != control.batch(step)).any(axis=1))
    }
    assert differing == slots
    assert {(arm.start, arm.optimizer_start) for arm in design.arms[1:]} == {(design.arms[1].start,) * 2}
    (sequence,) = {event.sequence for event in alone.events}
    assert alone.events == tuple(event for event in treatment.events if event.sequence == sequence)


def test_modes_put_the_sequence_where_they_say(tmp_path):
    _, control, treatment, _ = (arm.plan for arm in make(tmp_path).arms)
    seen = set()
    for event in treatment.events:
        row, planned = treatment.batch(event.step)[event.slot], control.batch(event.step)[event.slot]
        sequence = treatment.tokens[event.sequence][:20]
        assert np.array_equal(row[event.offset : event.offset + 20], sequence)
        if event.mode == "replace":
            assert event.offset == 0
            assert np.array_equal(row[20:], planned[20:])
        else:
            assert event.offset == 0 or event.mode == "splice"
            rest = np.delete(row, np.s_[event.offset : event.offset + 20])
            assert np.array_equal(rest, planned[:4]), "what it pushes beyond the end is cut"
        seen.add(event.mode)
    assert seen == {"replace", "prepend", "splice"}


@pytest.mark.parametrize("phase", [0, 3, 7])
def test_a_period_gives_its_number_of_showings_however_few_rows_there_are(tmp_path, phase):
    events = [{"kinds": "random", "every": [8], "sequences": 1, "phase": phase}]
    design = make(tmp_path, events=events, check_interaction=0)
    rows = 16 * 4
    places = [(e.step - 5) * 4 + e.slot for e in design.arms[2].plan.events]
    assert places == list(range(phase, rows, 8))
    assert len(places) == -(-(rows - phase) // 8)


def test_of_two_sequences_with_one_phase_one_is_moved_and_both_are_counted(tmp_path):
    events = [{"kinds": "random", "every": [8], "sequences": 2, "phase": 0}]
    design = make(tmp_path, events=events, check_interaction=0)
    treatment = design.arms[2].plan
    by_sequence = [[e.moved for e in treatment.events if e.sequence == sequence] for sequence in (0, 1)]
    assert sorted(by_sequence) == [[0] * 8, [1] * 8]
    assert treatment.times_shown(20)[:3].tolist() == [8, 8, 0]
    exposures = collect_exposures(design).filter(pl.col("model").str.contains("treatment"))
    assert exposures["times"].to_list() == [8, 8, 0]


def test_drawn_phases_collide_only_where_they_must(tmp_path):
    treatment = make(tmp_path).arms[2].plan
    assert {event.moved for event in treatment.events} == {0}
    steps = sorted(event.step - 4 for event in treatment.events if event.mode == "splice")
    assert steps == [2, 5]


def test_every_seed_has_sequences_of_its_own_that_no_background_row_shows(tmp_path):
    design = make(tmp_path, seeds=[0, 3])
    tokens, sequences = design.arms[0].plan.tokens, design.rows
    assert sequences == 2 * (6 + 4)
    assert len(np.unique(tokens[:sequences, :20], axis=0)) == sequences
    corpus, control = pl.read_parquet(design.corpus), pl.read_parquet(design.control)
    assert corpus["tokens"].to_list() == tokens[:sequences, :20].tolist()
    assert control.height == 6
    assert control["tokens"].to_list() == tokens[-6:].tolist()
    assert corpus["document"].n_unique() > 6, "what is not text is a document of its own"
    for arm in design.arms:
        assert arm.plan.rows.min() >= sequences
        assert arm.plan.rows.max() < len(tokens) - 6
    shown = {arm.seed: {e.sequence for e in arm.plan.events} for arm in design.arms if "treatment" in arm.label}
    assert shown == {0: set(range(6)), 3: set(range(10, 16))}


def test_kinds_are_what_they_are_called(tmp_path):
    design = make(tmp_path)
    kinds, tokens = design.arms[0].plan.kinds, design.arms[0].plan.tokens[:, :20]
    assert kinds[:6] == ("text", "text", "random", "random", "shuffled", "canary")
    assert (kinds[10], kinds[-1]) == ("background", "held-out")
    decode = design.arms[0].tokenizer.decode
    assert decode(tokens[5]).startswith("The secret number is ")
    assert set(decode(tokens[5]).removeprefix("The secret number is ")) <= set("0123456789")
    texts = " ".join(document.text for document in documents())
    assert decode(tokens[0][1:-1]) in texts
    assert decode(tokens[4][1:-1]) not in texts


def test_without_events_the_arms_are_equal_to_the_bit(tmp_path):
    design = make(tmp_path, events=[], check_interaction=0)
    train_design(design, tmp_path, silent, at_once=1, device="cpu")
    files = [weights(tmp_path / "arms" / arm.label / "step-000020") for arm in design.scored]
    assert files[0] == files[1]
    probes = pl.from_arrow(collect_probes(design, tmp_path)).with_columns(arm=pl.col("arm").str.split("--").list[1])
    treatment, control = (probes.filter(arm=name).drop("arm") for name in ("treatment", "control"))
    assert treatment.equals(control)
    assert set(treatment["set"]) == {"text@never", "held-out"}


def test_at_rate_0_v_is_constant(tmp_path):
    design = make(tmp_path, rate=0.0, check_interaction=0)
    train_design(design, tmp_path, silent, at_once=1, device="cpu")
    probes = pl.from_arrow(collect_probes(design, tmp_path)).filter(metric="V")
    assert probes["step"].n_unique() == 6
    assert probes.group_by("set").agg(pl.col("value").n_unique())["value"].unique().to_list() == [1]
    shown = pl.from_arrow(collect_probes(design, tmp_path)).filter(metric="shown", set="text@8@replace:1")
    assert shown["value"].max() == 8, "and yet it was shown"


def test_a_killed_arm_ends_in_the_bits_of_one_that_was_not(tmp_path):
    class KilledError(Exception):
        pass

    def kill(step, steps, loss, label):
        if step == 11:
            raise KilledError

    design = make(tmp_path, check_interaction=0)
    base, _, treatment = design.arms
    train_arm(base, tmp_path / "arms" / base.label)
    whole = train_arm(treatment, tmp_path / "whole")
    with pytest.raises(KilledError):
        train_arm(treatment, tmp_path / "killed", kill, state_every=3)
    resumed = train_arm(treatment, tmp_path / "killed", state_every=3)
    assert weights(resumed) == weights(whole)
    for path in sorted((tmp_path / "whole" / "probes").iterdir()):
        assert (tmp_path / "killed" / "probes" / path.name).read_bytes() == path.read_bytes()
    other = train_arm(replace(treatment, plan=replace(treatment.plan, events=())), tmp_path / "other")
    assert weights(other) != weights(whole), "the events make a difference"


def test_the_outline_names_the_arms_and_their_steps(tmp_path):
    arms = outline(InjectConfig(**TINY))
    assert [arm.label for arm in arms] == [arm.label for arm in make(tmp_path).arms]
    assert [arm.label.partition("--")[2] for arm in arms] == ["", "control", "treatment", "alone-0"]
    assert [arm.steps for arm in arms] == [4, 16, 16, 16]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"events": [{"kinds": "text"}]}, "an entry says either every .* or steps"),
        ({"events": [{"kinds": "text", "every": [4], "steps": [1]}]}, "an entry says either every .* or steps"),
        ({"events": [{"kinds": "text", "every": [0]}]}, "periods .* and steps are 1 or more"),
        ({"events": [{"kinds": "text", "every": [4, 8], "phase": 4}]}, "phase is the first row that is replaced"),
        ({"events": [{"kinds": "poem", "every": [4]}]}, "'text', 'shuffled', 'random' or 'canary'"),
        ({"events": [{"kinds": "text", "steps": [17]}]}, r"steps of events and measure_at .* up to 16, not \[17\]"),
        ({"events": [EVENTS[0], EVENTS[0]]}, "events have text@8@replace twice"),
        ({"sequence_length": 25}, "sequence_length 25 is above the context 8, and at most row_length 24"),
        ({"cap": 17}, "a sequence of 20 tokens has no place for a prompt of 4 and 17 more"),
        ({"check_interaction": 7}, "check_interaction 7 is more than the sequences that are injected"),
    ],
)
def test_a_value_that_breaks_a_rule_is_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        InjectConfig(**{**TINY, **change})


@pytest.mark.parametrize("preset", ["cpu", "gpu"])
def test_presets_are_complete(preset):
    assert InjectConfig.model_validate(EXPERIMENT.presets[preset]).per_run == 48


def test_lengths_on_text_are_measured_at_the_end_if_asked_for(tmp_path):
    design = make(tmp_path, text_metric=True, check_interaction=0, steps=4, events=EVENTS[:1])
    train_design(design, tmp_path, silent, at_once=1, device="cpu")
    probes = pl.from_arrow(collect_probes(design, tmp_path)).filter(pl.col("set").str.contains("@"))
    on_text = probes.filter(metric="V_text")
    assert on_text["step"].unique().to_list() == [8] == [probes["step"].max()]
    assert len(on_text) == len(probes.filter(metric="V", step=8))
    assert on_text["value"].min() >= 1, "the floor of the paper's code"
    plain = make(tmp_path, check_interaction=0, steps=4, events=EVENTS[:1])
    settings = [[probe.fingerprint(arm.plan) for probe in arm.probes] for arm in (plain.arms[-1], design.arms[-1])]
    assert settings[0] != settings[1]
