"""Plain text: one file, or a folder of them; each file is one document, in the order of their paths."""

from collections.abc import Iterator
from pathlib import Path

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.reading.bytestream import ByteStream
from mematlas.corpus.reading.cache import CachedCorpus, Document, open_cached
from mematlas.corpus.reading.columns import Kind
from mematlas.corpus.reading.files import PEEK_FILES, files_below, list_below
from mematlas.corpus.reading.skipped_files import record_skipped
from mematlas.corpus.reading.unreadable import looks_like_text, not_utf8

TEXT_SUFFIXES = (".txt", ".md", ".py", ".rst")


class TextFormat:
    """UTF-8 files. In a folder, files with other suffixes are read if they are UTF-8, and skipped if not."""

    name = "text"
    reads = frozenset({"row_length", "cut"})
    suffixes = TEXT_SUFFIXES

    def detect(self, path: Path) -> bool:
        """By content: a file whose beginning is UTF-8 without NUL; a folder if half of its first files are."""
        if not path.is_dir():
            return path.is_file() and looks_like_text(path)
        files = list_below(path)[:PEEK_FILES]
        return bool(files) and 2 * sum(map(looks_like_text, files)) >= len(files)

    def open(self, path: Path, options: CorpusOptions) -> CachedCorpus:
        """Open the documents, tokenized and cut into rows."""
        corpus = open_cached(self.name, path, self.documents(path, options), options)
        return record_skipped(corpus, path, [path / name for name in corpus.sources])

    def documents(self, path: Path, options: CorpusOptions) -> "TextFiles":
        """The files."""
        return TextFiles(path)


class TextFiles:
    """The documents in text files; `document` is a running number, `source` the path below the folder."""

    kind: Kind = "text"

    def __init__(self, path: Path) -> None:
        self._files = files_below(path)
        self._names = [file.relative_to(path).as_posix() if path.is_dir() else file.name for file in self._files]
        self._is_single_file = not path.is_dir()
        self.stream = ByteStream(self._files)
        self.choices: dict[str, object] = {"names": self._names}
        self.details: dict[str, object] = {}

    def __iter__(self) -> Iterator[Document]:
        document = 0
        for file, name in zip(self._files, self._names, strict=True):
            text = self._decode(file)
            if text is not None:
                yield Document(text, document=document, source=name)
                document += 1

    def _decode(self, file: Path) -> str | None:
        """The file's text exactly as stored; None if it is one of a folder, not UTF-8, and has another suffix."""
        try:
            return file.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            if not self._is_single_file and file.suffix not in TEXT_SUFFIXES:
                return None
            raise not_utf8(str(file), file, error, in_folder=not self._is_single_file) from error
