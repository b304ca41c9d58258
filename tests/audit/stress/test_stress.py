"""Stress tests of stubs whose answers are known: what comes back, what is removed, and what is destroyed."""

import numpy as np
import polars as pl
import pytest

import mematlas
from mematlas.auditing.stress import run as stress_run
from mematlas.auditing.stress.page import write_stress_page
from mematlas.auditing.stress.tables import OF_PROMPTS
from mematlas.errors import CorpusError, MematlasError, OptionError
from tests.audit.stress import stubs

GIVEN = {"context": stubs.CONTEXT, "continuation": stubs.CONTINUATION, "threshold": 8, "shifts": [2, 8]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stress")
    np.save(folder / "rows.npy", stubs.trained_rows())
    np.save(folder / "control.npy", stubs.unseen_rows())
    return folder


@pytest.fixture
def loads(monkeypatch):
    """The names of the stubs that were loaded."""
    names: list[str] = []
    monkeypatch.setattr(stress_run, "find_model", lambda name: stubs.source(name, names))
    return names


@pytest.fixture
def stress(folder, tmp_path, loads):
    def run_test(original="all", unlearned="all", **options):
        asked = {"rows": "first:6", "retain": "slice:6:12", "control": folder / "control.npy", "out": tmp_path} | GIVEN
        return mematlas.stress(original, unlearned, corpus=folder / "rows.npy", **asked | options)

    return run_test


def lengths(result, prompt: str, column: str = "length_after") -> list[int]:
    return result.prompts().filter(role="tested", prompt=prompt)[column].to_list()


def verdicts(result) -> set[str]:
    return set(result.rows().filter(role="tested")["verdict"])


# ----------------------------------------------------------------------------------------------------------- verdicts


def test_the_same_model_twice_gains_nothing(stress):
    result = stress()
    assert result.verdict == "still recited"
    assert set(lengths(result, "original prompt")) == {stubs.CONTINUATION}
    assert result.prompts().filter(role="tested")["gain"].drop_nulls().max() <= 0
    assert result.facts["damage"] == "none"
    assert set(result.rows().filter(role="kept")["verdict"]) == {"kept"}


def test_a_model_that_recites_at_the_first_token_alone_fails_at_other_starts(stress):
    result = stress(unlearned="start-0")
    assert verdicts(result) == {"still recited"}
    assert set(lengths(result, "starts 2 later") + lengths(result, "shifted by 8")) == {0}
    assert set(lengths(result, "8 longer")) == {stubs.CONTINUATION}


def test_a_model_that_forgot_the_prompt_alone_recites_from_elsewhere(stress):
    result = stress(unlearned="from-8")
    assert result.verdict == "prompt fails, text comes back"
    assert verdicts(result) == {"prompt fails, text comes back"}
    assert set(lengths(result, "original prompt")) == {0}
    best = result.rows().filter(role="tested")
    assert set(best["gain"]) == {stubs.CONTINUATION}
    assert set(best["best_prompt"]) == {"starts 8 later"}
    assert result.finding.headline == "Prompts fail, but 6 of 6 texts come back from from-8"


def test_a_model_that_guesses_is_destroyed(stress):
    result = stress(unlearned=f"uniform:{stubs.V}")
    assert result.verdict == "model destroyed"
    assert verdicts(result) == {"model destroyed"}
    assert result.rows().filter(role="tested")["gain"].to_list() == [0] * 6
    assert set(result.rows().filter(role="kept")["verdict"]) == {"lost"}
    held_out = result.damage().row(0, named=True)
    assert held_out["before"] == pytest.approx(np.log(stubs.COMMON), abs=1e-3)
    assert held_out["after"] == pytest.approx(np.log(stubs.V), abs=1e-3)
    assert held_out["change"] == pytest.approx(np.log(stubs.V) / np.log(stubs.COMMON) - 1, abs=1e-3)


def test_a_model_that_lost_these_rows_alone_has_them_removed(stress):
    result = stress(unlearned="kept-only")
    assert (result.verdict, verdicts(result)) == ("removed", {"removed"})
    assert result.facts["damage"] == "none"
    assert set(result.rows().filter(role="kept")["verdict"]) == {"kept"}


def test_losing_kept_rows_alone_destroys_no_model(stress):
    """Held-out text is predicted as before."""
    result = stress(unlearned="nothing")
    assert (result.verdict, result.facts["damage"]) == ("removed", "none")
    assert "Kept rows lost: 100.0 %" in result.finding.claim


def test_without_held_out_text_nobody_knows_whether_the_model_works(stress):
    result = stress(unlearned="kept-only", control=None)
    assert (result.verdict, verdicts(result)) == ("not recited", {"not recited"})
    assert "(--control)" in result.finding.claim


def test_a_row_that_the_ideal_recites_too_is_not_counted(stress):
    result = stress(unlearned="from-8", retrained="row-0")
    rows = result.rows().filter(role="tested")
    assert rows["verdict"].to_list() == ["known without"] + ["prompt fails, text comes back"] * 5
    assert any("1 rows are recited by row-0, too" in text for text in result.finding.caveats)
    assert any("No ideal" in text for text in stress(unlearned="from-8").finding.caveats)


def test_rows_that_the_original_does_not_recite_cannot_be_judged(stress):
    result = stress("nothing", "nothing")
    assert (result.verdict, verdicts(result)) == ("cannot be judged", {"not known before"})
    assert result.finding.charts == ()


def test_never_seen_rows_gain_no_more_than_chance(stress):
    """Negative control: the same prompts of rows that no model knows."""
    result = stress(unlearned="from-8")
    control = result.rows().filter(role="control")
    assert control["gain"].max() <= 3
    assert (pl.Series(control["length_after"]) < 8).all()
    assert "of 30 never-seen rows 0 reach 8 tokens" in result.finding.control


# -------------------------------------------------------------------------------------------------------------- tables


def test_every_prompt_is_a_record_with_a_length_or_a_reason(stress):
    result = stress(unlearned="from-8", shifts=[4, 16, 20])
    table = result.prompts()
    assert table.columns == list(OF_PROMPTS)
    measured = table["length_after"].is_not_null()
    assert (measured == table["reason"].is_null()).all()
    assert (table["cap"].is_null() == table["reason"].is_not_null()).all()
    reasons = {name: set(table.filter(role="tested", prompt=name)["reason"]) for name in table["prompt"].unique()}
    assert reasons["starts 16 later"] == {"the prompt has no more tokens"}
    assert reasons["shifted by 16"] == {None}
    assert set(table.filter(prompt="shifted by 20", role="tested")["cap"]) == {stubs.WIDTH - 20 - stubs.CONTEXT}
    changed = table.filter(perturbation="tokens")
    assert set(changed["draw"]) == {0, 1, 2}
    assert set(table.filter(role="kept")["prompt"]) == {"original prompt"}


def test_a_prompt_before_too_few_tokens_is_not_asked(loads, tmp_path):
    np.save(tmp_path / "short.npy", stubs.trained_rows()[:, : stubs.CONTEXT + 10])
    result = mematlas.stress(
        "all", "all", corpus=tmp_path / "short.npy", rows="all", out=tmp_path / "out", **GIVEN | {"shifts": [2, 4]}
    )
    table = result.prompts()
    assert set(table.filter(prompt="2 longer")["cap"]) == {8}
    assert set(table.filter(prompt="4 longer")["reason"]) == {
        "too few tokens after the prompt, in the row or in what the model reads"
    }


def test_replaced_tokens_depend_on_seed_and_row_alone(stress):
    first = stress(unlearned="from-8").prompts().filter(role="tested", perturbation="tokens")
    fewer = stress(unlearned="from-8", rows="slice:2:4").prompts().filter(role="tested", perturbation="tokens")
    assert fewer.equals(first.filter(pl.col("row").is_in([2, 3])))


def test_a_second_call_asks_no_model_again(stress, loads):
    first = stress(unlearned="from-8")
    assert sorted(loads) == ["all", "from-8"]
    again = stress(unlearned="from-8")
    assert len(loads) == 2
    assert again.prompts().equals(first.prompts())
    assert stress(unlearned="from-8", seed=1).folder != first.folder
    assert len(loads) == 4


def test_the_page_says_verdict_rows_and_limits(stress, tmp_path):
    result = stress(unlearned="from-8")
    write_stress_page(tmp_path / "page.html", result.finding, result.facts | {"corpus": "<b>"}, ["svg"])
    page = (tmp_path / "page.html").read_text()
    assert "Verdict: prompt fails, text comes back" in page
    assert page.count("<img") == 2
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert page.count("starts 8 later") >= 6
    assert sorted(path.name for path in (tmp_path / "page-figures").iterdir()) == [
        "stress-lengths.svg",
        "stress-verdicts.svg",
    ]


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"retain": "slice:5:12"}, OptionError, r"^Row 5 is selected by --rows and by --retain; .*leave it out of one"),
        ({"threshold": 17}, OptionError, r"--threshold 17 is more than the 16 tokens that can be recited; give less"),
        ({"substitutions": [17]}, OptionError, r"--substitutions 17 is more than the 16 tokens of the prompt"),
        ({"shifts": [0]}, OptionError, r"^--shifts: numbers of tokens are at least 1 \(given: \[0\]\)"),
        ({"rows": "first:0"}, MematlasError, "selects no row"),
        ({"context": 44}, CorpusError, r"^No row of .* among first:6 has 52 tokens \(--context and --threshold\); sel"),
        ({"relearn": 2}, OptionError, r"^--relearn 2: 'all' is no folder with weights to train; name one, or leave ou"),
        ({"synonyms": "no.json"}, OptionError, r"^--synonyms no.json replaces words, which needs a tokenizer; name on"),
    ],
)
def test_a_wrong_question_is_one_line(stress, options, error, message):
    with pytest.raises(error, match=message) as raised:
        stress(**options)
    assert "\n" not in str(raised.value)
