"""What no reader reads is refused with a remedy of its own: other encodings, documents, archives; commands are run."""

import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mematlas.corpus.base import Corpus, CorpusOptions
from mematlas.corpus.opening import open_corpus
from mematlas.errors import CorpusError
from tests.corpus.writers import ENCODER, packed, text_of

LATIN = "caf\xe9 au lait\n" * 40
needs_iconv = pytest.mark.skipif(shutil.which("iconv") is None, reason="iconv is not installed")


@pytest.fixture
def options(tmp_path: Path) -> CorpusOptions:
    encode = lambda texts: [[ord(character) for character in text] for text in texts]  # noqa: E731
    encoder = type(ENCODER)(name="points", fingerprint="points", vocabulary=1 << 21, encode=encode)
    return CorpusOptions(row_length=4, encoder=encoder, cache=tmp_path / "cache")


def error_of(path: Path, options: CorpusOptions, format: str | None = None) -> str:
    with pytest.raises(CorpusError) as caught:
        open_corpus(path, format=format, options=options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert "memmap" not in message
    return message


def first_row(corpus: Corpus) -> str:
    return text_of(corpus.read(np.array([0]), 4).ids[0].tolist())


@needs_iconv
@pytest.mark.parametrize("format", [None, "text"])
def test_a_latin_1_file_and_its_remedy(tmp_path: Path, options: CorpusOptions, format: str | None) -> None:
    path = tmp_path / "my book.txt"
    path.write_bytes(LATIN.encode("latin-1"))
    message = error_of(path, options, format)
    assert "my book.txt is not UTF-8: byte 3 is 0xe9; convert it from its encoding, here perhaps LATIN1: " in message
    subprocess.run(message.partition("perhaps LATIN1: ")[2], shell=True, check=True)
    assert first_row(open_corpus(tmp_path / "my book.utf8.txt", options=options)) == "caf\xe9"


@needs_iconv
def test_a_folder_of_them_and_its_remedy(tmp_path: Path, options: CorpusOptions) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "latin.txt").write_bytes(LATIN.encode("latin-1"))
    alone = error_of(folder, options)
    (folder / "other.txt").write_text("some text")
    message = error_of(folder, options)
    assert alone == message
    subprocess.run(message.partition("perhaps LATIN1: ")[2], shell=True, check=True)
    corpus = open_corpus(folder, options=options)
    assert (first_row(corpus), corpus.details["skipped_names"]) == ("caf\xe9", "latin.txt.latin1")


@needs_iconv
@pytest.mark.parametrize(
    ("encoding", "python"), [("WINDOWS-1252", "cp1252"), ("UTF-16", "utf-16"), ("UTF-16", "utf-16-be")]
)
def test_other_encodings(tmp_path: Path, options: CorpusOptions, encoding: str, python: str) -> None:
    text = "\u201ccaf\xe9\u201d"
    content = text.encode(python)
    (tmp_path / "a.txt").write_bytes(b"\xfe\xff" + content if python == "utf-16-be" else content)
    message = error_of(tmp_path / "a.txt", options)
    assert f"here perhaps {encoding}: iconv -f {encoding} -t UTF-8" in message
    subprocess.run(message.partition(f"perhaps {encoding}: ")[2], shell=True, check=True)
    assert first_row(open_corpus(tmp_path / "a.utf8.txt", options=options)) == text[:4]


@needs_iconv
def test_a_line_of_a_table(tmp_path: Path, options: CorpusOptions) -> None:
    (tmp_path / "a.csv").write_bytes(b"text,label\nabcd,1\ncaf\xe9,2\n")
    message = error_of(tmp_path / "a.csv", options)
    assert "a.csv, line 3 is not UTF-8: byte 3 is 0xe9; convert it" in message
    subprocess.run(message.partition("perhaps LATIN1: ")[2], shell=True, check=True)
    assert len(open_corpus(tmp_path / "a.utf8.csv", options=options)) == 2


