"""The output of `mematlas experiment` and of `mematlas init --experiment`."""

import json

import yaml

from mematlas.experiments.data import documents as data_documents
from tests.experiments.conftest import documents
from tests.pipeline.test_experiment import FORGET


def test_init_writes_a_file_that_a_dry_run_reads(cli, tmp_path):
    path = tmp_path / "forget.yaml"
    code, out, _ = cli("init", path, "--experiment", "forget")
    assert (code, f"then: mematlas experiment forget {path}" in out) == (0, True)
    code, out, _ = cli("experiment", "forget", path, "--dry-run")
    assert code == 0
    assert "neox-0.62m-seed0--30x" in out
    assert "TFLOP of training" in out
    assert f"Run it: mematlas experiment forget {path}" in out
    code, out, _ = cli("experiment", "forget", path, "--dry-run", "--json")
    models = json.loads(out)["models"]
    assert "neox-0.62m-seed0--30x" in [model["model"] for model in models]
    assert all(model["tokens"] > model["steps"] > 0 for model in models)
    assert [child.name for child in tmp_path.iterdir()] == ["forget.yaml"], "a dry run writes nothing"


def test_an_experiment_prints_its_claim_and_its_report(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(data_documents, "standard_library_documents", documents)
    path = tmp_path / "f.yaml"
    path.write_text(yaml.safe_dump(FORGET))
    code, out, err = cli("experiment", "forget", path)
    assert code == 0, err
    assert "- Nothing clear is left of rows that were shown briefly. M of 4 rows changes by " in out
    assert "The report: open " in out
    report = tmp_path / "out" / "study" / "report.html"
    assert report.is_file()
    code, out, err = cli("experiment", "forget", path, "--json")
    assert (code, json.loads(out)["report"]) == (0, str(report)), err
    assert any("were shown 6 times" in claim for claim in json.loads(out)["claims"].values())


def test_sequences_are_injected_alone_on_request(cli, tmp_path):
    path = tmp_path / "inject.yaml"
    cli("init", path, "--experiment", "inject")
    code, out, err = cli("experiment", "inject", path, "--check-interaction", "2", "--dry-run", "--json")
    assert code == 0, err
    labels = [model["model"] for model in json.loads(out)["models"]]
    assert labels[:5] == [
        f"neox-0.14m-seed0{end}" for end in ("", "--control", "--treatment", "--alone-0", "--alone-1")
    ]
    assert len(labels) == 3 * 3 * 5
    cli("init", tmp_path / "forget.yaml", "--experiment", "forget")
    code, _, err = cli("experiment", "forget", tmp_path / "forget.yaml", "--check-interaction", "2", "--dry-run")
    assert (code, "a forget file has no key 'check_interaction'" in err) == (1, True)


def test_errors_are_one_line(cli, tmp_path):
    code, _, err = cli("experiment", "forgot", tmp_path / "f.yaml")
    assert (code, "No experiment is called 'forgot'" in err) == (1, True)
    code, _, err = cli("experiment", "forget", tmp_path / "f.yaml")
    assert (code, "There is no file" in err) == (1, True)
