"""infini-gram v4 directories: written byte for byte as documented, read back, and compared with the package itself."""

import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mematlas.errors import IndexFault
from mematlas.index.building import IndexOptions, build_index
from mematlas.index.infinigram import export_infinigram, open_infinigram
from mematlas.index.lookup import look_up, open_any_index
from tests.index.oracle import Oracle, Rows

EOD = 0


def exported(rows, folder, *, shard=1 << 20, vocabulary=None, eod=EOD):
    build_index(rows, folder / "index", IndexOptions("by hand", vocabulary, eod, shard_tokens=shard, workers=1))
    export_infinigram(folder / "index", folder / "infini")
    return folder / "infini"


def naive_table(data, width):
    """Pointers to all tokens, sorted by the bytes that follow."""
    return sorted(range(0, len(data), width), key=lambda offset: data[offset:])


def test_every_byte_of_two_documents(tmp_path):
    folder = exported(Rows([[3, 258, 0, 3]], details={"token_dtype": "uint16"}), tmp_path)
    data = bytes.fromhex("ffff 0300 0201 ffff 0300")
    assert (folder / "tokenized.0").read_bytes() == data
    assert (folder / "offset.0").read_bytes() == (0).to_bytes(8, "little") + (6).to_bytes(8, "little")
    # 02 01 .., 03 00 (the end), 03 00 02 .., FF FF 03 00 (the end), FF FF 03 00 02 ..
    assert list((folder / "table.0").read_bytes()) == [4, 8, 2, 6, 0] == naive_table(data, 2)
    assert sorted(path.name for path in folder.iterdir()) == ["offset.0", "table.0", "tokenized.0"]


@pytest.mark.parametrize(("vocabulary", "width"), [(300, 2), (70000, 4)])
def test_tables_are_in_the_order_of_the_bytes(tmp_path, vocabulary, width):
    rows = Rows(np.random.default_rng(1).integers(1, vocabulary, (30, 17)).tolist())
    folder = exported(rows, tmp_path, vocabulary=vocabulary, shard=200)
    for shard in range(3):
        data = (folder / f"tokenized.{shard}").read_bytes()
        table = (folder / f"table.{shard}").read_bytes()
        pointer = len(table) * width // len(data)
        pointers = [int.from_bytes(table[at : at + pointer], "little") for at in range(0, len(table), pointer)]
        assert pointers == naive_table(data, width)
        for offset in np.frombuffer((folder / f"offset.{shard}").read_bytes(), "<u8").tolist():
            assert data[offset : offset + width] == b"\xff" * width
    assert not (folder / "tokenized.3").exists()


@pytest.mark.parametrize(("tokens", "pointer"), [(128, 1), (129, 2), (32768, 2), (32769, 3)])
def test_pointers_are_as_wide_as_the_file_needs(tmp_path, tokens, pointer):
    folder = exported(Rows([[1] * (tokens - 1)], details={"token_dtype": "uint16"}), tmp_path)
    entries = (folder / "tokenized.0").stat().st_size // 2
    assert (folder / "table.0").stat().st_size == pointer * entries


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([0, 1, 2, 256, 513]), min_size=1, max_size=8), min_size=1, max_size=10),
    st.sampled_from([3, 11, 1 << 20]),
    st.sampled_from([1000, 70000]),
)
def test_an_exported_index_agrees_with_the_oracle(tmp_path_factory, rows, shard, vocabulary):
    folder = exported(Rows(rows), tmp_path_factory.mktemp("infini"), shard=shard, vocabulary=vocabulary)
    oracle = Oracle(Rows(rows), EOD)
    engine = open_infinigram(folder, {1000: "uint16", 70000: "uint32"}[vocabulary])
    stream = [token for row in rows for token in row if token != EOD]
    ngrams = [[1], [2, 1], [256]] + [stream[start : start + n] for start in range(0, len(stream), 3) for n in (1, 2, 4)]
    ngrams = [ngram for ngram in ngrams if len(ngram) <= len(stream)]
    assert engine.count(ngrams).tolist() == [len(oracle.positions(ngram, "documents")) for ngram in ngrams]
    assert [found.tolist() for found in engine.documents(ngrams)] == [
        oracle.documents(ngram, "documents") for ngram in ngrams
    ]
    for ngram, found in zip(ngrams, engine.next_counts(ngrams), strict=True):
        following = oracle.next_counts(ngram, "documents")
        following.pop(EOD, None)  # infini-gram has the separator instead
        assert dict(zip(found.tokens.tolist(), found.counts.tolist(), strict=True)) == following


