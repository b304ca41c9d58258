"""Running a study file: what is done, what is not done twice, and that one failing analysis stops no other."""

import json
from dataclasses import replace

import polars as pl
import pytest

import mematlas
from mematlas.analyses import ANALYSES
from mematlas.analyses.frames.study_tables import read_tables
from mematlas.analyses.scores.size import finding as size
from mematlas.errors import MissingExtra, StudyError
from mematlas.models.standins.standin import StandInSource
from mematlas.progress import Silent
from tests import study_shelf as shelves


@pytest.fixture
def shelf(tmp_path):
    return shelves.fill(tmp_path)


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def changed(before, after):
    return {path.name for path in after if before.get(path) != after[path]}


def refuse(*_):
    raise AssertionError("work was done twice")


class Listening(Silent):
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def test_a_file_is_scored_as_the_same_options_would_be(shelf, monkeypatch):
    study = mematlas.run(shelves.study_file(shelf, control_models="uniform:61", analyses="size", gallery="false"))
    monkeypatch.chdir(shelf)
    other = mematlas.score(
        "parrot:few.npy:22",
        "parrot:half.npy:23",
        "parrot:rows.npy",
        corpus="rows.npy",
        control="control.npy",
        context=[8],
        continuation=[4, 12],
        study="other",
    )
    assert study.run().key == other.run().key
    assert study.models()["model"].to_list() == ["parrot-22", "parrot-23", "parrot", "uniform-61"]
    assert study.scores().filter(pl.col("model") != "uniform-61").equals(other.scores())


def test_control_models_are_no_members_of_the_family(shelf):
    keys = {"control_models": "[uniform:61]", "gallery": "false", "analyses": "size"}
    tables = read_tables(mematlas.run(shelves.study_file(shelf, **keys)))
    assert tables.control_models == ("uniform-61",)
    assert tables.by_size == ("parrot-22", "parrot-23", "parrot")
    assert set(tables.counts().filter(model="uniform-61")["role"]) == {"control model"}


def test_a_model_that_is_asked_again_as_a_member_is_no_control_any_more(shelf, monkeypatch):
    monkeypatch.chdir(shelf)
    options = {"corpus": "rows.npy", "context": [8], "continuation": [4], "study": "s"}
    study = mematlas.score("parrot:rows.npy", control_models=["uniform:60", "uniform:61"], **options)
    assert study.run().settings["control_models"] == ["uniform-60", "uniform-61"]
    mematlas.score("uniform:60", **options)
    assert study.run().settings["control_models"] == ["uniform-61"]
    assert len(study.runs()) == 1
    assert study.manifest()["runs"][study.run().key]["question"] == study.run().settings


def test_a_file_names_all_models_of_its_run(shelf):
    first = mematlas.run(shelves.study_file(shelf, models="[parrot:few.npy:22, parrot:rows.npy]", analyses="size"))
    kept = times(shelf / "study" / "scores")
    second = mematlas.run(shelves.study_file(shelf, models="[parrot:rows.npy]", analyses="size"))
    assert second.run().key == first.run().key
    assert list(second.run().models) == ["parrot"]
    assert times(shelf / "study" / "scores") == kept
    finding = second.folder / "findings" / second.run().key / "size" / "finding.json"
    assert "cannot be said" in json.loads(finding.read_text())["claim"]


def test_the_order_of_the_models_is_that_of_the_file(shelf):
    given, by_size = ["parrot", "parrot-22", "parrot-23"], ["parrot-22", "parrot-23", "parrot"]
    for order, expected in (("given", given), ("size", by_size), ("given", given)):
        study = mematlas.run(shelves.study_file(shelf, order=order, analyses="size", gallery="false"))
        assert study.models()["model"].to_list() == expected


def test_the_same_file_twice_does_nothing(shelf, monkeypatch):
    path = shelves.study_file(shelf)
    study = mematlas.run(path)
    before = times(shelf / "study")
    monkeypatch.setattr(StandInSource, "load", refuse)
    monkeypatch.setattr("mematlas.pipeline.steps.analyze.run_analysis", refuse)
    monkeypatch.setattr("mematlas.pipeline.steps.gallery.choose_rows", refuse)
    mematlas.run(path)
    index = study.folder / "findings" / study.run().key / "index.json"
    assert changed(before, times(shelf / "study")) <= {"index.json"}
    assert json.loads(index.read_text()) == list(ANALYSES)


def test_a_new_version_of_the_package_makes_findings_and_gallery_again_but_scores_nothing(shelf, monkeypatch):
    path = shelves.study_file(shelf)
    mematlas.run(path)
    before = times(shelf / "study")
    monkeypatch.setattr("mematlas.study.build_stamps.__version__", "9.9")
    mematlas.run(path)
    again = changed(before, times(shelf / "study"))
    assert {"finding.json", "gallery.parquet", "made.json"} <= again
    assert not any(name.startswith("shard-") for name in again)


