"""The output and errors of `mematlas fit`."""

import json

import pytest

from mematlas.study import open_study
from mematlas.study.schemas.predictions import BASELINES
from tests.predictors.synthetic_examples import study

SMALL = ("--members", 1, "--width", 8, "--layers", 1, "--heads", 2, "--epochs", 1, "--seeds", 2)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelf")
    study(folder, ("a", "b"))
    return folder


def test_it_prints_one_row_per_predictor_and_what_to_do_next(cli, scored):
    path = scored / "study"
    code, out, err = cli("fit", path, "--models", "b", *SMALL)
    assert code == 0, err
    folder = path / "predictors" / open_study(path).run().key
    title, header, _, *lines = out.splitlines()
    held_out = "rows (the corpus names no documents)"
    assert title == f"AUROC on held-out {held_out}, mean over seeds (each token is an instance; 0.5 is chance)"
    assert header.split("  ")[0] == "model"
    assert [name for name in (*BASELINES, "predictor") if name in header] == [*BASELINES, "predictor"]
    assert [line.split()[:3] for line in lines[:2]] == [["b", "context", "2"], ["b", "generated", "2"]]
    assert all(0 <= float(value) <= 1 for line in lines[:2] for value in line.split()[3:])
    assert [line.split()[4] for line in lines[:2]] == ["0.500", "0.500"]  # always the majority
    assert lines[2:] == [
        "",
        f"Predictors and their model cards are in {folder}.",
        f"Analyse the study with them: mematlas analyze {path} && mematlas report {path}",
        f"Flag rows of another corpus: mematlas predict MODEL --corpus PATH --predictor {folder}/MODEL/context",
    ]
    # other options and fewer predictors: remaining files of the previous fit must not interfere
    code, out, err = cli("fit", path, "--models", "b", *SMALL, "--dropout", 0.3, "--sees", "context", "--json")
    assert code == 0, err
    printed = json.loads(out)
    assert (printed["folder"], printed["held_out"]) == (str(folder), "rows")
    assert [(record["model"], record["sees"], record["seeds"]) for record in printed["auroc"]] == [("b", "context", 2)]


@pytest.mark.parametrize(
    ("words", "expected", "part"),
    [
        (["nowhere"], 1, "nowhere is not a study"),
        (["STUDY", "--models", "aa"], 1, "The study has no model 'aa'. Did you mean 'a'?"),
        (["STUDY", "--heads", "3", "--width", "64"], 2, "--heads 3 does not divide --width 64; use 1"),
        (["STUDY", "--run", "zzz"], 1, "zzz"),
    ],
)
def test_a_wrong_command_is_one_line(cli, scored, words, expected, part):
    code, out, err = cli("fit", *(str(scored / "study") if word == "STUDY" else word for word in words))
    assert (code, out) == (expected, "")
    assert err.startswith("mematlas: ")
    assert part in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [["--sees", "all"], ["--inputs", "colour"], ["--seeds", "0"], ["--no-such-option"]])
def test_an_invalid_value_is_rejected(cli, scored, words):
    code, out, err = cli("fit", scored / "study", *words)
    assert (code, out) == (2, "")
    assert words[0] in err
    assert " --help`" in err
    assert "Traceback" not in err


def test_a_study_without_hidden_states_is_one_line_with_the_remedy(cli, scored):
    study(scored, ("a",), study=scored / "plain", signals=["free"])
    code, out, err = cli("fit", scored / "plain")
    assert (code, out) == (1, "")
    assert err == (
        f"mematlas: {scored / 'plain'} contains no hidden states to fit predictors to; score with --signals hidden "
        "--signals free --signals truth, or leave predictors out.\n"
    )
