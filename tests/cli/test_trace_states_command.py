"""The output and errors of `mematlas trace-states`."""

import json

import numpy as np
import pytest

from mematlas.cli import run
from tests.probes.test_state_tracing import (
    CONTEXT,
    CONTINUATION,
    folder,  # noqa: F401
)


@pytest.fixture
def trace(capsys, folder, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(folder)

    def run_trace(*words):
        sizes = ["--context", CONTEXT, "--continuation", CONTINUATION, "--sources", "3", "--out", tmp_path / "out"]
        code = run([str(word) for word in ("trace-states", "model", "--corpus", "rows.npy", *sizes, *words)])
        return code, *capsys.readouterr()

    return run_trace


def test_it_prints_a_line_a_row_and_where_the_page_is(trace, tmp_path):
    np.save(tmp_path / "ids.npy", [0, 3])
    code, out, err = trace("--rows", f"ids:{tmp_path / 'ids.npy'}", "--pictures", "svg")
    assert code == 0
    (folder,) = (tmp_path / "out").iterdir()  # noqa: F811
    lines = out.splitlines()
    assert lines[0].split() == ["row", "tokens", "recited", "depending", "reach"]
    assert lines[2].split()[:3] == ["0", "4", "3"]
    assert lines[3].split() == ["3", "4", "0", "0", "-"]
    assert lines[-1] == f"The page is in {folder / 'traces.html'}; the tables and their card (README.md) are beside it."
    assert sorted(path.name for path in (folder / "traces-figures").iterdir()) == [
        "row-0-states.svg",
        "row-0-tokens.svg",
    ]
    assert "model: 108 patches, 0 of them done" in err


def test_it_prints_the_same_as_json_and_nothing_else_when_quiet(trace, tmp_path):
    code, out, err = trace("--rows", "first:2", "--twin", "twin", "--json", "--quiet")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert set(document) == {
        *("folder", "page", "model", "twin", "corpus", "selection", "rows", "context", "continuation", "sources"),
        *("positions", "seed", "traced"),
    }
    assert document["traced"][0]["recited"] == CONTINUATION - 1


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["--rows", "first:1", "--pictures", "gif"], 2, "--pictures: 'gif' is not one of png, svg, pdf. See `mematlas"),
        (["--rows", "first:1", "--twin", "uniform:499"], 1, "'uniform:499' has no hidden states to replace"),
        ([], 2, "--rows"),
    ],
)
def test_a_mistake_is_one_line(trace, words, code, part):
    found, _, err = trace(*words, "--quiet")
    assert found == code
    assert part in err
    assert len(err.splitlines()) == 1
