"""Says what a file is that no reader reads, and how it becomes one that is read."""

import shlex
from pathlib import Path
from typing import Final

from mematlas.corpus.reading.files import starts_with
from mematlas.errors import CorpusError

PEEK_BYTES: Final = 1 << 16
_ZIP: Final = b"PK\x03\x04"
_TAKE_OUT: Final = "take the text out first: "
_DECOMPRESS: Final = "decompress it first: "
#: The beginning of a file -> what it is, and what to do; {0} is its path, {1} that of a new file.
_DOCUMENTS: Final[tuple[tuple[bytes, str, str], ...]] = (
    (b"%PDF", "a PDF", _TAKE_OUT + "pdftotext {0} {1}"),
    (b"{\\rtf", "an RTF document", _TAKE_OUT + "pandoc -t plain -o {1} {0}"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document", _TAKE_OUT + "libreoffice --convert-to txt:Text {0}"),
    (b"%!PS", "a PostScript document", _TAKE_OUT + "ps2ascii {0} {1}"),
    (b"AT&TFORM", "a DjVu document", _TAKE_OUT + "djvutxt {0} {1}"),
    (b"\x89PNG", "an image", _TAKE_OUT + "tesseract {0} stdout > {1}"),
    (b"\xff\xd8\xff", "an image", _TAKE_OUT + "tesseract {0} stdout > {1}"),
    (b"\x1f\x8b", "compressed with gzip", _DECOMPRESS + "gzip -dc {0} > {1}"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", _DECOMPRESS + "zstd -dc {0} > {1}"),
    (b"\xfd7zXZ\x00", "compressed with xz", _DECOMPRESS + "xz -dc {0} > {1}"),
    (b"BZh", "compressed with bzip2", _DECOMPRESS + "bzip2 -dc {0} > {1}"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _DECOMPRESS + "7z x {0}"),
)
#: The same for zip archives, by the ends of their names; the last one is any other.
_ZIPPED: Final[tuple[tuple[tuple[str, ...], str, str], ...]] = (
    ((".docx", ".epub", ".odt"), "a document in a zip archive", _TAKE_OUT + "pandoc -t plain -o {1} {0}"),
    ((".xlsx", ".ods"), "a spreadsheet", "write it as CSV first: libreoffice --convert-to csv {0}"),
    ((".pptx", ".odp"), "a presentation", _TAKE_OUT + "libreoffice --convert-to pdf {0}, then pdftotext"),
    ((".npz",), "an archive of NumPy arrays", "save one array of rows with numpy.save"),
    (("",), "a zip archive", "unpack it first: unzip {0}"),
)
_COMPRESSED_SUFFIXES: Final = (".gz", ".zst", ".xz", ".bz2")
_TAR_AT, _TAR = 257, b"ustar"
_BYTE_ORDER_MARKS: Final = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
#: Control characters that text has: bell, backspace, white space, escape.
_TEXT_CONTROLS: Final = b"\x07\x08\t\n\x0b\x0c\r\x1b"


def refuse_unreadable(path: Path, *, in_folder: bool = False) -> None:
    """Refuse a document, an archive, or a text in another encoding than UTF-8, each with its remedy.

    Args:
        in_folder: the file is one of the files of a corpus folder.

    Raises:
        CorpusError: it is one of these.
    """
    kind = document_kind(path)
    if kind is not None:
        raise CorpusError(f"{path} is {kind[0]}, which is not read; {kind[1]}")
    with path.open("rb") as file:
        head = file.read(PEEK_BYTES)
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if is_text(head) and error.start < len(head) - 4:  # else the sample ends within a character
            raise not_utf8(str(path), path, error, in_folder=in_folder) from error


def is_text(head: bytes) -> bool:
    """Whether the beginning of a file could be text in some encoding: no control characters, or a byte order mark."""
    return head[:2] in _BYTE_ORDER_MARKS or not set(range(32)).difference(_TEXT_CONTROLS).intersection(head)


def not_utf8(where: str, path: Path, error: UnicodeDecodeError, *, in_folder: bool = False) -> CorpusError:
    """The error for a file, or a place in it, that must be UTF-8 and is not; see `refuse_unreadable`."""
    kind = document_kind(path)
    if kind is not None:
        return CorpusError(f"{where} is {kind[0]}, not a text; {kind[1]}")
    with path.open("rb") as file:
        head = file.read(PEEK_BYTES)
    beginning = f"{where} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}"
    if not is_text(head):
        return CorpusError(f"{beginning}; it is no text; `mematlas list formats` shows what is read.")
    encoding = _BYTE_ORDER_MARKS.get(head[:2]) or _likely_encoding(error.object)
    source, target = shlex.quote(str(path)), shlex.quote(str(path.with_name(f"{path.stem}.utf8{path.suffix}")))
    kept = shlex.quote(f"{path}.{encoding.lower()}")  # of a name that is not read as text
    then = f" && mv {source} {kept}" if in_folder else ""  # else the folder would have the text in both encodings
    return CorpusError(
        f"{beginning}; convert it from its encoding, here perhaps {encoding}: "
        f"iconv -f {encoding} -t UTF-8 {source} > {target}{then}"
    )


def _likely_encoding(content: bytes) -> str:
    """LATIN1, or WINDOWS-1252 if there are bytes 0x80 to 0x9f, which are control characters in LATIN1."""
    return "WINDOWS-1252" if set(range(0x80, 0xA0)).intersection(content) else "LATIN1"


def document_kind(path: Path) -> tuple[str, str] | None:
    """What the file is, and what to do with it; None if it is no document or archive of a known kind."""
    for magic, kind, command in _DOCUMENTS:
        if starts_with(path, magic):
            return kind, _filled(command, path)
    if starts_with(path, _ZIP):
        name = path.name.lower()
        return next((kind, _filled(command, path)) for ends, kind, command in _ZIPPED if name.endswith(ends))
    with path.open("rb") as file:
        is_tar = file.read(_TAR_AT + len(_TAR))[_TAR_AT:] == _TAR
    return ("a tar archive", _filled("unpack it first: tar -xf {0}", path)) if is_tar else None


def _filled(remedy: str, path: Path) -> str:
    if path.suffix in _COMPRESSED_SUFFIXES:
        target = path.with_suffix("")
    else:
        target = path.with_name(f"{path.stem}.txt") if path.suffix != ".txt" else path.with_name(f"{path.stem}.out.txt")
    return remedy.format(shlex.quote(str(path)), shlex.quote(str(target)))


def looks_like_text(file: Path) -> bool:
    """Whether the beginning of a file is UTF-8 without NUL, and not that of a document."""
    if document_kind(file) is not None:  # some are ASCII, such as RTF
        return False
    with file.open("rb") as opened:
        head = opened.read(PEEK_BYTES)
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < PEEK_BYTES - 4:  # else the end of the sample is within a character
            return False
        text = head[: error.start].decode("utf-8")
    return bool(text) and "\0" not in text
