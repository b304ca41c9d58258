"""`mematlas experiment counterfactual`: exposures are the subsets, and the finding follows from the scores."""

from dataclasses import asdict

import numpy as np
import polars as pl
import pytest
import yaml

import mematlas
from mematlas.errors import OptionError
from mematlas.experiments.data import documents as data_documents
from mematlas.findings.finding import read_findings
from mematlas.verification.verify import verify
from tests.experiments.conftest import documents
from tests.experiments.test_counterfactual import KEYS

#: enough models for a row to be in two and out of two, and enough epochs for something to be learnt
MODELS, EPOCHS = 10, 25


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    sizes = [asdict(size) for size in KEYS["sizes"]]
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(KEYS | {"models": MODELS, "epochs": EPOCHS, "sizes": sizes, "out": "out"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_documents, "standard_library_documents", documents)
        return mematlas.experiment("counterfactual", path)


def test_exposures_are_the_subsets(study):
    members = np.load(study.folder.parent / "subsets.npy")
    labels = [f"subset-{number:03d}-step-{3 * EPOCHS:06d}" for number in range(MODELS)]
    assert study.models()["model"].to_list() == labels
    exposures = study.scan_exposures().collect()
    assert exposures.height == members.size
    for label, is_member in zip(labels, members, strict=True):
        times = exposures.filter(model=label).sort("row")["times"]
        assert times.to_list() == (EPOCHS * is_member).tolist()


def test_the_finding_follows_from_the_scores(study):
    (finding,) = (found for found in read_findings(study.folder, study.run().key) if found.name == "counterfactual")
    assert finding.missing is None
    rows = finding.table("mem")
    assert rows["copies"].to_list() == [1] * 10 + [3] * 6 + [1] * 8
    assert rows["source"].to_list() == ["text"] * 16 + ["random"] * 4 + ["template"] * 4
    members = np.load(study.folder.parent / "subsets.npy")
    assert rows["n_in"].to_list() == members.sum(0).tolist()
    scores = study.scores().filter(pl.col("row") < 24).sort("row", "model")
    by_hand = scores["matches"].to_numpy().reshape(24, MODELS) / 16
    for row, (values, is_member) in enumerate(zip(by_hand, members.T, strict=True)):
        if 2 <= is_member.sum() <= MODELS - 2:
            mem = values[is_member].mean() - values[~is_member].mean()
            assert rows["mem"][row] == pytest.approx(mem, abs=1e-12)
    assert rows["mem"].mean() > 0.02


def test_keys_may_be_given_in_python(tmp_path):
    with pytest.raises(OptionError, match=r"a counterfactual file has no key 'modles'\. Did you mean 'models'"):
        mematlas.experiment("counterfactual", keys={"out": tmp_path, "modles": 4})
    with pytest.raises(OptionError, match="greater than or equal to 4"):
        mematlas.experiment("counterfactual", keys={"out": tmp_path, "models": 2})


def test_the_study_is_sound(study):
    assert verify(study.folder).faults == ()
