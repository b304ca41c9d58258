"""A study that an older version wrote opens, resumes, is analysed and reported as it was, but for what CHANGED names.

data/study-0.1.0.dev0.tar.xz was written by version 0.1.0.dev0 (commit d7b0bb5) with `mematlas run study.yaml`: three
stand-ins and a control model, signals and hidden states, row features, all findings and a gallery.
"""

import json
import math
import tarfile
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import mematlas
from mematlas.analyses import ANALYSES
from mematlas.cli import run as command
from mematlas.models.standins.standin import StandInSource
from mematlas.pipeline.run import build_steps
from mematlas.pipeline.step import StepContext, step_statuses
from mematlas.pipeline.study_file import read_study_file
from mematlas.scoring.job import resolve_job

ARCHIVE = Path(__file__).parent / "data" / "study-0.1.0.dev0.tar.xz"
#: Processors add in another order: slopes of the archive differ by 1e-15 on some.
LAST_DIGITS = 1e-12
RUN = "d502817b885ba26d06df"

#: Tables (analysis/table, or analysis) -> columns whose values, or which themselves, have changed on purpose since.
CHANGED_COLUMNS = {
    # the mean of raw counts of fewer than 40,000 rows has no interval any more: it was too narrow
    "boundary_input/curves": ("mean_lower", "mean_upper"),
    "boundary_input/sentences": ("context_lower", "context_upper", "continuation_lower", "continuation_upper"),
    "taxonomy/traits": ("mean_lower", "mean_upper"),
    # joined intervals instead of a bootstrap that was one-sided where leaks are rare
    "distribution/means": ("mean_lower", "mean_upper", "excess_lower", "excess_upper"),
    # DeLong's interval was too narrow near 0 and 1, and missing at both
    "inference": ("auroc_lower", "auroc_upper", "exposure_lower", "exposure_upper"),  # the last count the references
    # no interval can hold a true calibration error of 0: what chance gives stands beside it instead
    "taxonomy/models": ("ece_lower", "ece_upper"),
}
#: Analyses that the version did not have.
NEW_ANALYSES = (
    *("bits", "capacity", "counterfactual", "did", "dynamics", "facts", "forgetting", "injection", "insertions"),
    *("parts_of_speech", "unique_ids"),
)
#: Analyses whose records of shuffled labels are the mean of 200 shuffles now, not one of them.
OTHER_SHUFFLES = ("boundary_input", "embedding", "entropy")
#: Analyses -> fields of finding.json that have changed on purpose; descriptions of tables ("tables") may in all.
CHANGED_FIELDS = {
    "boundary_input": ("control", "caveats"),  # 200 shuffles; means of few counts have no interval
    "embedding": ("control", "deviations"),  # 200 shuffles; intervals may leave out documents
    "entropy": ("control",),  # 200 shuffles
    "forecast": ("trends",),  # the interval of the base rate counts; of many pairs the nearest in compute decides
    # intervals of AUROC and of true positive rates; why there is no bag of words
    "inference": ("claim", "strength", "deviations", "caveats"),
    "predict": ("missing",),  # the remedy also records the entropies that predictors need
    "probability": ("trends",),  # a trend that nearly holds by definition says so
    "scaling": ("claim", "trends", "deviations"),  # growth is log-linear only if the points lie on the line
    "size": ("trends",),  # Student's t instead of the normal distribution
    "transitions": ("trends", "deviations"),  # P1's statement on growth as published, ours under a name of our own
}


