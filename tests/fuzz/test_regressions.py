"""Damaged inputs that once broke a reader, each reduced to the smallest one."""

import io
import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from mematlas.corpus.base import Corpus, CorpusOptions
from mematlas.corpus.formats.parquet import ParquetTable
from mematlas.corpus.opening import open_corpus
from mematlas.corpus.reading.compression import read_lines
from mematlas.errors import MematlasError
from mematlas.pipeline.study_file import parse_study_file
from tests.fuzz.inputs import ENCODER

MINIMAL_STUDY_FILE = "models: [uniform:60]\ncorpus: c.npy\nstudy: s\n"


def error_of(act: Callable[[], object]) -> str:
    """The message of the error, which must be one line."""
    with pytest.raises(MematlasError) as caught:
        act()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def read_all(path: Path, options: CorpusOptions | None = None, format: str | None = None) -> Corpus:
    corpus = open_corpus(path, format=format, options=options or CorpusOptions(cache=path.parent / ".cache"))
    corpus.read(np.arange(len(corpus)), 8)
    return corpus


def text_options(tmp_path: Path) -> CorpusOptions:
    return CorpusOptions(row_length=2, encoder=ENCODER, cache=tmp_path / ".cache")


class TestJsonl:
    def write(self, tmp_path: Path, content: str) -> Path:
        path = tmp_path / "a.jsonl"
        path.write_text(content)
        return path

    def test_brackets_in_brackets(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, '{"tokens": ' + "[" * 5000)
        assert "a.jsonl, line 1 is not valid JSON: maximum recursion depth" in error_of(lambda: read_all(path))

    @pytest.mark.parametrize("name", ["text", "source"])
    def test_half_of_a_surrogate_pair(self, tmp_path: Path, name: str) -> None:
        path = self.write(tmp_path, json.dumps({"text": "abcd", "source": "s"} | {name: "ab\ud83dcd"}))
        message = error_of(lambda: read_all(path, text_options(tmp_path)))
        assert f"line 1: {name!r} has \\ud83d, half of a surrogate pair" in message

    def test_a_whole_pair_is_text(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, '{"text": "a\\ud83d\\ude00", "source": "\\ud83d\\ude00"}')
        corpus = read_all(path, text_options(tmp_path))
        assert corpus.read(np.array([0]), 2).ids.tolist() == [[97, 0x1F600]]
        assert corpus.provenance(np.array([0])).source == ["😀"]

    def test_names_with_line_ends_and_escapes(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, json.dumps({"tokens": [1]}) + "\n" + json.dumps({"a\nb\x1b[2J": [1]}))
        assert "it has: a b\\x1b[2J." in error_of(lambda: read_all(path))


class TestCompressed:
    def test_highly_compressed_data_is_read_in_parts(self, tmp_path: Path) -> None:
        path = tmp_path / "a.zst"
        with path.open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as writer:
            for _ in range(256):
                writer.write((b" " * 1023 + b"\n") * 1024)
        assert path.stat().st_size < 64 << 10
        tracemalloc.start()
        try:
            assert sum(1 for line in read_lines(path) if len(line) == 1023) == 256 * 1024
            assert tracemalloc.get_traced_memory()[1] < 160 << 20
        finally:
            tracemalloc.stop()

    def test_lines_across_pieces(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        for content in (b"", b"\n", b"ab\n" * 900_000, b"x" * (3 << 20) + b"\n\ny", b"\n" + b"z" * (1 << 20)):
            path.write_bytes(content)
            expected = content.split(b"\n")
            assert list(read_lines(path)) == (expected if expected[-1] else expected[:-1])


class TestNpy:
    def write(self, tmp_path: Path, header: str, data: bytes = b"", version: int = 1) -> Path:
        path, size = tmp_path / "a.npy", "<H" if version == 1 else "<I"
        packed = header.encode()
        path.write_bytes(b"\x93NUMPY" + bytes([version, 0]) + struct.pack(size, len(packed)) + packed + data)
        return path

    @pytest.mark.parametrize(
        "header",
        [
            "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3)",
            "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), 'open",
            "(" * 300,
            "{1: 2, 'a': 3}",
            "-" * 9000,
            "'" + "x" * 20_000,
        ],
    )
    def test_a_header_that_is_no_dictionary(self, tmp_path: Path, header: str) -> None:
        path = self.write(tmp_path, header)
        assert "has no readable .npy header" in error_of(lambda: read_all(path))

    @pytest.mark.parametrize("shape", ["(-2, -3)", "(-6,)", "(4294967296, 4294967296)", f"({2**70}, 3)", "(0, 5)"])
    def test_sizes_that_no_array_has(self, tmp_path: Path, shape: str) -> None:
        header = f"{{'descr': '<i4', 'fortran_order': False, 'shape': {shape}}}\n"
        for data in (b"", bytes(24)):
            path = self.write(tmp_path, header, data)
            for options in (CorpusOptions(), CorpusOptions(row_length=3)):
                assert "a.npy" in error_of(lambda path=path, options=options: read_all(path, options))  # type: ignore[misc]


class TestTables:
    def test_text_that_is_not_utf8(self, tmp_path: Path) -> None:
        content = io.BytesIO()
        pq.write_table(pa.table({"text": ["abcd", "wxyz"]}), content, compression="none", use_dictionary=False)
        path = tmp_path / "a.parquet"
        path.write_bytes(content.getvalue().replace(b"wxyz", b"\xff\xfe\xfd\xfc"))
        message = error_of(lambda: read_all(path, text_options(tmp_path)))
        assert "a.parquet is a damaged table" in message
        assert "UTF8" in message

    def test_a_row_group_with_a_negative_number_of_rows(self, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table({"tokens": [[1]] * 5000}), path)
        content = path.read_bytes()
        position = content.rindex(b"\x90\x4e")  # 5000 as Thrift writes it; -5000 is one less
        path.write_bytes(content[:position] + b"\x8f" + content[position + 1 :])
        assert "row group 0 declares -5000 rows" in error_of(lambda: ParquetTable([path]))

    @pytest.mark.parametrize("which", [0, 1])
    def test_a_name_of_a_column_that_is_not_utf8(self, which: int, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table({"tokens": [[1], [2]]}), path)
        content = bytearray(path.read_bytes())
        positions = [i for i in range(len(content)) if content[i : i + 6] == b"tokens"]
        content[positions[which] + 1] = 0xFF
        path.write_bytes(content)
        if which == 0:
            assert "not readable as Parquet ('utf-8' codec can't" in error_of(lambda: ParquetTable([path]))
        else:  # columns are not found by the name in a row group
            assert ParquetTable([path]).schema.names == ["tokens"]

    def test_a_row_group_that_is_shorter_than_declared(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"tokens": [[1], [2]]}), tmp_path / "a.parquet")
        table = ParquetTable([tmp_path / "a.parquet"])
        table._starts[-1] = 7
        assert "a part of it has fewer rows than it declares" in error_of(
            lambda: list(table.take(np.array([0, 6]), ["tokens"]))
        )

    @pytest.mark.parametrize(("ids", "part"), [([1, None], "row 1 has no id"), ([1, 2**63], "a number above 2^63")])
    def test_invalid_ids(self, tmp_path: Path, ids: list[int | None], part: str) -> None:
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table({"tokens": [[1, 2], [3, 4]], "index": pa.array(ids, pa.uint64())}), path)
        corpus = read_all(path)
        assert part in error_of(lambda: corpus.row_ids(np.array([0, 1])))

    def test_repetitions_beyond_63_bits_of_text(self, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table({"text": ["abcd"], "repetitions": pa.array([2**64 - 1], pa.uint64())}), path)
        assert "'repetitions' has a number above" in error_of(lambda: read_all(path, text_options(tmp_path)))


