"""Numbers too large for any corpus or type: the command works, or ends as one line, never as a traceback."""

import pytest

from mematlas.cli import run
from tests import study_shelf as shelves

HUGE = str(10**20)
SCORE = ("score", "uniform:60", "--corpus", "rows.npy", "--context", "8", "--continuation", "4")
#: Words of a call -> a part of the line, or None where the number only means "all".
CALLS = {
    ("rows", "study", "--limit", HUGE): None,
    ("rows", "study", "--context", HUGE): "has none of 100000000000000000000 tokens, only 8.",
    ("count", "index", "--ids", HUGE): f"--ids: {HUGE} is no token id; these are from 0 to 4294967295.",
    ("count", "index", "--ids", "1,-2"): "--ids: -2 is no token id",
    ("count", "index", "--ids", "1,2", "--hits", HUGE, "--around", HUGE): None,
    ("verify", "study", "--rows", HUGE, "--no-rescore"): None,
    ("plan", "--rows", HUGE, "--context", HUGE): None,
    ("index", "rows.npy", "--row-length", HUGE, "--out", "i"): "has rows of 24 tokens, not 100000000000000000000",
    (*SCORE, "--context", HUGE, "--study", "s1"): "the longest of the selected rows has 24; leave it out",
    (*SCORE[:4], "--context", HUGE, "--study", "s2"): "have at most 24 tokens, but the smallest cell of the grid needs",
    (*SCORE, "--rows", f"first:{HUGE}", "--study", "s3"): None,
    (*SCORE, "--rows", f"slice:5:{HUGE}", "--study", "s4"): "is not within the corpus' 30 rows",
    (*SCORE, "--shards", HUGE, "--study", "s5"): "is more than the 30 rows",
    ("score", f"uniform:{HUGE}", *SCORE[2:], "--study", "s6"): "give at least 2 and at most 10,000,000",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = shelves.fill(tmp_path_factory.mktemp("huge"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run([*SCORE, "--study", "study"]) == 0
        assert run(["index", "rows.npy", "--out", "index"]) == 0
    return folder


@pytest.mark.parametrize(("words", "part"), CALLS.items(), ids=lambda value: " ".join(value or ())[:60])
def test_a_huge_number_is_no_traceback(cli, folder, monkeypatch, words, part):
    monkeypatch.chdir(folder)
    code, _, err = cli(*words)
    if part is None:
        assert code == 0, err
    else:
        assert code in (1, 2)
        assert err.splitlines()[-1].startswith("mematlas: ")
        assert part in err.splitlines()[-1]
