"""An index on disk: built, resumed, verified, and refused where it is damaged or belongs to another corpus."""

import json
import shutil

import numpy as np
import pytest

from mematlas.errors import IndexFault
from mematlas.index import building
from mematlas.index.building import IndexOptions, build_index
from mematlas.index.folder import StoredStream, open_index, read_manifest, verify_index
from mematlas.index.lookup import look_up, open_any_index
from tests.index.oracle import Oracle, Rows

ROWS = Rows(np.random.default_rng(3).integers(0, 9, (40, 12)).tolist(), [number // 3 for number in range(40)])
OPTIONS = IndexOptions("by hand", 9, 0, shard_tokens=100, workers=1)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def index(tmp_path):
    build_index(ROWS, tmp_path / "index", OPTIONS)
    return tmp_path / "index"


def test_the_manifest_records_corpus_and_options(index):
    facts = read_manifest(index)
    assert (facts.tokens, facts.rows, facts.corpus, facts.eod, facts.dtype) == (480, 40, "made by hand", 0, "<u2")
    assert facts.documents == len(set(Oracle(ROWS, 0).document_of))
    assert len(facts.shards) == 5


def test_a_complete_index_is_left_alone(index, monkeypatch):
    before = contents(index)
    monkeypatch.setattr(building, "_sort_shard", None)
    monkeypatch.setattr(building, "_copy_stream", None)
    build_index(ROWS, index, OPTIONS)
    assert contents(index) == before


@pytest.mark.parametrize("missing_file", ["index.json", "suffixes-00002-of-00005.bin", "stream.json"])
def test_an_interrupted_build_is_refused_and_finished(index, missing_file):
    before = contents(index)
    (index / "index.json").unlink()
    (index / missing_file).unlink(missing_ok=True)
    with pytest.raises(
        IndexFault,
        match=r"contains (an index whose build was interrupted; run the same|no index; build)",
    ):
        open_index(index)
    build_index(ROWS, index, OPTIONS)
    assert contents(index) == before


def test_a_shard_cut_short_is_sorted_again(index):
    before = contents(index)
    (index / "index.json").unlink()
    shard = index / "suffixes-00001-of-00005.bin"
    shard.write_bytes(shard.read_bytes()[:-4])
    build_index(ROWS, index, OPTIONS)
    assert contents(index) == before


def test_several_processes_write_the_same_index(index, tmp_path):
    build_index(ROWS, tmp_path / "two", IndexOptions("by hand", 9, 0, shard_tokens=100, workers=2))
    assert contents(tmp_path / "two") == contents(index)


@pytest.mark.parametrize("name", ["tokens.bin", "rows.bin", "documents.bin", "suffixes-00004-of-00005.bin"])
def test_a_truncated_index_is_refused(index, name):
    data = (index / name).read_bytes()
    (index / name).write_bytes(data[:-2])
    with pytest.raises(
        IndexFault, match=rf"{name} has {len(data) - 2} bytes, not {len(data)}: the index is damaged; del"
    ):
        open_index(index)
    (index / name).unlink()
    with pytest.raises(IndexFault, match=rf"{name} is missing: the index is damaged"):
        StoredStream(index)


def test_verifying_finds_a_changed_byte_and_a_wrong_order(index):
    verify_index(index)
    path = index / "suffixes-00001-of-00005.bin"
    table = np.fromfile(path, "<u4")
    table[[10, 11]] = table[[11, 10]]
    table.tofile(path)
    with pytest.raises(IndexFault, match=r"suffixes-00001-of-00005.bin has changed since it was built; delete"):
        verify_index(index)
    manifest = json.loads((index / "index.json").read_text())
    from mematlas.index.folder import digest_file

    manifest["files"][path.name][1] = digest_file(path)
    (index / "index.json").write_text(json.dumps(manifest))
    with pytest.raises(IndexFault, match=r"suffixes-00001-of-00005.bin is out of order at entry 1[12]; delete"):
        verify_index(index)


def test_another_corpus_or_other_options_are_refused(index):
    with pytest.raises(
        IndexFault, match=r"another corpus \(made by hand, not other\); choose another --out, or delete"
    ):
        build_index(Rows(ROWS.rows, ROWS.documents, fingerprint="other"), index, OPTIONS)
    with pytest.raises(IndexFault, match=r"another eod \(0, not None\)"):
        build_index(ROWS, index, IndexOptions("by hand", 9))
    with pytest.raises(IndexFault, match=r"is the index of another corpus \(fingerprint made by hand, not other\)"):
        open_index(index, corpus="other")
    with pytest.raises(IndexFault, match=r"is the index of another tokenizer \(fingerprint None, not t\)"):
        open_index(index, tokenizer="t")
    open_index(index, corpus="made by hand")


def test_a_damaged_manifest_is_reported(index):
    (index / "index.json").write_text("{")
    with pytest.raises(IndexFault, match=r"index.json is damaged .*; delete the folder and build the index again"):
        open_index(index)
    (index / "index.json").write_text('{"layout": 99}')
    with pytest.raises(IndexFault, match=r"has layout 99, not 1; build the index again"):
        open_index(index)


def test_nothing_is_no_index(tmp_path):
    with pytest.raises(IndexFault, match=r"contains no index; build one: mematlas index CORPUS --out"):
        open_any_index(tmp_path)


def test_hits_are_shown_with_the_tokens_around_them(index):
    oracle = Oracle(ROWS, 0)
    ngram = ROWS.rows[7][2:5]
    result = next(iter(look_up(open_any_index(index), [ngram], "rows", 100, 3)))
    positions = oracle.positions(ngram, "rows")
    assert [hit.position for hit in result.hits] == positions
    assert result.count == len(positions)
    for hit in result.hits:
        row = ROWS.rows[hit.row]
        assert (row[hit.offset : hit.offset + 3], hit.document) == (ngram, oracle.document_of[hit.position])
        assert hit.before == row[max(0, hit.offset - 3) : hit.offset]
        assert hit.after == row[hit.offset + 3 : hit.offset + 6]


def test_a_tokenizer_that_is_another_than_the_index_s_is_refused(tmp_path):
    options = IndexOptions("by hand", 9, tokenizer="mine", tokenizer_fingerprint="aaa", workers=1)
    build_index(ROWS, tmp_path, options)
    opened = open_any_index(tmp_path)
    opened.check_tokenizer("aaa", "mine")
    with pytest.raises(
        IndexFault, match=r"another tokenizer \(fingerprint aaa\) than yours \(bbb\): the same text has ot"
    ):
        opened.check_tokenizer("bbb", "yours")


def test_large_ids_are_kept_in_four_bytes(tmp_path):
    rows = Rows([[2**32 - 1, 65536, 3], [65535, 65536, 3]])
    facts = build_index(rows, tmp_path, IndexOptions("by hand", workers=1))
    assert facts.dtype == "<u4"
    engine, _ = open_index(tmp_path)
    assert engine.count([[65536, 3], [2**32 - 1], [0, 1]]).tolist() == [2, 1, 0]


def test_an_index_can_be_moved(index, tmp_path):
    shutil.move(index, tmp_path / "moved")
    assert open_index(tmp_path / "moved")[0].count([ROWS.rows[0]], "rows").tolist() == [1]
