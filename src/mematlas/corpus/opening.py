"""Opens a corpus at a path, in a named format or in the one whose signature the content has."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from mematlas.corpus.base import Corpus, CorpusFormat, CorpusOptions
from mematlas.corpus.formats import FORMATS
from mematlas.corpus.mixed_folders import require_one_format
from mematlas.corpus.reading.cache import DocumentSource
from mematlas.corpus.reading.files import PEEK_FILES, list_below
from mematlas.corpus.reading.skipped_files import first_of
from mematlas.corpus.reading.unreadable import refuse_unreadable
from mematlas.errors import CorpusError
from mematlas.errors.functions import public_function
from mematlas.types import Encoder

DEFAULT_OPTIONS = CorpusOptions()
OPTION_FLAGS = {"row_length": "--row-length", "token_dtype": "--token-dtype", "column": "--column", "cut": "--cut"}


@runtime_checkable
class TextSource(Protocol):
    """A format that may have texts."""

    def documents(self, path: Path, options: CorpusOptions) -> DocumentSource:
        """The documents, whole."""
        ...


@public_function()
def open_corpus(path: str | Path, *, format: str | None = None, options: CorpusOptions = DEFAULT_OPTIONS) -> Corpus:
    """Open the corpus at `path`.

    Args:
        path: a file, folder, prefix or glob; for the format "datasets" also the name of a dataset on the hub.
        format: a name of FORMATS; None detects it by content.
        options: options of the corpus; one that the format does not use must be left at its default.

    Raises:
        CorpusError: the corpus is absent, empty or damaged, of no known format, or an option does not fit.
        UnknownName: no format is called `format`.
    """
    path = Path(path)
    try:
        reader: CorpusFormat = FORMATS.load(format)() if format is not None else detect_format(path)
        _check_options(reader, options)
        return reader.open(path, options)
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be opened: {error}; check the path, its permissions, and the disk."
        ) from error


def open_texts(path: Path, column: str | None = None, encoder: Encoder | None = None) -> Iterator[tuple[str, str]]:
    """The documents at `path` as texts, whole and as stored: (name, text); names are sources, or numbers without one.

    Args:
        path: a corpus of any format with texts, which is detected; column: with the texts, None for a usual name;
            encoder: the tokenizer whose chat template writes chats, which are refused without one.

    Raises:
        CorpusError: the corpus is absent, empty or damaged, of no known format, or has tokens instead of texts.
    """
    options = CorpusOptions(column=column, cut="rows", encoder=encoder)  # whole texts, not their answers
    try:
        reader = detect_format(path)
        if isinstance(reader, TextSource):
            _check_options(reader, options)
        documents = reader.documents(path, options) if isinstance(reader, TextSource) else None
        if documents is None or documents.kind != "text":
            raise CorpusError(f"{path} has token ids, and texts are needed here; name the texts that they come from.")
        for number, document in enumerate(documents):
            yield document.source or str(number), str(document.value)
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be opened: {error}; check the path, its permissions, and the disk."
        ) from error


def _check_options(reader: CorpusFormat, options: CorpusOptions) -> None:
    """Refuse an option that would be ignored silently."""
    for field, flag in OPTION_FLAGS.items():
        value = getattr(options, field)
        is_neutral = value == getattr(DEFAULT_OPTIONS, field) or (field == "cut" and value == "rows")
        if field not in reader.reads and not is_neutral:
            raise CorpusError(f"The format {reader.name!r} does not use {flag} ({value!r}); leave it out.")


def detect_format(path: Path) -> CorpusFormat:
    """The first format whose signature is found at `path`; text comes last, as any folder may contain some."""
    readers: list[CorpusFormat] = [FORMATS.load(name)() for name in sorted(FORMATS, key=lambda name: name == "text")]
    for reader in readers:
        if reader.detect(path):
            if path.is_dir():
                require_one_format(path, reader, readers)
            return reader
    raise _no_format(path)


def _no_format(path: Path) -> CorpusError:
    """The error for a path without the signature of a format, by what is there.

    Raises:
        CorpusError: a document, an archive, or a text of another encoding than UTF-8, with its own remedy.
    """
    if not path.exists():
        return CorpusError(
            f"There is no file or folder {path}; check the path; if it is the name of a dataset on the "
            f"Hugging Face hub, add --format datasets."
        )
    if path.is_dir() and not any(path.iterdir()):
        return CorpusError(f"The folder {path} is empty; a corpus needs at least one row.")
    if path.is_file() and path.stat().st_size == 0:
        return CorpusError(f"{path} is empty; a corpus needs at least one row; check that it was written to the end.")
    files = [path] if path.is_file() else list_below(path)[:PEEK_FILES]
    for file in files:
        refuse_unreadable(file, in_folder=path.is_dir())
    if path.is_dir():
        names = first_of([file.relative_to(path).as_posix() for file in files], 5) or "hidden files alone"
        return CorpusError(
            f"The folder {path} has no files of a known format ({names}); name one of them, or its format: --format; "
            f"`mematlas list formats` shows all."
        )
    return CorpusError(
        f"{path} has no signature of a known format. The format of headerless tokens must be named: "
        f"--format memmap --row-length 2049 --token-dtype uint16; `mematlas list formats` shows all."
    )
