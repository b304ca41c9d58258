"""Findings recomputed from tables alone, and written as CSV and LaTeX."""

import csv
import io
import json
import subprocess
import sys

import polars as pl
import pytest

import mematlas
from mematlas.analyses import ANALYSES
from mematlas.errors import OptionError, StudyError, UnknownName
from mematlas.findings.export import escape_latex, export_finding, latex, parse_formats
from mematlas.findings.finding import Finding, Table, Taxonomy, read_finding
from mematlas.study.build_stamps import is_current, record
from tests import study_shelf as shelves


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    shelf = shelves.fill(tmp_path_factory.mktemp("shelf"))
    return mematlas.run(shelves.study_file(shelf, analyses="size", gallery="false"))


def index(study):
    return json.loads((study.folder / "findings" / study.run().key / "index.json").read_text())


def test_all_analyses_are_kept_in_their_order(study):
    findings = mematlas.analyze(study)
    assert [finding.name for finding in findings] == list(ANALYSES) == index(study)
    kept = read_finding(study.folder / "findings" / study.run().key / "size")
    assert kept.claim == next(finding for finding in findings if finding.name == "size").claim


def test_only_some_are_recomputed_and_the_others_stay_in_the_index(study):
    mematlas.analyze(study, only=["overlap", "size"])
    assert [finding.name for finding in mematlas.analyze(str(study.folder), only=["overlap", "size"])] == [
        "size",
        "overlap",
    ]
    assert {"size", "overlap"} <= set(index(study))


def test_a_wrong_name_is_answered_with_the_nearest(study):
    with pytest.raises(UnknownName, match=r"Did you mean 'size'\? `mematlas list analyses` shows"):
        mematlas.analyze(study, only=["sizes"])


def test_an_unknown_run_is_one_line(study):
    with pytest.raises(StudyError, match="has no run feed"):
        mematlas.analyze(study, run="feed")


def test_an_earlier_run_is_analysed_by_its_key(study):
    first = study.run().key
    options = {"corpus": str(study.folder.parent / "rows.npy"), "context": [8], "continuation": [4]}
    mematlas.score(f"uniform:{shelves.V}", study=study.folder, **options)
    assert study.run().key != first
    mematlas.analyze(study, only=["size"], run=first[:6])
    assert (study.folder / "findings" / first / "size" / "finding.json").is_file()


def test_an_unfinished_run_is_refused(tmp_path):
    shelf = shelves.fill(tmp_path)
    study = mematlas.run(shelves.study_file(shelf, gallery="false", analyses="size"))
    next(study.folder.glob("scores/*/*/*.done")).unlink()
    with pytest.raises(StudyError, match="run the same command again"):
        mematlas.analyze(study)


def test_analysing_needs_neither_torch_nor_the_corpus(study, tmp_path):
    (study.folder.parent / "rows.npy").rename(tmp_path / "elsewhere.npy")
    try:
        script = f"import mematlas, sys; mematlas.analyze({str(study.folder)!r}); print('torch' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    finally:
        (tmp_path / "elsewhere.npy").rename(study.folder.parent / "rows.npy")
    assert done.stdout.strip() == "False"


def test_notes_survive_damage(tmp_path):
    record(tmp_path, "report", "a")
    assert is_current(tmp_path, "report", "a")
    assert not is_current(tmp_path, "report", "b")
    (tmp_path / "made.json").write_text("{")
    assert not is_current(tmp_path, "report", "a")


AWKWARD = Table(
    "awkward",
    "50 % of & all",
    pl.DataFrame(
        {
            "model_name": ["a_b & c", 'say "1,5"', "50 % {x}~^\\"],
            "share": [0.123456, None, 1.5e-7],
            "rows": [1234567, 2, None],
            "levels": [[1, 2], [], None],
        }
    ),
    {"model_name": "label\nof it", "share": "of rows", "rows": "counted", "levels": "all"},
)
FINDING = Finding("f", "F", "It is so.", "our choice", Taxonomy(), tables=(AWKWARD,))


def test_csv_is_read_back_with_empty_cells_for_what_was_not_measured(tmp_path):
    (path,) = export_finding(tmp_path, FINDING, ["csv"])
    assert path == tmp_path / "awkward.csv"
    lines = list(csv.reader(io.StringIO(path.read_text())))
    assert lines == [
        ["model_name", "share", "rows", "levels"],
        ["a_b & c", "0.123456", "1234567", "1 2"],
        ['say "1,5"', "", "2", ""],
        ["50 % {x}~^\\", "1.5e-7", "", ""],
    ]


def test_latex_is_escaped_and_ruled(tmp_path):
    csv_path, path = export_finding(tmp_path, FINDING, ["csv", "latex"])
    assert (csv_path.suffix, path.name) == (".csv", "awkward.tex")
    assert path.read_text().splitlines() == [
        "% 50 % of & all",
        "% model_name: label of it",
        "% share: of rows",
        "% rows: counted",
        "% levels: all",
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{lrrl}",
        r"\toprule",
        r"model name & share & rows & levels \\",
        r"\midrule",
        r"a\_b \& c & 0.1235 & 1234567 & 1 2 \\",
        r'say "1,5" & -- & 2 &  \\',
        r"50 \% \{x\}\textasciitilde{}\textasciicircum{}\textbackslash{} & $1.5 \times 10^{-7}$ & -- & -- \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    assert escape_latex("#1 $") == r"\#1 \$"
    assert latex(AWKWARD).count("&") - latex(AWKWARD).count(r"\&") == 4 * 3 + 1  # and the one of the comment


def test_an_unknown_format_is_an_error_that_suggests_the_nearest():
    assert parse_formats("csv, latex") == ["csv", "latex"]
    assert parse_formats("") == []
    with pytest.raises(OptionError, match=r"--export latx: must be one of csv, latex. Did you mean 'latex'"):
        parse_formats("latx")
