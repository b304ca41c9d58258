"""What a user of `mematlas fit` reads."""

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


def test_it_prints_a_line_a_predictor_and_what_to_do_next(say, scored):
    path = scored / "study"
    code, out, said = say("fit", path, "--models", "b", *SMALL)
    assert code == 0, said
    found = open_study(path)
    folder = path / "predictors" / found.run().key
    head, names, _, *lines = out.splitlines()
    assert head == "AUROC on documents held out, mean over seeds (one token an instance; 0.5 tells nothing apart)"
    assert names.split("  ")[0] == "model"
    assert [name for name in (*BASELINES, "predictor") if name in names] == [*BASELINES, "predictor"]
    assert [line.split()[:3] for line in lines[:2]] == [["b", "context", "2"], ["b", "generated", "2"]]
    assert all(0 <= float(value) <= 1 for line in lines[:2] for value in line.split()[3:])
    assert [line.split()[4] for line in lines[:2]] == ["0.500", "0.500"]  # always the majority
    assert lines[2:] == [
        "",
        f"Predictors and their model cards are in {folder}.",
        f"Analyse with them: mematlas analyze {path} && mematlas report {path}",
        f"Flag rows of another corpus: mematlas predict MODEL --corpus PATH --predictor {folder}/MODEL/context",
    ]
    # other options, and fewer of them: what is left of the older ones must not be in the way
    code, out, said = say("fit", path, "--models", "b", *SMALL, "--dropout", 0.3, "--sees", "context")
    assert (code, out.count("\nb ")) == (0, 1), said


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["nowhere"], "nowhere is no study"),
        (["STUDY", "--models", "aa"], "The study has no model 'aa'. Did you mean 'a'?"),
        (["STUDY", "--heads", "3", "--width", "64"], "--heads 3 does not divide --width 64; take 1"),
        (["STUDY", "--run", "zzz"], "zzz"),
    ],
)
def test_a_wrong_command_is_one_line(say, scored, words, part):
    code, out, said = say("fit", *(str(scored / "study") if word == "STUDY" else word for word in words))
    assert (code, out) == (1, "")
    assert said.startswith("mematlas: ")
    assert part in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("words", [["--sees", "all"], ["--inputs", "colour"], ["--seeds", "0"], ["--no-such-option"]])
def test_a_value_that_is_none_is_refused(say, scored, words):
    code, out, said = say("fit", scored / "study", *words)
    assert (code in (1, 2), out) == (True, "")
    assert words[0] in said
    assert " --help`" in said
    assert "Traceback" not in said


def test_a_study_without_hidden_states_is_one_line_with_the_remedy(say, scored):
    study(scored, ("a",), study=scored / "plain", signals=["free"])
    code, out, said = say("fit", scored / "plain")
    assert (code, out) == (1, "")
    assert said == (
        f"mematlas: {scored / 'plain'} keeps no hidden states to fit predictors to; score with --signals hidden "
        "--signals free --signals truth, or leave predictors out.\n"
    )