class TestDatasets:
    @pytest.fixture
    def saved(self, tmp_path: Path) -> Path:
        datasets = pytest.importorskip("datasets")
        datasets.disable_progress_bars()
        rows = datasets.Dataset.from_dict({"input_ids": [[1, 2], [3], [4, 5, 6]], "source": ["ab", "cd", "ef"]})
        rows.save_to_disk(str(tmp_path / "saved"))
        return tmp_path / "saved"

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            *(("state.json", content) for content in ("{}", "[]", "3", '{"_data_files": 3}', "[" * 5000, "")),
            *(("dataset_info.json", content) for content in ("[]", "3", "[" * 5000, "")),
        ],
    )
    def test_metadata_of_another_form(self, saved: Path, name: str, content: str) -> None:
        (saved / name).write_text(content)
        assert "cannot be opened" in error_of(lambda: read_all(saved, format="datasets"))

    @pytest.mark.parametrize("offset", [-(2**31), 2**30, 2**31 - 1])
    def test_lists_that_point_outside_the_file(self, saved: Path, offset: int) -> None:
        path = next(saved.glob("*.arrow"))
        offsets = struct.pack("<4i", 0, 2, 3, 6)
        content = path.read_bytes()
        assert content.count(offsets) == 1
        path.write_bytes(content.replace(offsets, struct.pack("<4i", 0, offset, 3, 6)))
        for options in (CorpusOptions(), CorpusOptions(row_length=1, cache=saved.parent / ".cache")):
            assert "damaged table" in error_of(lambda options=options: read_all(saved, options))  # type: ignore[misc]


class TestStudyFile:
    def parse(self, line: str) -> object:
        others = [other for other in MINIMAL_STUDY_FILE.splitlines() if not line.startswith(other.split(":")[0] + ":")]
        return parse_study_file("\n".join([*others, line, ""]), Path("study.yaml"))

    @pytest.mark.parametrize("value", ["!!bool ja", "!!int ''", "!!timestamp now", "!!float x", "2026-13-45"])
    def test_a_value_that_does_not_fit_its_tag(self, value: str) -> None:
        assert "study.yaml is not valid YAML" in error_of(lambda: self.parse(f"settle: {value}"))

    @pytest.mark.parametrize("opening", ["[", "{a: ", "- " * 1500 + "\n"])
    def test_brackets_in_brackets(self, opening: str) -> None:
        assert "study.yaml" in error_of(lambda: self.parse("context: " + opening * 1500))

    def test_a_number_too_long_to_be_printed(self) -> None:
        message = error_of(lambda: self.parse("cache: 0x" + "f" * 5000))
        assert "line 4: cache" in message
        assert "given: a number of 20000 bits" in message

    def test_lists_of_lists_of_lists_by_reference(self) -> None:
        doubled = "\n".join(f"  - &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 40))
        message = error_of(lambda: self.parse(f"context:\n  - &a0 [1]\n{doubled}"))
        assert len(message) < 2100

    def test_a_list_in_itself(self) -> None:
        assert "line 4: context" in error_of(lambda: self.parse("context: &a [*a]"))

    @pytest.mark.parametrize(
        ("key", "path"),
        [
            ("control", "~nobody-of-that-name/x"),
            ("cache", "~nobody-of-that-name/x"),
            ("models", "~nobody-of-that-name/x"),
            ("control", '"a\\0b"'),
            ("cache", '"a\\0b"'),
            ("tokenizer", "x" * 5000),
        ],
    )
    def test_an_invalid_path(self, key: str, path: str) -> None:
        assert "is not a valid path" in error_of(lambda: self.parse(f"{key}: {path}"))