def test_one_byte_far_into_the_file(tmp_path: Path, options: CorpusOptions) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * 100_000 + b"\xe9")
    assert "a.txt is not UTF-8: byte 100000 is 0xe9; convert it" in error_of(tmp_path / "a.txt", options)


def zipped(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, "some text")
    return content.getvalue()


DOCUMENTS = [
    ("a.pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", r"a\.pdf is a PDF, which .*; take the text out first: pdftotext "),
    ("plain.pdf", b"%PDF-1.4\nall of it ASCII", r"is a PDF, which is not read"),
    ("a.docx", zipped("word/document.xml"), r"a document in a zip archive, .* out first: pandoc -t plain -o \S+/a.txt"),
    ("a.epub", zipped("mimetype"), r"pandoc -t plain -o \S+/a\.txt \S+/a\.epub$"),
    ("a.xlsx", zipped("xl/workbook.xml"), r"is a spreadsheet, .* write it as CSV first"),
    ("a.npz", zipped("rows.npy"), r"is an archive of NumPy arrays, .* save one array of rows with numpy\.save"),
    ("a.zip", zipped("a.txt"), r"is a zip archive, which is not read; unpack it first: unzip \S+/a\.zip$"),
    ("a.rtf", b"{\\rtf1\\ansi Some text}", r"is an RTF document, .* pandoc"),
    ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), r"is an Office document, .* libreoffice"),
    ("a.txt.xz", b"\xfd7zXZ\x00\x00", r"with xz, .* decompress it first: xz -dc \S+/a\.txt\.xz > \S+/a\.txt$"),
    ("a.tar", bytes(257) + b"ustar\x0000", r"is a tar archive, .* tar -xf"),
    ("a b.png", b"\x89PNG\r\n\x1a\n", r"is an image, .* out first: tesseract '\S+/a b\.png' stdout > '\S+/a b\.txt'$"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), DOCUMENTS, ids=[name for name, _, _ in DOCUMENTS])
def test_documents_and_archives(
    tmp_path: Path, options: CorpusOptions, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        open_corpus(tmp_path / name, options=options)
    error_of(tmp_path / name, options)
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.move(tmp_path / name, folder)
    with pytest.raises(CorpusError, match=message):
        open_corpus(folder, options=options)


def test_compressed_text_and_its_remedy(tmp_path: Path, options: CorpusOptions) -> None:
    (tmp_path / "a.txt").write_text("some text")
    subprocess.run(["gzip", str(tmp_path / "a.txt")], check=True)
    message = error_of(tmp_path / "a.txt.gz", options)
    subprocess.run(message.partition("decompress it first: ")[2], shell=True, check=True)
    assert first_row(open_corpus(tmp_path / "a.txt", options=options)) == "some"


def test_a_document_that_is_named_text(tmp_path: Path, options: CorpusOptions) -> None:
    (tmp_path / "a.txt").write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    message = error_of(tmp_path / "a.txt", options, format="text")
    assert "a.txt is a PDF, not a text; take the text out first: pdftotext" in message
    assert message.endswith("a.out.txt")
    (tmp_path / "b.txt").write_bytes(b"\x01\x02\xff")
    message = error_of(tmp_path / "b.txt", options, format="text")
    assert "b.txt is not UTF-8: byte 2 is 0xff; it is no text; `mematlas list formats`" in message


def test_headerless_tokens_keep_their_remedy(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    (tmp_path / "tokens.bin").write_bytes(packed([draw.integers(0, 50_000, 500).tolist()]))
    with pytest.raises(CorpusError, match=r"--format memmap --row-length 2049 --token-dtype uint16"):
        open_corpus(tmp_path / "tokens.bin")


def test_a_folder_of_other_files(tmp_path: Path, options: CorpusOptions) -> None:
    (tmp_path / "many").mkdir()
    for number in range(7):
        (tmp_path / "many" / f"{number}.bin").write_bytes(bytes(range(9)))
    message = error_of(tmp_path / "many", options)
    assert "no files of a known format (0.bin, 1.bin, 2.bin, 3.bin, 4.bin, 2 more); name one of them" in message
