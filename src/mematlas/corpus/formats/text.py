"""Plain text: one file, or a folder of them; each file is one document, in the order of their paths."""

from collections.abc import Iterator
from pathlib import Path

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.reading.bytestream import ByteStream
from mematlas.corpus.reading.cache import CachedCorpus, Document, open_cached
from mematlas.corpus.reading.columns import Kind
from mematlas.corpus.reading.files import files_below, list_below
from mematlas.errors import CorpusError

TEXT_SUFFIXES = (".txt", ".md", ".py", ".rst")
PEEK_BYTES, PEEK_FILES = 1 << 16, 256


class TextFormat:
    """UTF-8 files. In a folder, files with other suffixes are read if they are UTF-8, and skipped if not."""

    name = "text"
    reads = frozenset({"row_length", "cut"})

    def detect(self, path: Path) -> bool:
        """By content: a file whose beginning is UTF-8 without NUL; a folder if half of its first files are."""
        if not path.is_dir():
            return path.is_file() and _looks_like_text(path)
        files = list_below(path)[:PEEK_FILES]
        return bool(files) and 2 * sum(map(_looks_like_text, files)) >= len(files)

    def open(self, path: Path, options: CorpusOptions) -> CachedCorpus:
        """Open the documents, tokenized and cut into rows."""
        return open_cached(self.name, path, TextFiles(path), options)


class TextFiles:
    """The documents in text files; `document` is a running number, `source` the path below the folder."""

    kind: Kind = "text"

    def __init__(self, path: Path) -> None:
        self._files = files_below(path)
        self._names = [file.relative_to(path).as_posix() if path.is_dir() else file.name for file in self._files]
        self._is_single_file = not path.is_dir()
        self.stream = ByteStream(self._files)
        self.choices: dict[str, object] = {"names": self._names}
        self.details: dict[str, object] = {"skipped_files": 0}

    def __iter__(self) -> Iterator[Document]:
        document = 0
        for file, name in zip(self._files, self._names, strict=True):
            text = _decode(file, required=self._is_single_file or file.suffix in TEXT_SUFFIXES)
            if text is not None:
                yield Document(text, document=document, source=name)
                document += 1
        self.details["skipped_files"] = len(self._files) - document


def _decode(file: Path, required: bool) -> str | None:
    """The file's text exactly as stored; None if it is not UTF-8 and not required."""
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        if not required:
            return None
        raise CorpusError(
            f"{file} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}; "
            f"save it as UTF-8, or name its format: --format."
        ) from error


def _looks_like_text(file: Path) -> bool:
    with file.open("rb") as opened:
        head = opened.read(PEEK_BYTES)
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < PEEK_BYTES - 4:  # else the end of the sample is within a character
            return False
        text = head[: error.start].decode("utf-8")
    return bool(text) and "\0" not in text
