"""Opens a corpus at a path, in a named format or in the one whose signature the content has."""

from pathlib import Path

from mematlas.corpus.base import Corpus, CorpusFormat, CorpusOptions
from mematlas.corpus.formats import FORMATS
from mematlas.errors import CorpusError

DEFAULT_OPTIONS = CorpusOptions()
OPTION_FLAGS = {"row_length": "--row-length", "token_dtype": "--token-dtype", "column": "--column", "cut": "--cut"}


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
        reader: CorpusFormat = FORMATS.load(format)() if format is not None else _detect_format(path)
        _check_options(reader, options)
        return reader.open(path, options)
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be opened: {error}; check the path, its permissions, and the disk."
        ) from error


def _check_options(reader: CorpusFormat, options: CorpusOptions) -> None:
    """Refuse an option that would be ignored silently."""
    for field, flag in OPTION_FLAGS.items():
        value = getattr(options, field)
        if field not in reader.reads and value != getattr(DEFAULT_OPTIONS, field):
            raise CorpusError(f"The format {reader.name!r} does not use {flag} ({value!r}); leave it out.")


def _detect_format(path: Path) -> CorpusFormat:
    """The first format whose signature is found at `path`; text comes last, as any folder may contain some."""
    for name in sorted(FORMATS, key=lambda name: name == "text"):
        reader: CorpusFormat = FORMATS.load(name)()
        if reader.detect(path):
            return reader
    if not path.exists():
        raise CorpusError(
            f"There is no file or folder {path}; check the path; if it is the name of a dataset on the "
            f"Hugging Face hub, add --format datasets."
        )
    if path.is_dir() and not any(path.iterdir()):
        raise CorpusError(f"The folder {path} is empty; a corpus needs at least one row.")
    if path.is_file() and path.stat().st_size == 0:
        raise CorpusError(f"{path} is empty; a corpus needs at least one row; check that it was written to the end.")
    raise CorpusError(
        f"{path} has no signature of a known format. The format of headerless tokens must be named: "
        f"--format memmap --row-length 2049 --token-dtype uint16; `mematlas list formats` shows all."
    )
