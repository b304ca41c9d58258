"""`mematlas init --schema`: editors accept the files that the program accepts, and refuse those that it refuses."""

import json
from types import SimpleNamespace

import jsonschema
import pytest
import yaml

from mematlas.errors import MematlasError
from mematlas.experiments import EXPERIMENTS
from mematlas.pipeline import demo
from mematlas.pipeline.study_file import StudyFile, parse_study_file
from mematlas.pipeline.study_file_template import study_file_text
from mematlas.pipeline.yaml_file import editor_schema

MINIMAL = {"models": ["a"], "corpus": "c.npy", "study": "s"}
#: Changes of the minimal file, and whether it is right with them.
FILES = [
    ({}, True),
    ({"context": 16}, True),
    ({"context": "16,32"}, True),
    ({"context": [16, 32], "signals": ["truth", "free"]}, True),
    ({"models": "a"}, True),
    ({"analyses": "size,context"}, True),
    ({"analyses": ["all"], "control": None, "batch": "auto"}, True),
    ({"corpsu": "c.npy"}, False),
    ({"models": []}, False),
    ({"context": "long"}, False),
    ({"context": [1.5]}, False),
    ({"analyses": ["sizes"]}, False),
    ({"align": "middle"}, False),
    ({"bos": "perhaps"}, False),
    ({"gallery_rows": 0}, False),
    ({"signals": ["truht"]}, False),
]


def is_valid(schema, values) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(values)


@pytest.mark.parametrize(("changes", "is_right"), FILES, ids=str)
def test_the_schema_agrees_with_the_program(tmp_path, changes, is_right):
    values = MINIMAL | changes
    assert is_valid(editor_schema(StudyFile), values) == is_right
    try:
        parse_study_file(yaml.safe_dump(values), tmp_path / "study.yaml")
        accepted = True
    except MematlasError:
        accepted = False
    assert accepted == is_right


def test_the_study_file_of_the_demo_follows_it_and_a_misspelt_one_does_not(tmp_path):
    members = [SimpleNamespace(label=name, folder=tmp_path / "models" / name, is_final=True) for name in ("a", "b")]
    files = {name: tmp_path / "corpus" / f"{name}.parquet" for name in ("train", "control", "order")}
    family = SimpleNamespace(folder=tmp_path, members=members, final=members, **files)
    text = study_file_text(demo._study_settings(family, full=False))
    schema = editor_schema(StudyFile)
    jsonschema.validate(yaml.safe_load(text), schema)
    assert not is_valid(schema, yaml.safe_load(text.replace("\ncontrol:", "\ncontrole:")))


def test_a_key_that_is_missing_is_seen():
    assert not is_valid(editor_schema(StudyFile), {"models": ["a"], "corpus": "c.npy"})


def test_the_file_that_init_writes_names_its_schema_and_follows_it(cli, tmp_path):
    path = tmp_path / "my.yaml"
    code, out, err = cli("init", path, "--schema")
    assert code == 0, err
    assert f"Wrote {tmp_path / 'my.schema.json'}, by which editors" in out
    text = path.read_text()
    assert text.splitlines()[0] == "# yaml-language-server: $schema=my.schema.json"
    schema = json.loads((tmp_path / "my.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(text), schema)
    assert all("description" in value for value in schema["properties"].values())
    parse_study_file(text, path)


def test_beside_a_file_that_exists_only_the_schema_is_written(cli, tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("mine: 1\n")
    code, out, _ = cli("init", path, "--schema")
    assert code == 0
    line = "# yaml-language-server: $schema=study.schema.json"
    assert out.splitlines()[1] == f"Put this line at the top of {path}: {line}"
    assert path.read_text() == "mine: 1\n"
    assert cli("init", path)[0] == 1


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_experiments_have_schemas(cli, tmp_path, name):
    path = tmp_path / "e.yaml"
    assert cli("init", path, "--experiment", name, "--schema")[0] == 0
    schema = json.loads((tmp_path / "e.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    kind = EXPERIMENTS.load(name)
    for preset in kind.presets.values():
        values = kind.config.model_validate(dict(preset)).model_dump(mode="json")
        jsonschema.validate(values, schema)
    assert not is_valid(schema, {"no_such_key": 1})
