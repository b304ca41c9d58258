"""What a user of `mematlas init`, `run`, `analyze` and `list analyses` reads."""

import pytest

from mematlas.analyses import ANALYSES
from tests import study_shelf as shelves


@pytest.fixture
def shelf(tmp_path):
    return shelves.fill(tmp_path)


def test_init_writes_a_file_once(say, tmp_path):
    path = tmp_path / "new" / "study.yaml"
    code, out, _ = say("init", path)
    assert code == 0
    assert f"mematlas run --dry-run {path}" in out
    path.write_text("mine")
    code, _, said = say("init", path)
    assert (code, path.read_text()) == (1, "mine")
    assert said == f"mematlas: {path} is there already and is left as it is; name another file.\n"


def test_init_says_where_it_cannot_write(say, tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, _, said = say("init", tmp_path / "file" / "study.yaml")
    assert code == 1
    assert said.count("\n") == 1
    assert "cannot be written" in said


def test_run_says_what_was_written_and_what_to_do_next(say, shelf):
    code, out, said = say("run", shelves.study_file(shelf))
    study = shelf / "study"
    assert code == 0
    assert f"Scores of 3 models: {study} (mematlas show {study})" in out
    assert f"Row features: {study / 'features'}" in out
    assert f"{len(ANALYSES)} findings: {study}" in out
    assert f"Rows, token by token: {study / 'gallery' / 'gallery.parquet'}" in out
    assert f"The report is off; write it with: mematlas report {study}" in out
    assert "analysis size ..." in said


def test_a_dry_run_prints_the_plan_and_writes_nothing(say, shelf):
    code, out, _ = say("run", "--dry-run", shelves.study_file(shelf, control_models="uniform:60"))
    assert code == 0
    assert not (shelf / "study").exists()
    assert "rows: 30 train + 10 control, 2 cells a row" in out
    assert "uniform-60 (control)" in out
    assert "token-forwards: 19 a row at most; rows that recite, and equal rows, take fewer." in out
    assert "kB at most for scores, signals and hidden states of all models" in out
    assert "of scoring; rough: " in out
    assert "rows of uniform-60 at" in out
    assert "scoring: 4 of 4 models to score" in out


def test_a_dry_run_of_what_is_done_says_so(say, shelf):
    path = shelves.study_file(shelf)
    say("run", path)
    code, out, _ = say("run", path, "--dry-run")
    assert code == 0
    assert "time: nothing is left to score." in out
    assert "steps: scoring: done, features: done, predictors: off, analyses: done, gallery: done, report: off" in out


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["run", "no.yaml"], 1, "There is no study file no.yaml; `mematlas init no.yaml` writes one"),
        (["run"], 2, "mematlas run --help"),
        (["analyze", "nowhere"], 1, "nowhere is no study"),
        (["analyze"], 2, "mematlas analyze --help"),
        (["features", "nowhere"], 1, "nowhere is no study"),
        (["features"], 2, "mematlas features --help"),
        (["features", "s", "--scope", "words"], 2, "mematlas features --help"),
    ],
)
def test_a_wrong_command_is_one_line(say, words, code, part):
    given, _, said = say(*words)
    assert given == code
    assert said.count("\n") == 1
    assert part in said


def test_features_say_what_was_counted_and_what_to_do_next(say, shelf):
    say("run", shelves.study_file(shelf, gallery="false", analyses="size", features="false"))
    study = shelf / "study"
    code, out, said = say("features", study, "--scope", "rows", "--eod", "9", "--joined")
    assert code == 0
    assert "Features of 40 rows, counted within rows of 720 tokens in " in out
    assert f" documents: {study / 'features'}" in out
    assert f"Analyse again with them: mematlas analyze {study}" in out
    assert "reading the corpus: 30 rows, 0 of them done" in said
    assert "counting n-grams: 720 of 720 tokens, " in said
    assert " tokens/s, 0 s left" in said
    code, _, said = say("features", study, "--scope", "rows", "--eod", "9", "--joined")
    assert (code, said) == (0, f"Row features are there already: {next((study / 'features').iterdir())}\n")
    code, _, said = say("features", study, "--eod", "59")
    assert (code, said.count("\n")) == (1, 1)  # before anything is counted
    assert "mematlas: The end-of-document token --eod 59 stands nowhere in the corpus (720 tokens)" in said


def test_analyze_prints_claims_and_exports_tables(say, shelf):
    say("run", shelves.study_file(shelf, gallery="false", analyses="overlap"))
    code, out, _ = say("analyze", shelf / "study", "--only", "size", "--only", "overlap", "--export", "csv,latex")
    assert code == 0
    assert "size: At 8 + 12 tokens the memorized share is 10.0 %" in out
    assert "2 findings are in" in out
    assert f"mematlas report {shelf / 'study'}" in out
    assert (next((shelf / "study" / "findings").glob("*/size")) / "shares.tex").is_file()
    assert len(list((shelf / "study" / "findings").glob("*/*/*.csv"))) >= 2


def test_analyze_answers_a_wrong_name_with_the_nearest(say, shelf):
    say("run", shelves.study_file(shelf, gallery="false", analyses="size"))
    code, _, said = say("analyze", shelf / "study", "--only", "sizes")
    assert (code, "Did you mean 'size'?" in said, said.count("\n")) == (1, True, 1)
    code, _, said = say("analyze", shelf / "study", "--export", "excel")
    assert code == 1
    assert "--export excel: it is one of csv, latex." in said


def test_list_analyses_shows_which_cells_of_the_taxonomy_are_covered(say):
    code, out, _ = say("list", "analyses")
    assert code == 0
    assert set(ANALYSES) <= {line.split()[0] for line in out.splitlines() if line}
    covered = next(line for line in out.splitlines() if line.startswith("verbatim x k-discoverable"))
    assert "size" in covered
    missing = next(line for line in out.splitlines() if line.startswith("Not covered"))
    assert "entity x extractable" in missing
    assert "verbatim x k-discoverable" not in missing


@pytest.mark.parametrize("command", ["run", "init", "analyze", "features"])
def test_the_help_has_an_example(say, command):
    code, out, _ = say(command, "--help")
    assert code == 0
    assert f"mematlas {command}" in out.split("Example")[1]
