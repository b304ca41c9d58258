"""Detection of formats, required options, and that importing the package is light."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mematlas.corpus
from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.opening import detect_format, open_corpus
from mematlas.errors import CorpusError, UnknownName
from tests.corpus.writers import ENCODER, packed


def test_headerless_tokens_need_naming(tmp_path: Path) -> None:
    (tmp_path / "tokens.bin").write_bytes(packed([[1, 2, 3, 40_000]]))
    with pytest.raises(CorpusError, match=r"--format memmap --row-length 2049 --token-dtype uint16; .*list formats"):
        open_corpus(tmp_path / "tokens.bin")


def test_what_is_absent_or_empty(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no file or folder .*owner/name; .* hub, add --format datasets"):
        open_corpus(tmp_path / "owner/name")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CorpusError, match=r"The folder .* is empty; a corpus needs at least one row"):
        open_corpus(tmp_path / "folder")
    (tmp_path / "file.jsonx").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"file\.jsonx is empty; .* written to the end"):
        open_corpus(tmp_path / "file.jsonx")


def test_unknown_formats(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"No format is called 'parket'\. Did you mean 'parquet'\?"):
        open_corpus(tmp_path, format="parket")


def test_a_path_may_be_a_string(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.arange(6).reshape(2, 3))
    assert len(open_corpus(str(tmp_path / "rows.npy"))) == 2


@pytest.mark.parametrize(
    ("names", "format"),
    [
        (["README.md", "data/train-000.parquet"], "parquet"),
        (["README.md", "a.jsonl.zst"], "jsonl"),
        (["package.json", "a.py", "b/c.py"], "text"),
        (["state.json", "dataset_info.json", "data-00000-of-00001.arrow"], "datasets"),
        (["document.idx", "document-00000-of-00020.bin"], "pythia"),
    ],
)
def test_folders_by_what_is_in_them(tmp_path: Path, names: list[str], format: str) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("some text")
    assert detect_format(tmp_path).name == format


def test_what_the_system_refuses_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("some text")
    (tmp_path / "no-folder").write_text("")
    options = CorpusOptions(row_length=4, encoder=ENCODER, cache=tmp_path / "no-folder")
    with pytest.raises(CorpusError, match=r"text\.txt cannot be opened: .*no-folder.*; check the path, .* disk"):
        open_corpus(tmp_path / "text.txt", options=options)


def test_text_is_not_mistaken(tmp_path: Path) -> None:
    (tmp_path / "braces.txt").write_text("{ this is no JSON }\n")
    (tmp_path / "cut.txt").write_text("x" * (1 << 16) + "x")
    (tmp_path / "within.txt").write_text("x" + "\u00e9" * (1 << 16), encoding="utf-8")
    assert [detect_format(path).name for path in sorted(tmp_path.iterdir())] == ["text"] * 3
    options = CorpusOptions(row_length=4, encoder=ENCODER, cache=tmp_path / "cache")
    assert len(open_corpus(tmp_path / "braces.txt", options=options)) == 5


def test_importing_the_package_is_light() -> None:
    heavy = ["torch", "transformers", "datasets", "pyarrow", "zstandard", "numpy"]
    code = f"import sys, mematlas.corpus; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_names_of_the_package() -> None:
    assert all(getattr(mematlas.corpus, name) for name in mematlas.corpus.__all__)
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        mematlas.corpus.absent  # noqa: B018
