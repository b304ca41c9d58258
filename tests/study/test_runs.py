"""A run's file keeps its keys, and the former names of its fields stay readable."""

import pytest

from mematlas.io.paths import write_json
from mematlas.study import Run, read_run

CONTENT = {"key": "k", "rows_key": "r", "shards": 2, "models": {"m": "m-1"}, "question": {"eos": "stop"}, "asked": 1.5}


def test_the_file_of_a_run_has_the_keys_of_older_studies(tmp_path):
    write_json(tmp_path / "k.json", CONTENT)
    run = read_run(tmp_path / "k.json")
    assert run == Run("k", "r", 2, {"m": "m-1"}, {"eos": "stop"}, 1.5)
    assert list(run.to_json().items()) == list(CONTENT.items())


def test_former_names_of_fields_are_aliases():
    run = Run.from_json(CONTENT)
    assert (run.question, run.asked) == (run.settings, run.requested_at) == ({"eos": "stop"}, 1.5)


@pytest.mark.parametrize("content", [CONTENT | {"unknown": 1}, {key: CONTENT[key] for key in ("key", "rows_key")}])
def test_unknown_and_missing_fields_are_refused(content):
    with pytest.raises(TypeError):
        Run.from_json(content)
