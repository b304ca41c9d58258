"""The output and errors of `mematlas probe recall`, over a random network."""

import json

import pytest

from mematlas.cli import run
from tests.probes.recall_stubs import TEMPLATE
from tests.probes.test_recall import folder  # noqa: F401


@pytest.fixture
def probe(capsys, folder, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(folder[0])

    def run_probe(*words):
        asked = ["probe", "recall", "model", "--items", "task.jsonl", "--out", tmp_path / "out", "--made-up", "3"]
        code = run([str(word) for word in (*asked, *words)])
        return code, *capsys.readouterr()

    return run_probe


def test_it_prints_a_line_a_setting_and_where_the_page_is(probe, tmp_path):
    code, out, err = probe("--template", TEMPLATE, "--shots", "0", "--pictures", "svg")
    assert code == 0, err
    (made,) = (tmp_path / "out").iterdir()
    lines = out.splitlines()
    assert lines[0].split()[:3] == ["template", "examples", "right"]
    assert lines[2].split()[:3] == ["template", "1", "0"]
    assert lines[-1] == f"The page is in {made / 'recall.html'}; the tables and their card (README.md) are beside it."
    assert "model, 1 answers an item: 43 items, 0 of them done" in err
    assert {path.name for path in (made / "recall-figures").iterdir()} == {
        "recall-settings.svg",
        "recall-by-popularity.svg",
        "recall-bucket-sizes.svg",
    }


def test_it_prints_the_same_as_json_and_nothing_else_when_quiet(probe):
    code, out, err = probe("--template", TEMPLATE, "--shots", "0", "--json", "--quiet")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert {"folder", "page", "model", "claim", "caveats", "accuracy", "correlations", "popularity"} <= set(document)
    assert document["accuracy"][0]["n"] == 40


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["--template", "{input}"], 2, "--template '{input}' lacks the slot {output}"),
        (["--template", TEMPLATE, "--popularity", "index:none"], 1, "none"),
        ([], 2, "--template"),
    ],
)
def test_a_mistake_is_one_line(probe, words, code, part):
    found, _, err = probe(*words, "--quiet")
    assert found == code
    assert part in err
    assert len(err.splitlines()) == 1
