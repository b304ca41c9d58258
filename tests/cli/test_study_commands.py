"""The output and errors of `mematlas init`, `run`, `analyze`, `features` and `list analyses`."""

import pytest

from mematlas.analyses import ANALYSES
from tests import study_shelf as shelves


@pytest.fixture
def shelf(tmp_path):
    return shelves.fill(tmp_path)


def test_init_writes_a_file_once(cli, tmp_path):
    path = tmp_path / "new" / "study.yaml"
    code, out, _ = cli("init", path)
    assert code == 0
    assert f"mematlas run --dry-run {path}" in out
    path.write_text("mine")
    code, _, err = cli("init", path)
    assert (code, path.read_text()) == (1, "mine")
    assert err == f"mematlas: {path} already exists and is not overwritten; name another file.\n"


def test_init_reports_a_file_that_it_cannot_write(cli, tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, _, err = cli("init", tmp_path / "file" / "study.yaml")
    assert code == 1
    assert err.count("\n") == 1
    assert "cannot be written" in err


def test_run_prints_what_was_written_and_what_to_do_next(cli, shelf):
    code, out, err = cli("run", shelves.study_file(shelf))
    study = shelf / "study"
    assert code == 0
    assert f"Scores of 3 models: {study} (mematlas show {study})" in out
    assert f"Row features: {study / 'features'}" in out
    assert f"{len(ANALYSES)} findings: {study}" in out
    assert f"Rows, token by token: {study / 'gallery' / 'gallery.parquet'}" in out
    assert f"The report is off; write it with: mematlas report {study}" in out
    assert "analysis size ..." in err


def test_a_dry_run_prints_the_plan_and_writes_nothing(cli, shelf):
    code, out, _ = cli("run", "--dry-run", shelves.study_file(shelf, control_models="uniform:60"))
    assert code == 0
    assert not (shelf / "study").exists()
    assert "rows: 30 train + 10 control, 2 cells per row" in out
    assert "uniform-60 (control)" in out
    assert "token-forwards: at most 19 per row; rows that recite and equal rows take fewer." in out
    assert "disk: at most " in out
    assert "kB for scores, signals and hidden states of all models" in out
    assert "of scoring; rough estimate: " in out
    assert "rows of uniform-60 at" in out
    assert "scoring: 4 of 4 models to score" in out


def test_a_dry_run_of_a_finished_study_says_so(cli, shelf):
    path = shelves.study_file(shelf)
    cli("run", path)
    code, out, _ = cli("run", path, "--dry-run")
    assert code == 0
    assert "time: nothing is left to score." in out
    assert "steps: scoring: done, features: done, occurrences: done, predictors: off, " in out
    assert ", predictors: off, analyses: done, gallery: done, report: off\n" in out


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["run", "no.yaml"], 1, "There is no study file no.yaml; `mematlas init no.yaml` writes one"),
        (["run"], 2, "mematlas run --help"),
        (["analyze", "nowhere"], 1, "nowhere is not a study"),
        (["analyze"], 2, "mematlas analyze --help"),
        (["features", "nowhere"], 1, "nowhere is not a study"),
        (["features"], 2, "mematlas features --help"),
        (["features", "s", "--scope", "words"], 2, "mematlas features --help"),
    ],
)
def test_a_wrong_command_is_one_line(cli, words, code, part):
    exit_code, _, err = cli(*words)
    assert exit_code == code
    assert err.count("\n") == 1
    assert part in err


def test_features_prints_what_was_counted_and_what_to_do_next(cli, shelf):
    cli("run", shelves.study_file(shelf, gallery="false", analyses="size", features="false"))
    study = shelf / "study"
    code, out, err = cli("features", study, "--scope", "rows", "--eod", "9", "--joined")
    assert code == 0
    assert "Features of 40 rows, counted within rows of 720 tokens in " in out
    assert f" documents: {study / 'features'}" in out
    assert f"Analyse the study with them: mematlas analyze {study}" in out
    assert "reading the corpus: 30 rows, 0 of them done" in err
    assert "counting n-grams: 720 of 720 tokens, " in err
    assert " tokens/s, 0 s left" in err
    code, _, err = cli("features", study, "--scope", "rows", "--eod", "9", "--joined")
    assert (code, err) == (0, f"Row features exist already: {next((study / 'features').iterdir())}\n")
    code, _, err = cli("features", study, "--eod", "59")
    assert (code, err.count("\n")) == (1, 1)  # before anything is counted
    assert "mematlas: The end-of-document token --eod 59 does not occur in the corpus (720 tokens)" in err


def test_analyze_prints_claims_and_exports_tables(cli, shelf):
    cli("run", shelves.study_file(shelf, gallery="false", analyses="overlap"))
    code, out, _ = cli("analyze", shelf / "study", "--only", "size", "--only", "overlap", "--export", "csv,latex")
    assert code == 0
    assert "size: Bigger models recite more rows. Recited: 10.0 % (3.5 to 25.6 %) by parrot-22" in out
    assert "2 findings are in" in out
    assert f"mematlas report {shelf / 'study'}" in out
    assert (next((shelf / "study" / "findings").glob("*/size")) / "shares.tex").is_file()
    assert len(list((shelf / "study" / "findings").glob("*/*/*.csv"))) >= 2


def test_analyze_suggests_the_nearest_name(cli, shelf):
    cli("run", shelves.study_file(shelf, gallery="false", analyses="size"))
    code, _, err = cli("analyze", shelf / "study", "--only", "sizes")
    assert (code, "Did you mean 'size'?" in err, err.count("\n")) == (2, True, 1)
    code, _, err = cli("analyze", shelf / "study", "--export", "excel")
    assert code == 2
    assert "--export excel: must be one of csv, latex." in err


def test_list_analyses_shows_which_cells_of_the_taxonomy_are_covered(cli):
    code, out, _ = cli("list", "analyses")
    assert code == 0
    assert set(ANALYSES) <= {line.split()[0] for line in out.splitlines() if line}
    covered = next(line for line in out.splitlines() if line.startswith("verbatim x k-discoverable"))
    assert "size" in covered
    missing = next(line for line in out.splitlines() if line.startswith("Not covered"))
    assert "entity x extractable" in missing
    assert "verbatim x k-discoverable" not in missing


@pytest.mark.parametrize("command", ["run", "init", "analyze", "features"])
def test_the_help_has_an_example(cli, command):
    code, out, _ = cli(command, "--help")
    assert code == 0
    assert f"mematlas {command}" in out.split("Example")[1]
