"""A counterfactual experiment becomes an ordinary study: exposures are the subsets, and the finding follows."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mematlas.experiments import counterfactual as experiment
from mematlas.pipeline.counterfactual import counterfactual
from mematlas.verification.verify import verify
from tests.experiments.conftest import documents
from tests.experiments.test_counterfactual import TINY

#: enough models for each row to be in two and out of two, and enough epochs for something to be learnt
CONFIG = replace(TINY, models=12, epochs=25)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment.train_subsets, "__kwdefaults__", {
            **experiment.train_subsets.__kwdefaults__, "documents": documents
        })  # fmt: skip
        folder = tmp_path_factory.mktemp("experiment")
        first = counterfactual(folder, config=CONFIG)
        trained = {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")}
        again = counterfactual(folder, config=CONFIG)
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")} == trained
        assert again.study.run().key == first.study.run().key
    return folder, again


def test_exposures_are_the_subsets(outcome):
    folder, result = outcome
    members = np.load(folder / "subsets.npy")
    exposures = result.study.scan_exposures().collect()
    assert exposures.height == members.size
    labels = [f"subset-{number:03d}-step-000075" for number in range(12)]
    assert result.study.models()["model"].to_list() == labels
    for label, is_member in zip(labels, members, strict=True):
        of_model = exposures.filter(model=label).sort("row")
        assert of_model["times"].to_list() == (25 * is_member).tolist()
        assert of_model["first_step"].is_null().to_list() == (~is_member).tolist()
        shown = of_model.filter(pl.col("times") > 0)
        assert shown["first_step"].is_between(1, 3).all()
        assert shown["last_step"].is_between(73, 75).all()


def test_the_finding_has_the_copies_and_sources_of_the_rows(outcome):
    finding = outcome[1].analyses.findings["counterfactual"]
    assert finding.missing is None
    rows = finding.table("mem")
    assert rows["copies"].to_list() == [1] * 10 + [3] * 6 + [1] * 8
    assert rows["source"].to_list() == ["text"] * 16 + ["random"] * 4 + ["template"] * 4
    assert rows["n_in"].to_list() == np.load(outcome[0] / "subsets.npy").sum(0).tolist()
    known = rows.drop_nulls("mem")
    np.testing.assert_allclose(known["mem"], known["in"] - known["out"], atol=1e-12)
    assert known["mem"].mean() > 0.02


def test_the_study_is_sound(outcome):
    assert verify(outcome[1].study.folder).faults == ()
