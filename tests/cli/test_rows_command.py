"""`mematlas rows`: which rows it prints, in which order, and their text."""

import json

import pytest

from mematlas.analyses.row_selection import Level
from mematlas.metrics.levels import LEVELS
from tests.rows.test_row import HOSTILE, decoded, study

__all__ = ["decoded"]  # a fixture


@pytest.fixture
def folder(tmp_path):
    study(tmp_path, source=HOSTILE)
    return tmp_path


def test_levels_are_those_of_the_findings():
    assert tuple(name.replace("-", " ") for name in Level.__args__) == LEVELS


def test_the_largest_model_comes_first_and_the_best_row_above(cli, folder):
    code, out, _ = cli("rows", folder)
    first, _, _, best, worst = out.splitlines()
    assert code == 0
    assert first == "2 of 2 rows at 2 + 4 tokens (run k)"
    shown = HOSTILE.replace("\u202e", "\ufffd").replace("\x1b", "\u241b").replace("\n", "⏎")
    assert best.split(maxsplit=7) == ["0", "big", "train", "1.000", "4", "7", "-", shown]
    assert worst.split() == ["1", "big", "train", "0.000", "0", "-", "-", "-"]


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        ([], [("big", 0), ("big", 1)]),
        (["--recited"], [("big", 0)]),
        (["--model", "small,big", "--sort", "row"], [("big", 1), ("small", 1), ("big", 0), ("small", 0)]),
        (["--model", "small", "--ascending"], [("small", 1), ("small", 0)]),
        (["--model", "small", "--recited"], []),
        (["--level", "very-low,medium"], [("big", 1)]),
        (["--model", "small", "--level", "medium"], [("small", 0)]),
        (["--role", "control"], []),
        (["--limit", "1"], [("big", 0)]),
        (["--sort", "repetitions", "--ascending"], [("big", 0), ("big", 1)]),
    ],
)
def test_filters_and_order(cli, folder, words, rows):
    code, out, err = cli("rows", folder, *words, "--json")
    assert code == 0, err
    assert [(record["model"], record["row"]) for record in json.loads(out)["rows"]] == rows


def test_text_marks_what_is_missed_and_shows_nothing_that_a_terminal_obeys(cli, folder, decoded):
    code, out, _ = cli("rows", folder, "--text", "--model", "small")
    assert code == 0
    assert "row 0, small, train, M 0.500, verbatim 0, shown 7 times, " in out
    assert "  prompt     t1 t2 " in out
    assert "  true       ⟦t10 ⟧t11 ⟦<script>alert(1)</script>\ufffd␛[31m&⏎⟧t13 " in out
    assert "  generated  ⟦t9 ⟧t11 ⟦t9 ⟧t13 " in out
    assert not set("\u202e\x1b") & set(out)


def test_a_terminal_gets_colours_instead_of_brackets(cli, folder, decoded, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    _, out, _ = cli("rows", folder, "--text", "--model", "small")
    assert "\x1b[31mt10 \x1b[0m\x1b[32mt11 \x1b[0m" in out
    assert "⟦" not in out


def test_of_an_unfinished_run_the_finished_models_are_shown(cli, folder):
    for path in (folder / "scores" / "k" / "big").iterdir():
        path.unlink()
    (folder / "models" / "big.parquet").unlink()  # written when a model is begun
    code, out, err = cli("rows", folder)
    assert code == 0, err
    assert f"Not all of the run is scored; what is missing: mematlas show {folder}" in out
    assert [line.split()[:2] for line in out.splitlines()[-2:]] == [["0", "small"], ["1", "small"]]


def test_an_unknown_model_is_named(cli, folder):
    code, _, err = cli("rows", folder, "--model", "bigg")
    assert code == 2
    assert err == "mematlas: --model bigg: the run has no such model. Did you mean 'big'? It has small, big.\n"
