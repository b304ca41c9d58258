"""Items are inserted as often as their level says, whole, one a row; arms differ where they should and nowhere else."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from mematlas.errors import OptionError
from mematlas.experiments import Size
from mematlas.experiments.data import documents as data_documents
from mematlas.experiments.design.plan import Plan, read_plan, write_plan
from mematlas.experiments.design.showings import Slots
from mematlas.experiments.design.splicing import place_in_row, splice_between_documents
from mematlas.experiments.insertions import EXPERIMENT, InsertionsConfig, assign_levels, outline
from mematlas.experiments.running import collect_exposures, collect_probes, train_design
from mematlas.experiments.training.trainer import train_arm
from mematlas.index.scan import Scan
from mematlas.index.stream import CorpusStream
from tests.experiments.conftest import documents, weights
from tests.index.oracle import Rows

TINY = {
    "out": "out", "sizes": [Size(8, 1, 2, 2e-2)], "row_length": 24, "item_length": 11, "vocabulary": 300, "batch": 4,
    "context": 4, "steps": 8, "levels": [0, 1, 2], "items": [3, 2, 2], "corpora": [1, 2],
    "windows": [[0, 50], [50, 100]], "held_out_rows": 4,
}  # fmt: skip


@pytest.fixture(autouse=True)
def synthetic_texts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data_documents, "standard_library_documents", documents)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_documents, "standard_library_documents", documents)
        folder = tmp_path_factory.mktemp("insertions")
        return EXPERIMENT.design(InsertionsConfig(**TINY), folder), folder


def plans_of(design):
    return {arm.label.partition("--")[2]: arm.plan for arm in design.arms}


def shown_rows(plan: Plan) -> np.ndarray:
    return np.concatenate([plan.batch(step) for step in range(1, plan.steps + 1)])


def test_every_item_is_found_whole_in_rows_as_often_as_its_level_by_an_index_of_what_is_shown(made, tmp_path):
    design, _ = made
    levels = {item: level for level, items in assign_levels(0, InsertionsConfig(**TINY)).items() for item in items}
    assert sorted(levels) == list(range(7))
    assert Counter(levels.values()) == {0: 3, 1: 2, 2: 2}
    for name, plan in plans_of(design).items():
        items = [plan.tokens[item, :12].tolist() for item in range(7)]
        counts = Scan(CorpusStream(Rows(shown_rows(plan).tolist()))).count(items, "rows")
        assert counts.tolist() == [levels[item] * (name != "standard") for item in range(7)], name
        slots = [(event.step, event.slot) for event in plan.events]
        assert len(set(slots)) == len(slots), "one insertion a row"
    exposures = collect_exposures(design).filter(pl.col("model").str.contains("2x-steps|1x-steps"))
    assert exposures["times"].to_list() == [levels[item] for item in range(7)]


def test_an_insertion_stands_between_documents_and_the_rest_of_the_row_is_kept_in_order(made):
    plan = plans_of(made[0])["1x-epoch"]
    end, offsets = made[0].arms[0].tokenizer.eos_token_id, set()
    for event in plan.events:
        planned = plan.tokens[plan.rows[plan.starts[event.step - 1] + event.slot]]
        row, at = plan.batch(event.step)[event.slot], event.offset - event.window
        assert np.array_equal(row[at : at + 12], plan.tokens[event.sequence, :12])
        assert event.offset in (0, len(planned)) or planned[event.offset - 1] == end
        rest = np.delete(row, np.s_[at : at + 12])
        kept = np.flatnonzero([np.array_equal(planned[start : start + 12], rest) for start in range(13)])
        assert event.window in kept or event.offset == len(planned)
        offsets.add(event.offset)
    assert len(offsets) > 1


def test_the_place_is_any_boundary_and_the_window_holds_the_sequence_whole():
    row, rng = np.array([5, 5, 9, 5, 5, 5, 9, 5]), np.random.default_rng(0)
    places = Counter()
    for _ in range(2000):
        offset, window = place_in_row(row, 4, 9, rng)
        assert window <= offset
        assert offset + 4 <= window + 8
        places[offset, window] += 1
    assert {offset for offset, _ in places} == {0, 3, 7, 8}
    assert {window for offset, window in places if offset == 3} == {0, 1, 2, 3}
    assert {window for offset, window in places if offset in (7, 8)} == {3, 4}
    assert [window for offset, window in places if offset == 0] == [0]
    assert place_in_row(np.full(4, 5), 4, 9, rng) in [(0, 0), (4, 4)]


def test_arms_have_the_steps_epochs_and_counts_that_they_say(made):
    plans = plans_of(made[0])
    assert {name: plan.steps for name, plan in plans.items()} == {
        "standard": 8, "1x-epoch": 8, "2x-epoch": 16, "1x-steps": 16, "window-0-50": 8, "window-50-100": 8,
    }  # fmt: skip
    distinct = {name: Counter(np.bincount(plan.rows)[7:].tolist()) for name, plan in plans.items()}
    assert (distinct["1x-epoch"][1], distinct["2x-epoch"][1]) == (32, 64), "every row once"
    assert distinct["1x-steps"][2] == 32, "every row of the smallest corpus twice"
    assert set(plans["1x-steps"].rows) == set(plans["1x-epoch"].rows) < set(plans["2x-epoch"].rows)
    assert {len(plan.events) for name, plan in plans.items() if name != "standard"} == {6}
    inserted = {name: [(e.step, e.slot, e.sequence) for e in plan.events] for name, plan in plans.items()}
    assert inserted["1x-steps"] == inserted["2x-epoch"], "equal steps: the same items in the same slots"
    assert {event.step <= 4 for event in plans["window-0-50"].events} == {True}
    assert {event.step > 4 for event in plans["window-50-100"].events} == {True}
    later = [(step + 4, slot, sequence) for step, slot, sequence in inserted["window-0-50"]]
    assert later == inserted["window-50-100"]
    assert np.array_equal(plans["standard"].rows, plans["window-0-50"].rows), "the background is the same"


def test_the_outline_names_the_arms_and_their_steps(made):
    arms = outline(InsertionsConfig(**TINY))
    assert [(arm.label, arm.steps) for arm in arms] == [(arm.label, arm.plan.steps) for arm in made[0].arms]


def test_levels_are_random_and_items_of_a_seed_its_own():
    config = InsertionsConfig(**{**TINY, "seeds": [0, 1, 2], "items": [40], "batch": 99})
    parts = [assign_levels(seed, config) for seed in config.seeds]
    assert [sorted(item for items in part.values() for item in items) for part in parts] == [
        list(range(120)), list(range(120, 240)), list(range(240, 360)),
    ]  # fmt: skip
    means = [np.mean(items) - 59.5 - 120 * seed for seed, part in enumerate(parts) for items in part.values()]
    assert max(abs(mean) for mean in means) < 20, "no level has the first items (a mean of 19.5) or the last"
    assert parts[0] != assign_levels(1, InsertionsConfig(**{**TINY, "seeds": [1], "items": [40], "batch": 99}))


def test_the_study_has_items_and_held_out_passages_without_the_token_that_ends_them(made):
    design, _ = made
    items, control = pl.read_parquet(design.corpus), pl.read_parquet(design.control)
    assert (items.height, control.height) == (7, 4)
    plan = design.arms[0].plan
    assert items["tokens"].to_list() == plan.tokens[:7, :11].tolist()
    assert control["tokens"].to_list() == plan.tokens[-4:, :11].tolist()
    assert (plan.tokens[:7, 11] == design.arms[0].tokenizer.eos_token_id).all()


def test_a_plan_with_windows_is_read_as_it_was_written(made, tmp_path):
    plan = plans_of(made[0])["1x-epoch"]
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path).events == plan.events
    assert any(event.window for event in plan.events)


def test_a_killed_arm_ends_in_the_bits_of_one_that_was_not_and_items_are_recorded_one_by_one(made, tmp_path):
    class KilledError(Exception):
        pass

    def kill(step, steps, loss, label):
        if step == 5:
            raise KilledError

    design, _ = made
    arm = design.arms[1]
    whole = train_arm(arm, tmp_path / "whole")
    with pytest.raises(KilledError):
        train_arm(arm, tmp_path / "killed", kill, state_every=3)
    assert weights(train_arm(arm, tmp_path / "killed", state_every=3)) == weights(whole)
    (probes,) = (tmp_path / "whole" / "probes").iterdir()
    assert (tmp_path / "killed" / "probes" / probes.name).read_bytes() == probes.read_bytes()
    found = pl.read_parquet(probes)
    assert set(found["set"]) == {
        "held-out",
        *(f"level-{lv}:{n}" for lv, k in ((0, 3), (1, 2), (2, 2)) for n in range(k)),
    }
    shown = found.filter(metric="shown").sort("set")
    assert shown.filter(pl.col("set").str.starts_with("level-2"))["value"].to_list() == [2.0, 2.0]
    assert shown.filter(pl.col("set").str.starts_with("level-0"))["value"].sum() == 0


def test_all_arms_are_trained_and_measured(made):
    design, folder = made
    train_design(design, folder, lambda *_: None, at_once=1, device="cpu")
    probes = pl.from_arrow(collect_probes(design, folder))
    assert probes["arm"].n_unique() == 6
    assert probes.filter(metric="loss")["value"].is_not_null().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": [0, 4, 1]}, r"levels increase from 0, such as \[0, 1, 4, 16\], not \[0, 4, 1\]"),
        ({"levels": [1, 2, 3]}, "levels increase from 0"),
        ({"levels": [0, 1, 1]}, "levels increase from 0"),
        ({"corpora": [1, 1]}, r"corpora increase from 1, such as \[1, 2, 4\], not \[1, 1\]"),
        ({"windows": [[50, 25]]}, r"windows are distinct parts of the training in percent, such as \[0, 25\]"),
        ({"windows": [[0, 100]]}, r"\[0, 100\] is an arm in any case"),
        ({"items": [3, 2]}, r"items is one number, or one for each of the 3 levels, of at least 1, not \[3, 2\]"),
        ({"items": [3, 9, 9]}, "27 insertions need as many rows, one each, and window-0-50 has 16; take fewer items"),
        ({"item_length": 24}, "an item of 24 tokens, and the one that ends it, are longer than a row of 24"),
        ({"item_length": 4}, "item_length 4 is above the context 4"),
    ],
)
def test_a_value_that_breaks_a_rule_is_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        InsertionsConfig(**{**TINY, **change})


def test_sequences_that_do_not_fit_are_refused():
    plan = Plan.from_order(np.full((9, 6), 5), np.arange(8), 4)
    with pytest.raises(OptionError, match="9 insertions need as many rows, one each, and there are 8; insert fewer"):
        splice_between_documents(plan, {8: 9}, 4, Slots(0, 8, 4), 0, 0)
    with pytest.raises(OptionError, match="A sequence of 7 tokens is longer than a row of 6; take shorter"):
        splice_between_documents(plan, {8: 1}, 7, Slots(0, 8, 4), 0, 0)


@pytest.mark.parametrize("preset", ["cpu", "gpu"])
def test_presets_are_complete(preset):
    config = InsertionsConfig.model_validate(EXPERIMENT.presets[preset])
    assert config.insertions < config.steps * config.batch / 4