def test_hits_are_shown_within_their_document(tmp_path):
    folder = exported(Rows([[5, 6, 7, 0, 8, 6, 7, 9], [6, 7]]), tmp_path, vocabulary=20)
    found = next(iter(look_up(open_any_index(folder), [[6, 7]], "documents", 9, 5)))
    assert [(hit.document, hit.before, hit.after, hit.row) for hit in found.hits] == [
        (0, [5], [], None),
        (1, [8], [9], None),
        (2, [], [], None),
    ]


def test_rows_and_the_stream_are_unknown_there(tmp_path):
    engine = open_infinigram(exported(Rows([[1, 2], [3, 4]]), tmp_path, vocabulary=9))
    with pytest.raises(IndexFault, match=r"This index does not support the scope 'stream'; choose one of: documents\."):
        engine.count([[1]], "stream")
    with pytest.raises(IndexFault, match=r"The token id 65535 is outside the vocabulary, 0 to 65534"):
        engine.count([[65535]])


def test_the_separator_as_a_token_cannot_be_written(tmp_path):
    with pytest.raises(
        IndexFault, match=r"contains the token 65535, which is the separator of infini-gram; it cannot be exp"
    ):
        exported(Rows([[1, 65535]], details={"token_dtype": "uint16"}), tmp_path)


def test_damage_is_reported(tmp_path):
    folder = exported(Rows([[1, 2, 3], [3, 4]]), tmp_path, vocabulary=9)
    table, data = (folder / "table.0").read_bytes(), (folder / "tokenized.0").read_bytes()
    (folder / "table.0").write_bytes(table[:-1])
    with pytest.raises(
        IndexFault, match=r"table.0 \(6 bytes\) is not a table of pointers for the 7 tokens of tokenized.0"
    ):
        open_infinigram(folder)
    (folder / "table.0").write_bytes(table)
    (folder / "tokenized.0").write_bytes(data[:6])
    with pytest.raises(IndexFault, match=r"offset.0 does not point into tokenized.0 \(6 bytes\); copy both again"):
        open_infinigram(folder)
    (folder / "tokenized.0").write_bytes(b"\0" * len(data))
    with pytest.raises(IndexFault, match=r"tokenized.0 has no separators where its offsets point"):
        open_infinigram(folder)
    (folder / "tokenized.0").rename(folder / "tokenized")
    with pytest.raises(
        IndexFault, match=r"has the layout of infini-gram v6 .*, which is not supported; build it as v4"
    ):
        open_any_index(folder)
    (folder / "table.0").unlink()
    (folder / "tokenized").rename(folder / "tokenized.0")
    with pytest.raises(IndexFault, match=r"table.0 is missing: an infini-gram shard has tokenized, table and offset"):
        open_any_index(folder)


@pytest.mark.skipif(importlib.util.find_spec("infini_gram") is None, reason="infini-gram is not installed (no wheel?)")
def test_the_package_itself_gives_the_same_counts(tmp_path):
    from infini_gram.engine import InfiniGramEngine

    random = np.random.default_rng(2)
    rows = Rows([[*random.integers(1, 40, random.integers(1, 60)).tolist(), EOD] for _ in range(300)])
    folder = exported(rows, tmp_path, vocabulary=40, shard=3000)
    ngrams = [random.integers(1, 40, n).tolist() for n in (1, 2, 2, 3) for _ in range(50)]
    ngrams += [row[:5] for row in rows.rows if len(row) > 6]
    theirs = InfiniGramEngine(str(folder), eos_token_id=EOD, vocab_size=65535, version=4, token_dtype="u16")
    ours = open_infinigram(folder).count(ngrams)
    assert [theirs.count(input_ids=ngram)["count"] for ngram in ngrams] == ours.tolist()
    assert ours.max() > 100
    assert ours.min() == 0
