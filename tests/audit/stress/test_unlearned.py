"""A tiny network that recites rows is made to forget them, gently and until it is destroyed, and then stress tested."""

import numpy as np
import pytest

import mematlas
from mematlas.errors import OptionError
from mematlas.experiments.unlearning import Unlearning, unlearn
from tests.audit.stress import reciting
from tests.audit.stress.reciting import CONTEXT, CONTINUATION, ROWS

pytestmark = pytest.mark.slow
WIDTH = CONTEXT + CONTINUATION
SETTINGS = {"context": CONTEXT, "threshold": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unlearned")
    rows = reciting.text(1, 2 * ROWS)
    np.save(folder / "rows.npy", rows)
    np.save(folder / "control.npy", reciting.text(2, 40))
    reciting.train(folder / "before", rows)
    return folder


def rows(folder) -> np.ndarray:
    return np.load(folder / "rows.npy")[:, :WIDTH]


def to_keep(folder) -> np.ndarray:
    """Rows to be kept, ten times each, and more of their language."""
    return np.concatenate([*[rows(folder)[ROWS:]] * 10, reciting.text(5, 400)[:, :WIDTH]])


def forgets_the_first_token(folder, name: str) -> int:
    """Ascent on the first token after each prompt alone, until it fails: the rest of the text was never touched."""
    how = Unlearning("ga", rate=1e-4, **SETTINGS)
    return unlearn(folder / "before", folder / name, how, rows(folder)[:ROWS, : CONTEXT + 1])


def stress(folder, name: str, **options):
    return mematlas.stress(
        folder / "before",
        folder / name,
        corpus=folder / "rows.npy",
        rows=f"first:{ROWS}",
        retain=f"slice:{ROWS}:{2 * ROWS}",
        control=folder / "control.npy",
        out=folder / "out",
        shifts=[1, 2, 4],
        continuation=CONTINUATION,
        **SETTINGS | options,
    )


def test_the_network_recites_before(folder):
    result = stress(folder, "before")
    assert result.verdict == "still recited"
    kept = result.rows().filter(role="kept")["verdict"].to_list()
    assert kept.count("kept") >= ROWS - 1


def test_ascent_that_stops_when_prompts_fail_leaves_the_text(folder):
    assert 0 < forgets_the_first_token(folder, "gentle") < 100
    result = stress(folder, "gentle")
    assert result.verdict == "prompt fails, text comes back"
    assert result.finding.table("verdicts").filter(verdict="still recited")["rows"].to_list() == [0]
    floor = result.rows().filter(role="control")["gain"].mean()
    assert result.rows().filter(role="tested")["gain"].mean() > floor + 3
    assert result.rows().filter(role="tested", verdict="prompt fails, text comes back").height >= 4


def test_gradient_difference_removes_and_keeps(folder):
    how = Unlearning("grad-diff", rate=5e-4, steps=100, stops=False, weight=5.0, **SETTINGS)
    assert unlearn(folder / "before", folder / "difference", how, rows(folder)[:ROWS], to_keep(folder)) == how.steps
    result = stress(folder, "difference")
    assert result.verdict == "removed"
    assert result.facts["damage"] != "destroyed"
    assert result.rows().filter(role="kept", verdict="kept").height > ROWS / 2


def test_ascent_without_end_destroys_the_model(folder):
    how = Unlearning("ga", rate=2e-3, steps=60, stops=False, **SETTINGS)
    unlearn(folder / "before", folder / "destroyed", how, rows(folder)[:ROWS])
    result = stress(folder, "destroyed")
    assert result.verdict == "model destroyed"
    assert result.rows().filter(role="kept", verdict="kept").is_empty()


def test_preference_optimization_removes_and_keeps(folder):
    how = Unlearning("npo", rate=5e-4, steps=100, weight=2.0, stops=False, **SETTINGS)
    unlearn(folder / "before", folder / "npo", how, rows(folder)[:ROWS], to_keep(folder))
    result = stress(folder, "npo")
    assert (result.verdict, result.facts["damage"] == "destroyed") == ("removed", False)


def test_it_ends_as_soon_as_all_prompts_fail(folder):
    how = Unlearning("npo", rate=5e-4, steps=100, **SETTINGS)
    steps = unlearn(folder / "before", folder / "npo-short", how, rows(folder)[:ROWS], to_keep(folder))
    assert 0 < steps < how.steps
    assert stress(folder, "npo-short").rows().filter(role="tested")["length_after"].max() < 8


def test_relearning_other_rows_and_the_rows_themselves(folder):
    forgets_the_first_token(folder, "again")
    others = stress(folder, "again", relearn=6, relearn_rate=1e-3)
    asked = others.prompts().filter(perturbation="relearned")
    assert sorted(asked.filter(role="tested")["row"]) == list(range(ROWS))  # each once
    assert sorted(asked.filter(role="control")["row"]) == list(range(40))
    assert set(asked["prompt"]) == {"relearned, 6 steps"}
    shown = stress(folder, "again", relearn=6, relearn_rate=1e-3, relearn_on="rows")
    again = shown.prompts().filter(perturbation="relearned")
    assert sorted(again.filter(role="control")["row"]) == list(range(ROWS))
    assert "relearned, 6 steps" not in set(shown.rows()["best_prompt"].drop_nulls())
    assert any("do not count for the verdict" in text for text in shown.finding.caveats)
    means = {role: again.filter(role=role)["length_after"].mean() for role in ("tested", "control")}
    assert means["tested"] > means["control"]  # what was known comes back before what never was


@pytest.mark.parametrize(
    ("how", "retain", "message"),
    [
        ({"method": "forget"}, None, r"^There is no method 'forget' of unlearning; take ga, grad-diff or npo\.$"),
        ({"method": "ga", "steps": 0}, None, r"is not valid; give positive steps, tokens, rate and beta"),
        ({"method": "grad-diff"}, None, r"^grad-diff keeps rows while others are forgotten, and no rows to keep were"),
        ({"method": "ga", "context": 20}, None, r"^Rows of shape \(24, 20\) leave nothing after prompts of 20 tokens"),
    ],
)
def test_a_wrong_use_is_one_line(folder, tmp_path, how, retain, message):
    with pytest.raises(OptionError, match=message):
        unlearn(folder / "before", tmp_path / "out", Unlearning(**how), rows(folder), retain)
