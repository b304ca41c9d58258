"""What is left out, and a control that is in the corpus: recorded, said in one line, and refused where it is all."""

import json

import numpy as np
import pytest

import mematlas
from mematlas.cli import run as command
from mematlas.errors import CorpusError, OptionError
from mematlas.scoring.row_checks import row_remarks
from tests import study_shelf as shelves

GRID = {"context": [8], "continuation": [8]}


@pytest.fixture
def cli(capsys):
    """Run a command; returns exit code, standard output and standard error."""

    def run_command(*words):
        code = command([str(word) for word in words])
        return code, *capsys.readouterr()

    return run_command


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return shelves.fill(tmp_path)


def score(study="study", *, corpus="rows.npy", **options):
    return mematlas.score("uniform:60", corpus=corpus, study=study, **(GRID | options))


def write_documents(path, lengths):
    path.write_text("".join(json.dumps({"tokens": [1 + place % 50 for place in range(n)]}) + "\n" for n in lengths))
    return str(path)


def refusal(error, **options):
    with pytest.raises(error) as caught:
        score("refused", **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------------------------------------------------- left out


def test_a_thousand_short_documents_are_refused_and_then_named(shelf, cli):
    path = write_documents(shelf / "chat.jsonl", [15] * 1000 + [150])
    options = {"corpus": path, "row_length": 64, "cache": "cache"}
    assert refusal(CorpusError, **options) == (
        f"{path}: 1,000 of 1,001 documents, shorter than 64 tokens, are left out: over half. Choose a shorter "
        "--row-length, or accept that scores stand for the others only: --allow-short (in a study file: "
        "allow_short: true)."
    )
    assert not (shelf / "refused").exists()
    arguments = ["uniform:60", "--corpus", path, "--row-length", "64", "--cache", "cache", "--study", "s"]
    code, _, err = cli("score", *arguments, "--allow-short")
    line = (
        "left out: 1,000 of 1,001 documents, shorter than 64 tokens; 15,022 of 15,150 tokens, in those documents and "
    )
    assert code == 0
    assert [text for text in err.splitlines() if text.startswith(line)] == [
        line + "at the ends of documents, where they fill no row"
    ]
    assert f"  {line}" in cli("show", "s")[1]
    recorded = mematlas.open_study("s").manifest()["runs"]
    assert [entry["question"]["left_out"]["train"][0] for entry in recorded.values()] == [
        {"unit": "documents", "count": 1000, "total": 1001, "reason": "shorter than 64 tokens"}
    ]


def test_the_option_changes_no_key(shelf):
    path = write_documents(shelf / "docs.jsonl", [70, 70, 20])
    options = {"corpus": path, "row_length": 64, "cache": "cache"}
    assert score("a", **options).run().key == score("b", allow_short=True, **options).run().key


def test_half_is_not_over_half(shelf):
    path = write_documents(shelf / "docs.jsonl", [70, 20])
    study = score(corpus=path, row_length=64, cache="cache")
    assert row_remarks(study.run().settings)[0].startswith("left out: 1 of 2 documents, shorter than 64 tokens; ")


def test_rows_without_any_score_are_left_out(shelf):
    path = write_documents(shelf / "rows.jsonl", [20, 3, 4, 30])
    study = score(corpus=path, cache="cache")
    assert row_remarks(study.run().settings) == ["left out: 2 of 4 rows, shorter than 16 tokens"]
    path = write_documents(shelf / "short.jsonl", [20, 3, 4])
    assert refusal(CorpusError, corpus=path, cache="cache").startswith(
        f"{path}: 2 of 3 rows, shorter than 16 tokens, are left out: over half. Choose a shorter --context or "
        "--continuation, or accept"
    )
    allowed = score("allowed", corpus=path, cache="cache", allow_short=True)
    assert allowed.scores()["matches"].null_count() == 2
    remedied = score("remedied", corpus=path, cache="cache", context=[1], continuation=[2])
    assert row_remarks(remedied.run().settings) == []


def test_short_rows_of_the_control_are_named_and_refused_as_well(shelf):
    path = write_documents(shelf / "control.jsonl", [20, 3, 17])
    study = score(control=path, cache="cache")
    assert row_remarks(study.run().settings) == ["left out of the control: 1 of 3 rows, shorter than 16 tokens"]
    path = write_documents(shelf / "control.jsonl", [20, 3, 4])
    assert f"{path}: 2 of 3 rows" in refusal(CorpusError, control=path, cache="cache")


def test_a_study_file_has_the_option(shelf, cli):
    path = write_documents(shelf / "rows.jsonl", [24] * 4 + [3] * 9)
    changes = {"corpus": path, "control": None, "cache": "cache", "analyses": "distribution"}
    code, _, err = cli("run", shelves.study_file(shelf, **changes))
    assert (code, err.count("are left out: over half")) == (1, 1)
    code, _, err = cli("run", shelves.study_file(shelf, **changes, allow_short="true"))
    assert code == 0
    assert "left out: 9 of 13 rows, shorter than 12 tokens" in err


def test_the_gallery_and_the_probe_of_a_dry_run_take_few_rows_and_are_not_refused(shelf, cli):
    path = write_documents(shelf / "rows.jsonl", [24] + [3] * 7 + [24] * 8)
    file = shelves.study_file(shelf, corpus=path, control=None, cache="cache", analyses="distribution")
    code, out, _ = cli("run", "--dry-run", file)
    assert code == 0
    assert "rough estimate: " in out
    assert "  left out: 7 of 16 rows, shorter than 12 tokens" in out
    assert cli("run", file)[0] == 0


def test_what_is_known_of_a_run_is_not_counted_again(shelf, monkeypatch):
    path = write_documents(shelf / "rows.jsonl", [20, 3, 17])
    first = score(corpus=path, control="control.npy", cache="cache").run()
    monkeypatch.setattr("mematlas.corpus.row_counts.count_short_rows", None)
    monkeypatch.setattr("mematlas.corpus.row_counts.count_shared_rows", None)
    assert score(corpus=path, control="control.npy", cache="cache").run() == first


def test_older_runs_get_no_new_record_where_there_is_nothing_to_tell(shelf):
    study = score(control="control.npy")
    (path,) = (study.folder / "runs").glob("*.json")
    content = json.loads(path.read_text())
    for name in ("left_out", "shared_rows"):
        del content["question"][name]
    path.write_text(json.dumps(content))
    before = path.read_bytes()
    score(control="control.npy")
    assert path.read_bytes() == before


# ----------------------------------------------------------------------------------------------------------- control


def test_a_control_that_is_the_corpus_is_refused(shelf):
    corpus = mematlas.open_corpus("rows.npy")
    (shelf / "copy.npy").write_bytes((shelf / "rows.npy").read_bytes())
    for control in ("rows.npy", "copy.npy"):
        assert refusal(OptionError, control=control, rows="first:10", control_rows="slice:10:20") == (
            f"--control {control} is the corpus itself (fingerprint {corpus.fingerprint}), so it is no baseline; give "
            "text that no model was trained on, or leave --control out."
        )


def test_control_rows_that_are_rows_of_the_corpus_are_named_with_their_share(shelf, cli):
    rows, control = np.load("rows.npy"), np.load("control.npy")
    control[:3, :16] = rows[4:7, :16]
    np.save("control.npy", control)
    line = "no clean control: 3 of 10 control rows (30 %) are also scored rows of the corpus"
    arguments = ["uniform:60", "--corpus", "rows.npy", "--control", "control.npy", "--study", "s"]
    code, _, err = cli("score", *arguments, "--context", "8", "--continuation", "8")
    assert code == 0
    assert err.splitlines().count(line) == 1
    assert f"  {line}" in cli("show", "s")[1]
    assert mematlas.open_study("s").run().settings["shared_rows"] == {"count": 3, "total": 10}
    other = score("other", control="control.npy", rows="first:5")
    assert other.run().settings["shared_rows"] == {"count": 1, "total": 10}
    wider = score("wider", control="control.npy", continuation=[16])
    assert wider.run().settings["shared_rows"] == {"count": 0, "total": 10}


def test_a_control_whose_rows_are_all_in_the_corpus_is_refused(shelf):
    np.save("some.npy", np.load("rows.npy")[3:6])
    assert refusal(OptionError, control="some.npy") == (
        "All 3 rows of --control some.npy are also scored rows of rows.npy, so it is no baseline; give text that no "
        "model was trained on, or leave --control out."
    )


def test_a_clean_control_is_recorded_as_such(shelf):
    settings = score(control="control.npy").run().settings
    assert settings["shared_rows"] == {"count": 0, "total": 10}
    assert settings["left_out"] == {}
    assert row_remarks(settings) == []
