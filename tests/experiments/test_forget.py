"""Branches of one background: the same batches but for their showings, the last of which is at the same step."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from mematlas.experiments import Size
from mematlas.experiments.data import documents as data_documents
from mematlas.experiments.design.plan import first_difference
from mematlas.experiments.forget import EXPERIMENT, ForgetConfig, outline
from tests.experiments.conftest import documents

TINY = ForgetConfig(
    out="out", sizes=[Size(8, 1, 2, 1e-2)], row_length=24, vocabulary=300, batch=4, context=8, times=[2, 3], spacing=1,
    plateau_steps=3, after_steps=5, special_rows=8, control_rows=6, blocks=4,
)  # fmt: skip


@pytest.fixture
def design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data_documents, "standard_library_documents", documents)
    return EXPERIMENT.design(TINY, tmp_path)


def test_times_always_have_the_branch_without_showings():
    assert TINY.times == [0, 2, 3]
    assert TINY.last_showing == 3 + 3 * 3, "8 rows are two steps, and one step is between one showing and the next"
    assert TINY.steps == 17


def test_branches_differ_in_their_showings_only(design):
    trunk, *branches = design.arms
    plans = {branch.label.partition("--")[2]: branch.plan for branch in branches}
    assert list(plans) == ["0x", "2x", "3x", "0x-again"]
    assert first_difference(plans["0x"], plans["0x-again"]) is None
    for times in (2, 3):
        shown = plans[f"{times}x"]
        assert [shown.times_shown(17)[row] for row in range(8)] == [times] * 8
        assert {event.moved for event in shown.events} == {0}
        assert max(event.step for event in shown.events) == TINY.last_showing
        first = min(event.step for event in shown.events)
        assert first_difference(shown, plans["0x"]) == first > TINY.plateau_steps
        differing = [step for step in range(1, 18) if (shown.batch(step) != plans["0x"].batch(step)).any()]
        assert differing == sorted({event.step for event in shown.events})
    assert sorted({event.step for event in plans["3x"].events}) == [5, 6, 8, 9, 11, 12]
    assert sorted({event.step for event in plans["2x"].events}) == [8, 9, 11, 12]
    assert plans["0x"].times_shown(17)[:8].sum() == 0
    assert trunk.plan.digest(3) == plans["3x"].digest(3)


def test_every_background_row_is_shown_at_most_once_and_the_control_never(design):
    times = design.arms[1].plan.times_shown(17)
    assert set(times[8:-6]) == {1}
    assert times[-6:].sum() == 0


def test_the_rows_of_the_study_are_the_first_of_the_plan(design):
    import polars as pl

    corpus = pl.read_parquet(design.corpus)
    assert corpus.columns == ["tokens", "document", "source"], "repetitions differ between arms"
    assert corpus["tokens"].to_list() == design.arms[0].plan.tokens[:8].tolist()
    assert pl.read_parquet(design.control)["tokens"].to_list() == design.arms[0].plan.tokens[-6:].tolist()


def test_measurements_are_at_powers_of_two_after_the_last_showing(design):
    special, control = design.arms[1].probes
    assert special.steps == control.steps == (3, 12, 13, 14, 16, 17)
    assert np.array_equal(control.rows, np.arange(len(design.arms[1].plan.tokens) - 6, len(design.arms[1].plan.tokens)))


def test_the_outline_names_the_arms_and_their_steps(design):
    arms = outline(TINY)
    assert [arm.label for arm in arms] == [arm.label for arm in design.arms]
    assert [arm.steps for arm in arms] == [3, 14, 14, 14, 14]
    assert {arm.parameters for arm in arms} == {5_688}
    assert [arm.label.partition("--")[2] for arm in design.scored] == ["0x", "2x", "3x"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": [0]}, "in one branch at least once"),
        ({"blocks": 3}, "special_rows is a multiple of blocks, not 8 and 3"),
        ({"seeds": [1, 1]}, "seeds are distinct"),
        ({"sizes": []}, "at least 1 item"),
    ],
)
def test_a_value_that_breaks_a_rule_is_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        ForgetConfig.model_validate({**TINY.model_dump(), **change})


@pytest.mark.parametrize("preset", ["cpu", "gpu"])
def test_presets_are_complete(preset):
    assert ForgetConfig.model_validate(EXPERIMENT.presets[preset]).steps > 250
