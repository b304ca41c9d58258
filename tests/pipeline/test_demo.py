"""The demo is a study: it writes a study file, runs it, and never overwrites an edited one."""

import json
from dataclasses import replace

import polars as pl
import pytest
import yaml

import mematlas
from mematlas.cli import run
from mematlas.findings.finding import read_findings
from mematlas.models.huggingface import FolderSource
from tests.experiments.conftest import PLANTING, TINY, train

pytestmark = pytest.mark.slow
FAMILY = replace(TINY, planting=replace(PLANTING, row_length=96, overlap=32))


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A folder with a trained tiny family and its study."""
    pytest.importorskip("altair")
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mematlas.experiments.repetition.train_family", trained)
        mematlas.demo(folder)
    return folder


def trained(out, config=None, progress=None):
    return train(out, FAMILY)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr("mematlas.experiments.repetition.train_family", trained)


def refuse(*_):
    raise AssertionError("work was done twice")


def test_the_study_file_names_the_family_in_its_own_folder(out):
    asked = yaml.safe_load((out / "study.yaml").read_text())
    assert asked["corpus"] == "corpus/train.parquet"
    assert asked["control"] == "corpus/control.parquet"
    assert asked["study"] == "study"
    assert (asked["context"], asked["continuation"]) == ([16, 32], [16, 32, 48, 64])
    assert all((out / model / "model.safetensors").is_file() for model in asked["models"])
    study = mematlas.open_study(out / "study")
    sizes = study.models()["parameters"].to_list()
    steps = study.models()["training_step"].to_list()
    assert list(zip(sizes, steps, strict=True)) == sorted(zip(sizes, steps, strict=True))
    assert sizes.count(max(sizes)) == len(FAMILY.checkpoint_steps)
    assert sizes.count(min(sizes)) == 1


def test_the_study_file_run_from_elsewhere_does_nothing_again(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(FolderSource, "load", refuse)
    monkeypatch.setattr("mematlas.report.page.write_report", refuse)
    monkeypatch.setattr("mematlas.pipeline.steps.gallery.choose_rows", refuse)
    before = mematlas.open_study(out / "study").run()
    assert mematlas.run(out / "study.yaml").run() == before


def test_rows_have_as_many_copies_as_they_were_shown_in_training(out):
    study = mematlas.open_study(out / "study")
    assert (study.feature_facts()["scope"], study.feature_facts()["ordered"]) == ("rows", True)
    copies = study.features("copies").join(study.rows(), on="row")
    assert copies.filter(pl.col("repetitions") > 1).height
    assert copies.filter(role="control").height
    assert copies["window_rows"].equals(copies["repetitions"], check_names=False)
    assert study.features("counts")["kinds"].null_count() == 0
    assert study.features("texts")["bytes"].null_count() == 0


@pytest.mark.usefixtures("tiny")
def test_the_demo_again_prints_the_table_the_claims_and_the_report(out, monkeypatch, capsys):
    monkeypatch.setattr(FolderSource, "load", refuse)
    assert run(["demo", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "Share of rows recited whole: 32 tokens after 32, greedy decoding" in said
    assert "6 rows a column, 8 control rows." in said
    assert "What stands out:\n- " in said
    assert f"The report: open {out / 'study' / 'report.html'}" in said
    assert f"Change the settings: edit {out / 'study.yaml'}, then: mematlas run {out / 'study.yaml'}" in said
    assert (out / "study" / "report.html").stat().st_size > 10_000
    assert run(["demo", "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["report"] == str(out / "study" / "report.html")
    assert {record["rows"] for record in printed["shares"] if record["role"] == "train"} == {6}
    key = mematlas.open_study(out / "study").run().key
    findings = {finding.name: finding for finding in read_findings(out / "study", key)}
    assert printed["claims"] == {name: findings[name].claim for name in printed["claims"]}
    assert all(f"- {findings[name].in_short}" in said for name in printed["claims"])


@pytest.mark.usefixtures("tiny")
def test_an_edited_study_file_is_left_as_it_is(out, capsys):
    path = out / "study.yaml"
    text = path.read_text()
    path.write_text(text.replace("continuation: [16, 32, 48, 64]", "continuation: [8]"))
    try:
        assert run(["demo", "--out", str(out)]) == 0
        assert "it was edited; the demo used its own settings" in capsys.readouterr().out
        assert "continuation: [8]" in path.read_text()
        assert mematlas.open_study(out / "study").run().settings["continuation"] == [16, 32, 48, 64]
    finally:
        path.write_text(text)


class Captured(Exception):
    """Ends the demo before its study."""


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("option", "workers"), [([], 4), (["--workers", "3"], 3)])
def test_workers_share_the_study_by_default_one_a_core_and_four_at_most(out, monkeypatch, option, workers):
    def capture(file, progress):
        raise Captured(file.workers)

    monkeypatch.setattr("mematlas.pipeline.demo.run_file", capture)
    monkeypatch.setattr("mematlas.cli.commands.train.demo.cores", lambda: 9)
    with pytest.raises(Captured, match=str(workers)):
        run(["demo", "--out", str(out), *option])
    with pytest.raises(Captured, match="1"):
        mematlas.demo(out)
    assert "workers" not in yaml.safe_load((out / "study.yaml").read_text())


def test_no_workers_are_refused_before_anything_is_trained(tmp_path, capsys):
    assert run(["demo", "--out", str(tmp_path / "demo"), "--workers", "0"]) == 2
    assert "--workers: Input should be greater than 0 (given: 0)" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()
