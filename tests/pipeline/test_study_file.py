"""Study files: their keys, what their paths are relative to, and the messages about mistakes."""

import os
from pathlib import Path

import pytest
import yaml

from mematlas.errors import MematlasError, OptionError, StudyError
from mematlas.pipeline.study_file import StudyFile, parse_study_file, read_study_file
from mematlas.pipeline.study_file_template import EXAMPLE, study_file_text
from mematlas.scoring.config import ScoreConfig
from tests import study_shelf as shelves


@pytest.fixture
def shelf(tmp_path):
    return shelves.fill(tmp_path)


def parsed(text, path="folder/study.yaml"):
    return parse_study_file(text, Path(path))


LEAST = "models: [uniform:60]\ncorpus: c.npy\nstudy: s\n"


def test_the_least_file_takes_the_defaults_of_score():
    file = parsed(LEAST)
    assert file.config == ScoreConfig(corpus="folder/c.npy", study="folder/s")
    assert file.models == ["uniform:60"]
    assert (file.only, file.gallery, file.gallery_rows, file.report) == ([], True, 24, True)


def test_one_value_stands_for_a_list_of_one():
    file = parsed("models: uniform:60\ncorpus: c.npy\nstudy: s\ncontext: 16\nsignals: truth\nanalyses: size\n")
    assert (file.models, file.context, file.signals, file.only) == (["uniform:60"], [16], ["truth"], ["size"])


def test_paths_are_those_of_the_files_folder_and_names_stay_names(shelf, monkeypatch):
    (shelf / "model").mkdir()
    monkeypatch.chdir(shelf.parent)
    path = shelves.study_file(
        Path(shelf.name),
        models="[parrot:rows.npy:12, model, model@main, ./absent, org/name, uniform:60, hf:model, absent.gguf]",
        tokenizer="model",
        rows="ids:some.txt",
        control=str(shelf / "control.npy"),
        cache="~/cache",
        control_models="uniform:61",
    )
    file, here = read_study_file(path), shelf.name
    assert file.models == [
        f"parrot:{here}/rows.npy:12",
        f"{here}/model",
        "model@main",
        f"{here}/absent",
        "org/name",
        "uniform:60",
        f"hf:{here}/model",
        f"{here}/absent.gguf",
    ]
    assert (file.corpus, str(file.study), file.rows) == (f"{here}/rows.npy", f"{here}/study", f"ids:{here}/some.txt")
    assert file.control == str(shelf / "control.npy")
    assert file.tokenizer == f"{here}/model"
    assert str(file.cache) == os.path.expanduser("~/cache")
    assert file.control_models == ["uniform:61"]


def test_a_dataset_of_the_hub_stays_a_name():
    assert parsed(LEAST + "format: datasets\ncontrol: org/held-out\n").control == "org/held-out"


@pytest.mark.parametrize(
    ("added", "parts"),
    [
        ("contxt: [8]", ["line 4", "no key 'contxt'", "Did you mean 'context'?", "mematlas init"]),
        ("context: [8, 0]", ["line 4", "context", "positive", "[8, 0]"]),
        ("context:\n  - 8\n  - eight", ["line 6", "context", "integer", "'eight'"]),
        ("depth: deep", ["line 4", "depth", "'graded' or 'verbatim'", "'deep'"]),
        ("analyses: [size, transition]", ["line 4", "no analysis is called 'transition'", "'transitions'"]),
        ("gallery_rows: 0", ["line 4", "gallery_rows", "greater than 0", "given: 0"]),
        ("report: perhaps", ["line 4", "report", "boolean", "'perhaps'"]),
        ("batch: 4\nbatch: 5", ["line 5", "batch is already in line 4"]),
        ("7: 8", ["line 4", "the key 7 is not text"]),
        ("temperature: [0.5]", ["study.yaml", "temperature needs the teacher-forced record", "add signals truth"]),
        ("context: [8", ["line 5", "not valid YAML"]),
        ("\tbatch: 4", ["line 4", "not valid YAML"]),
    ],
)
def test_a_mistake_is_one_line_with_its_place(added, parts):
    with pytest.raises(MematlasError) as caught:
        parsed(LEAST + added + "\n")
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith("folder/study.yaml")
    for part in parts:
        assert part in said


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "the key corpus is missing; add a line `corpus: ...`"),
        ("models: []\ncorpus: c\nstudy: s", "line 1: models: List should have at least 1 item"),
        ("- a\n- b", "has no keys"),
        ("models: \x07", "is not valid YAML"),
    ],
)
def test_a_file_that_is_none_is_one_line(text, part):
    with pytest.raises(MematlasError) as caught:
        parsed(text)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_absent_file_and_an_unreadable_one_are_one_line(tmp_path):
    with pytest.raises(StudyError, match=r"There is no study file .*`mematlas init .*` writes one"):
        read_study_file(tmp_path / "no.yaml")
    with pytest.raises(StudyError, match="cannot be read as a study file"):
        read_study_file(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"corpus: caf\xe9")
    with pytest.raises(StudyError, match="YAML file in UTF-8"):
        read_study_file(tmp_path / "latin.yaml")


def test_the_written_file_says_what_was_asked_and_shows_every_other_default():
    text = study_file_text(EXAMPLE)
    assert {name: yaml.safe_load(text)[name] for name in EXAMPLE} == EXAMPLE == yaml.safe_load(text)
    lines = text.splitlines()
    for name, field in StudyFile.model_fields.items():
        places = [at for at, line in enumerate(lines) if line.removeprefix("#").startswith(f"{name}:")]
        assert len(places) == 1, name
        assert lines[places[0] - 1] == f"# {field.description}"
        assert lines[places[0]].startswith("#") == (name not in EXAMPLE)


def test_the_written_defaults_are_the_defaults():
    least = {"models": ["uniform:60"], "corpus": "c.npy", "study": "s"}
    text = study_file_text(least)
    names = tuple(f"#{name}:" for name in StudyFile.model_fields)
    uncommented = "\n".join(line[1:] if line.startswith(names) else line for line in text.splitlines())
    assert set(yaml.safe_load(uncommented)) == set(StudyFile.model_fields)
    assert parsed(uncommented) == parsed(text) == parsed(LEAST)


def test_awkward_values_survive_the_writing():
    values = {"models": ["a: b", "#c", "null"], "corpus": "ä {x}", "study": "s", "rows": "1e3"}
    assert yaml.safe_load(study_file_text(values)) == values


def test_an_unknown_size_or_step_cannot_be_ordered_by(shelf):
    from mematlas.pipeline.run import run

    with pytest.raises(OptionError, match=r"--order step needs the training step of every model, but \S+ states none"):
        run(shelves.study_file(shelf, order="step"))


def test_a_misspelt_key_is_told_before_the_key_that_is_missing_for_it():
    with pytest.raises(OptionError, match=r"line 2: a study file has no key 'corpsu'\. Did you mean 'corpus'\?"):
        parsed(LEAST.replace("corpus", "corpsu"))