@pytest.fixture
def older(tmp_path, monkeypatch):
    """The folder of the study file."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refuse(*_):
    raise AssertionError("a model was loaded")


def test_it_opens_with_all_its_tables(older, capsys):
    study = mematlas.open_study("study")
    assert study.run().key == RUN
    assert study.models()["model"].to_list() == ["parrot-22", "parrot-23", "parrot", "uniform-61"]
    shares = study.scores().filter(context=8, continuation=12, model="parrot").group_by("matches").len().sort("len")
    assert shares.rows() == [(0, 10), (12, 30)]
    assert set(study.signals("truth", context=8, continuation=12)["row"]) == set(range(40))
    assert study.features("counts").height > 0
    assert set(study.state_kinds()) == {"free", "truth"}
    assert command(["show", "study"]) == 0
    assert "complete" in capsys.readouterr().out
    assert command(["verify", "study"]) == 0


def test_its_study_file_has_nothing_to_do(older, monkeypatch):
    before = contents(older)
    monkeypatch.setattr(StandInSource, "load", refuse)
    study = mematlas.run("study.yaml")
    assert study.run().key == RUN
    changed = {path for path, data in contents(older).items() if before.get(path) != data}
    # the new analyses have findings now; the gallery takes example rows from all of them
    of_new_analyses = {"index.json", "made.json", "gallery.parquet"}
    others = {path for path in changed if path.parent.name not in NEW_ANALYSES}
    assert {path.name for path in others} <= of_new_analyses
    file = read_study_file(Path("study.yaml"))
    steps = build_steps(StepContext(file, resolve_job(file.models, file.config, extend=False)))
    statuses = step_statuses(steps)
    assert [name for name in ("scoring", "features", "occurrences") if not statuses[name].done] == []


def test_a_lost_shard_is_scored_again_and_the_same(older):
    known = mematlas.open_study("study").scores()
    for path in Path("study", "scores", RUN).glob("parrot-2*/shard-00001-*"):
        path.unlink()
    assert mematlas.open_study("study").scores(partial=True).height < known.height
    study = mematlas.run("study.yaml")
    assert study.run().key == RUN
    order = ["model", "row", "context", "continuation"]
    assert study.scores().sort(order).equals(known.sort(order))


def test_its_findings_are_recomputed_but_for_what_changed(older):
    folder = Path("study", "findings", RUN)
    known = contents(folder)
    assert [finding.title for finding in mematlas.analyze("study")]
    found = contents(folder)
    assert {path for path in found if path.parent.name not in NEW_ANALYSES} == known.keys()
    assert len([path for path in known if path.name == "finding.json"]) == len(ANALYSES) - len(NEW_ANALYSES)
    for path, data in known.items():
        analysis = path.parent.name
        if path.suffix == ".parquet":
            changed = CHANGED_COLUMNS.get(f"{analysis}/{path.stem}", CHANGED_COLUMNS.get(analysis, ()))
            assert unchanged(folder / path, analysis, pl.read_parquet(data).drop(changed, strict=False)), path
        elif path.name == "finding.json":
            before, after = json.loads(data), json.loads(found[path])
            old, new = meaning(before), meaning(after)
            changed = {name for name in old if not same(old[name], new[name])} - {"tables", "charts"}
            assert changed <= set(CHANGED_FIELDS.get(analysis, ())), (path, changed)
            assert list(map(drawn, before["charts"])) == list(map(drawn, after["charts"])), path
            assert [table["name"] for table in before["tables"]] == [table["name"] for table in after["tables"]], path
        elif path.name == "index.json":
            assert [name for name in json.loads(found[path]) if name not in NEW_ANALYSES] == json.loads(data)
        else:
            assert found[path] == data, path


def meaning(finding):
    """A finding without what is only worded otherwise since: its control, and what its trends compare."""
    verdicts = [(trend["trend"], trend["verdict"]) for trend in finding["trends"]]
    return finding | {"control": finding["control"] is not None, "trends": verdicts}


def drawn(chart):
    """What a chart shows; the words at its axes, and where its intervals end, may change."""
    axes = [chart[name] and chart[name]["column"] for name in ("x", "y", "color")]
    return axes + [chart[name] for name in ("name", "shape", "table", "lower", "upper", "facet", "dash", "where")]


def unchanged(path, analysis, before):
    """Whether the table at `path` has all columns of `before` (and maybe more), with equal values."""
    after = pl.read_parquet(path)
    if analysis in OTHER_SHUFFLES and "role" in before.columns:
        before, after = (frame.filter(pl.col("role") != "shuffled") for frame in (before, after))
    if not set(before.columns) <= set(after.columns):
        return False
    assert_frame_equal(after.select(before.columns), before, rel_tol=LAST_DIGITS, abs_tol=LAST_DIGITS)
    return True


def same(before, after):
    """Whether two values of a finding are equal, numbers but for their last digits."""
    if isinstance(before, float) and isinstance(after, float):
        return math.isclose(before, after, rel_tol=LAST_DIGITS)
    return before == after


def test_its_report_is_written(older):
    from mematlas.report.page import write_report

    page = write_report(Path("study")).read_text(encoding="utf-8")
    assert page.count("<figure") > 40
