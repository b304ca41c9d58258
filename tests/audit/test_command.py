"""`mematlas audit` as a user calls it: exit codes, what it prints, what it refuses in one line."""

import json

import pytest

from mematlas.cli import run
from tests.audit import tickets


def call(capsys, *words):
    code = run([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_it_prints_the_verdict_and_fails_a_pipeline_on_a_leak(ground, tmp_path, capsys):
    words = ["audit", ground.tuned, "--train", ground.train, "--base", ground.base, "--out", tmp_path / "out"]
    words += ["--control", ground.control]
    quick = ["--secrets", "none", "--prompts", "0"]
    made = ["--into", ground.control, "--template", "My code is {digits:9}.", "--per-level", "2", "--quiet"]
    assert call(capsys, "canaries", "make", *made, "--out", tmp_path / "made")[0] == 0
    quick += ["--canaries", tmp_path / "made" / "key.parquet"]
    code, out, err = call(capsys, *words, *quick, "--fail-on", "leak,secrets>0")
    assert code == 3
    assert out.startswith("RECITES TRAINING TEXT: tuned recites a row whole in ")
    assert "- Secrets: not judged." in out
    assert str(tmp_path / "out" / "verdict.html") in out
    assert err.splitlines()[-1] == "Failed: leak (--fail-on)."
    command = json.loads((tmp_path / "out" / "verdict.json").read_text())["audited"]["command"]
    assert command.startswith("mematlas audit ")
    assert "--prompts 0" in command
    code, out, _ = call(capsys, "verify", tmp_path / "out", "--no-rescore")
    assert (code, out.splitlines()[0]) == (0, "The files of the verdict are as the audit wrote them.")
    before = (tmp_path / "out" / "study" / "report.html").stat().st_mtime_ns
    code, out, err = call(capsys, *words, *quick, "--json", "--quiet")
    assert (code, err) == (0, ""), "without a condition a leak is no failure"
    assert json.loads(out)["answer"] == "recites training text"
    canaries = next(look for look in json.loads(out)["looks"] if look["name"] == "canaries")
    assert not canaries["shows_leak"], "this model never saw them"
    assert any(f"The key is not that of {ground.train}" in caveat for caveat in canaries["caveats"])
    assert (tmp_path / "out" / "study" / "report.html").stat().st_mtime_ns == before, "nothing is scored twice"
    page = tmp_path / "out" / "verdict.html"
    page.write_text(page.read_text().replace("recites", "does not recite"))
    code, out, err = call(capsys, "verify", tmp_path / "out", "--no-rescore")
    assert code == 1
    assert f"fault: {page} was changed after the audit" in out
    assert "1 faults in the files of its verdict" in err
    code, out, _ = call(capsys, "verify", tmp_path / "out", "--no-rescore", "--json")
    assert (code, len(json.loads(out)["faults"])) == (1, 1)


def test_what_cannot_be_audited_is_said_in_one_line(ground, tmp_path, capsys):
    def refused(*words):
        code, _, err = call(capsys, "audit", ground.base, "--out", tmp_path / "out", *words)
        assert code in (1, 2)
        return err.splitlines()[-1]

    assert "There is no file or folder" in refused("--train", tmp_path / "absent.jsonl")
    short = tickets.write_jsonl(tmp_path / "short.jsonl", ["too short"] * 9)
    assert "Half of the texts have" in refused("--train", short)
    secrets = tmp_path / "empty.txt"
    secrets.write_text("\n")
    assert "There is no file" in refused("--train", ground.train, "--canaries", tmp_path / "none.parquet")
    text = refused("--train", ground.train, "--secrets", tmp_path / "none.txt")
    assert "cannot be read" in text
    assert "has no secret; write one a line" in refused("--train", ground.train, "--secrets", secrets)
    assert not (tmp_path / "out" / "study").exists(), "refused before anything was scored"


@pytest.mark.parametrize("words", [["--train"], []])
def test_the_training_file_must_be_named(ground, capsys, words):
    code, _, err = call(capsys, "audit", ground.base, *words)
    assert code == 2
    assert "--train" in err
