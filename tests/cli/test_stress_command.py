"""The output and errors of `mematlas stress`."""

import json

import numpy as np
import pytest

from mematlas.auditing.stress import run as stress_run
from mematlas.cli import run
from tests.audit.stress import stubs


@pytest.fixture
def stress(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stress_run, "find_model", stubs.source)
    np.save("rows.npy", stubs.trained_rows())
    np.save("control.npy", stubs.unseen_rows())
    np.save("forget.npy", np.arange(6))

    def run_stress(*words):
        sizes = [
            "--context",
            stubs.CONTEXT,
            "--continuation",
            stubs.CONTINUATION,
            "--threshold",
            "8",
            "--shifts",
            "2,8",
        ]
        asked = ["--corpus", "rows.npy", "--rows", "ids:forget.npy", *sizes, *words]
        code = run([str(word) for word in ("stress", "all", "from-8", *asked)])
        return code, *capsys.readouterr()

    return run_stress


def test_it_prints_lengths_verdict_and_where_the_page_is(stress, tmp_path):
    code, out, err = stress("--retain", "slice:6:12", "--control", "control.npy", "--pictures", "svg")
    assert code == 0, err
    (folder,) = (tmp_path / "stress").iterdir()
    lines = out.splitlines()
    assert lines[0].split("  ")[0] == "mean tokens recited"
    assert "all, before" in lines[0]
    assert lines[2].split()[-3:] == ["16.0", "0.0", lines[2].split()[-1]]
    assert "Verdict: prompt fails, text comes back." in lines
    assert any(line.startswith("- Control: of 30 never-seen rows 0 reach 8 tokens") for line in lines)
    name = folder.relative_to(tmp_path)
    assert lines[-1] == f"The page is in {name / 'stress.html'}; the tables are beside it."
    assert {path.name for path in folder.iterdir()} >= {"stress.html", "stress.parquet", "rows.parquet", "facts.json"}
    assert len(list((folder / "stress-figures").iterdir())) == 2


def test_it_prints_the_same_as_json_and_nothing_else_when_quiet(stress):
    code, out, err = stress("--control", "control.npy", "--json", "--quiet")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert set(document) == {
        *("folder", "page", "original", "unlearned", "retrained", "corpus", "selection", "rows", "too_short"),
        *("verdict", "damage", "claim", "caveats", "verdicts", "cost", "summary"),
    }
    assert document["verdict"] == "prompt fails, text comes back"
    assert document["rows"] == {"tested": 6, "control": 30}


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["--pictures", "gif"], 2, "--pictures: 'gif' is not one of png, svg, pdf. See `mematlas stress --help`."),
        (["--retain", "slice:5:12"], 2, "Row 5 is selected by --rows and by --retain"),
        (["--relearn", "3"], 2, "--relearn 3: 'from-8' is no folder with weights to train"),
    ],
)
def test_a_mistake_is_one_line(stress, words, code, part):
    found, _, err = stress(*words, "--quiet")
    assert found == code
    assert part in err
    assert len(err.splitlines()) == 1