def test_one_more_model_makes_findings_again(shelf):
    few = "[size, overlap]"
    mematlas.run(shelves.study_file(shelf, models="[parrot:few.npy:22, parrot:half.npy:23]", analyses=few))
    before = times(shelf / "study")
    study = mematlas.run(shelves.study_file(shelf, analyses=few))
    findings = study.folder / "findings" / study.run().key
    assert all(before[path] != path.stat().st_mtime_ns for path in findings.glob("*/finding.json"))
    assert "parrot" in set(pl.read_parquet(findings / "size" / "shares.parquet")["model"])


def test_a_finding_that_is_gone_or_damaged_is_made_again_alone(shelf):
    path = shelves.study_file(shelf, gallery="false")
    study = mematlas.run(path)
    findings = study.folder / "findings" / study.run().key
    (findings / "size" / "finding.json").unlink()
    (findings / "overlap" / "finding.json").write_text("{")
    before = {path: time for path, time in times(findings).items() if path.parent.name not in ("size", "overlap")}
    mematlas.run(path)
    after = times(findings)
    assert {path.parent.name for path in before if before[path] != after[path]} <= {findings.name}  # its index
    assert json.loads((findings / "overlap" / "finding.json").read_text())["name"] == "overlap"
    assert (findings / "size" / "finding.json").is_file()


def test_the_index_holds_the_analyses_that_the_file_names(shelf):
    study = mematlas.run(shelves.study_file(shelf, gallery="false"))
    index = study.folder / "findings" / study.run().key / "index.json"
    mematlas.run(shelves.study_file(shelf, gallery="false", analyses="[overlap, size]"))
    assert json.loads(index.read_text()) == ["size", "overlap"]
    mematlas.analyze(study, only=["size"])
    assert json.loads(index.read_text()) == list(ANALYSES)


def broken(_):
    return 1 // 0


def test_an_analysis_that_breaks_stops_no_other_and_is_told(shelf, monkeypatch):
    path = shelves.study_file(shelf)
    monkeypatch.setattr(size, "ANALYSIS", replace(size.ANALYSIS, compute=broken))
    with pytest.raises(StudyError, match=r"1 of \d+ analyses failed: size \(ZeroDivisionError: .*test_run.py, line"):
        mematlas.run(path)
    study = mematlas.open_study(shelf / "study")
    findings = study.folder / "findings" / study.run().key
    assert json.loads((findings / "index.json").read_text()) == [name for name in ANALYSES if name != "size"]
    assert (study.folder / "gallery" / "gallery.parquet").is_file()
    monkeypatch.undo()
    mematlas.run(path)
    assert json.loads((findings / "index.json").read_text()) == list(ANALYSES)


def test_an_unforeseen_error_is_not_hidden(shelf, monkeypatch):
    def unforeseen(_):
        raise RuntimeError("never seen")

    monkeypatch.setattr(size, "ANALYSIS", replace(size.ANALYSIS, compute=unforeseen))
    with pytest.raises(RuntimeError, match="never seen"):
        mematlas.run(shelves.study_file(shelf))


def test_a_gallery_that_is_turned_off_is_gone(shelf):
    study = mematlas.run(shelves.study_file(shelf, analyses="size"))
    gallery = study.folder / "gallery" / "gallery.parquet"
    assert gallery.is_file()
    mematlas.run(shelves.study_file(shelf, gallery="false", analyses="size"))
    assert not gallery.exists()
    mematlas.run(shelves.study_file(shelf, analyses="size"))
    assert gallery.is_file()


def test_the_report_is_written_when_findings_or_gallery_are_newer(shelf, monkeypatch):
    pytest.importorskip("altair")
    written = []

    def write_report(study, workers):
        written.append(study)
        (study / "report.html").write_text("page")
        return study / "report.html"

    monkeypatch.setattr("mematlas.report.page.write_report", write_report)
    path = shelves.study_file(shelf, report="true", analyses="size")
    for expected in (1, 1):
        mematlas.run(path)
        assert len(written) == expected
    mematlas.analyze(shelf / "study", only=["size"])
    mematlas.run(path)
    assert len(written) == 2
    mematlas.run(shelves.study_file(shelf, report="true", analyses="size", gallery_rows="1"))
    assert len(written) == 3
    (shelf / "study" / "report.html").unlink()
    mematlas.run(shelves.study_file(shelf, report="true", analyses="size", gallery_rows="1"))
    assert written == [shelf / "study"] * 4


def test_a_report_without_its_libraries_is_one_line_after_all_else(shelf, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    for name in [name for name in __import__("sys").modules if name.startswith("mematlas.report.")]:
        monkeypatch.delitem(__import__("sys").modules, name)
    with pytest.raises(MissingExtra, match=r"needs the library 'jinja2'.*mematlas\[report\].*all else is done"):
        mematlas.run(shelves.study_file(shelf, report="true", analyses="size"))
    assert (shelf / "study" / "gallery" / "gallery.parquet").is_file()


def test_each_step_is_told(shelf):
    listening = Listening()
    mematlas.run(shelves.study_file(shelf), listening)
    said = "\n".join(listening.said)
    assert f"Scoring 3 models into {shelf / 'study'}" in said
    assert "analysis size ..." in said
    assert f"{len(ANALYSES)} findings are in" in said
    assert "Gallery: rows worth looking at" in said
