"""The search finds the rows that a plain loop over all texts finds, in the order of the page, without reading on."""

import pytest

from mematlas.explorer import search
from mematlas.explorer.routes import Explorer
from mematlas.study import open_study
from tests.explorer.asking import ask

VIEW = {"model": "s3", "context": 32, "continuation": 32, "sort": "margin"}


@pytest.fixture
def explorer(full_folder):
    return Explorer(open_study(full_folder))


def naive(explorer, wanted, **parameters):
    rows = ask(explorer, "/api/rows", **{**VIEW, **parameters}, limit=1000)["rows"]
    ids = {
        row: " ".join(map(str, tokens[:64]))
        for row, tokens in explorer.lines.study.features("tokens").select("row", "tokens").iter_rows()
    }
    return [record["row"] for record in rows if wanted in ids[record["row"]]]


@pytest.mark.parametrize("wanted", ["17 3", "4", "49 49 49", "no such", " 7 7 "])
@pytest.mark.parametrize("descending", [0, 1])
def test_it_finds_what_a_loop_finds_in_the_same_order(explorer, wanted, descending):
    expected = naive(explorer, wanted, descending=descending, repetitions_min=2)
    found = ask(explorer, "/api/rows", **VIEW, descending=descending, repetitions_min=2, search=wanted, limit=1000)
    assert [row["row"] for row in found["rows"]] == expected
    assert found["total"] == len(expected)
    assert found["searched"]["complete"]


def test_it_stops_after_what_the_page_needs_and_goes_on_for_the_next(explorer, monkeypatch):
    monkeypatch.setattr(search, "_FIRST_BLOCK", 8)
    monkeypatch.setattr(search, "_LARGEST_BLOCK", 8)
    expected = naive(explorer, "4")
    first = ask(explorer, "/api/rows", **VIEW, search="4", limit=5)
    assert [row["row"] for row in first["rows"]] == expected[:5]
    assert not first["searched"]["complete"]
    assert first["searched"]["rows"] <= 16
    again = ask(explorer, "/api/rows", **VIEW, search="4", limit=5)
    assert again["searched"] == first["searched"]
    second = ask(explorer, "/api/rows", **VIEW, search="4", limit=5, offset=5)
    assert [row["row"] for row in second["rows"]] == expected[5:10]
    assert second["searched"]["rows"] >= first["searched"]["rows"]


def test_it_says_how_far_it_came_when_the_time_is_up(explorer, monkeypatch):
    monkeypatch.setattr(search, "_FIRST_BLOCK", 8)
    monkeypatch.setattr(search, "_LARGEST_BLOCK", 8)
    monkeypatch.setattr(search.Searches.find, "__defaults__", (0.0,))
    rows = ask(explorer, "/api/study")["rows"]
    counts = []
    for _ in range(-(-rows // 8)):
        found = ask(explorer, "/api/rows", **VIEW, search="no such")
        counts.append(found["searched"]["rows"])
        assert found["rows"] == []
    assert counts == [min(rows, 8 * n) for n in range(1, len(counts) + 1)]
    assert found["searched"]["complete"]


def test_it_reads_no_more_rows_than_it_says(explorer, monkeypatch):
    monkeypatch.setattr(search, "_FIRST_BLOCK", 8)
    monkeypatch.setattr(search, "_LARGEST_BLOCK", 8)
    read, tokens = [], explorer.texts.tokens
    monkeypatch.setattr(explorer.texts, "tokens", lambda positions: read.append(len(positions)) or tokens(positions))
    found = ask(explorer, "/api/rows", **VIEW, search="4", limit=5)
    assert sum(read) == found["searched"]["rows"] + len(found["rows"])


def test_the_strip_plot_is_of_the_rows_found_so_far(explorer):
    found = ask(explorer, "/api/rows", **VIEW, search="17 3", limit=1000)
    strip = ask(explorer, "/api/strip", **VIEW, search="17 3")
    assert sum(each["n"] for each in strip["bins"]) == found["total"] > 0
