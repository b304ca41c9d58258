"""`experiment facts` and `experiment capacity` in small: from a file to a study with their findings."""

import polars as pl
import pytest
import yaml

import mematlas
from mematlas.experiments.data import documents as data_documents
from mematlas.findings.finding import read_findings
from tests.experiments.conftest import documents

SIZE = {"hidden": 16, "layers": 1, "heads": 2, "peak_rate": 0.02}


@pytest.fixture(autouse=True)
def synthetic_texts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data_documents, "standard_library_documents", documents)


def findings(name, folder, values):
    path = folder / "e.yaml"
    path.write_text(yaml.safe_dump({"out": "out", "sizes": [SIZE], **values}))
    study = mematlas.experiment(name, path)
    return study, {finding.name: finding for finding in read_findings(study.folder, study.run().key)}


def test_facts_are_a_study_of_treatments_beside_their_twins(tmp_path):
    values = {
        "vocabulary": 300, "row_length": 128, "batch": 4, "context": 8, "base_steps": 2, "per_group": 2,
        "injections": 2, "interval": 4, "after_steps": 5, "held_out_rows": 3,
    }  # fmt: skip
    study, found = findings("facts", tmp_path, values)
    assert (tmp_path / "out" / "facts.jsonl").is_file()
    assert found["facts"].missing is None
    effectivity = found["facts"].table("effectivity")
    assert set(effectivity["group"]) == {"paraphrased", "duplicated", "once"}
    assert effectivity["parameters"].null_count() == 0
    bits = found["bits"].table("bits").row(0, named=True)
    assert (bits["rows"], bits["controls"]) == (6, 2)
    assert "control" in bits["reference"]
    exposures = study.scan_exposures().collect().filter(pl.col("model").str.contains("treatment"))
    by_model = exposures.group_by("model", maintain_order=True).agg("times")["times"].to_list()
    assert by_model == [[1, 1, 2, 2, 1, 1]] * 2, "of both seeds"


def test_capacity_is_a_study_without_texts(tmp_path):
    values = {"row_length": 9, "vocabulary": 8, "batch": 8, "sequences": [8, 16], "steps": 8}
    _, found = findings("capacity", tmp_path, values)
    assert found["capacity"].table("sizes")["per_parameter"].item() > 0
