"""The texts of an experiment: the user's own, or Python's standard library."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mematlas.corpus.opening import open_texts
from mematlas.errors import CorpusError
from mematlas.experiments.data.standard_library import Document, standard_library_documents

#: Documents are held out whole, so a few long ones are cut into parts of at most this share of all text (our choice).
_LARGEST_SHARE: Final = 1 / 50


def text_documents(corpus: Path | None) -> list[Document]:
    """The documents in the files at `corpus`, of any format with texts; those of the standard library for None.

    A document that is a large part of all text, such as a book in one file, becomes several: NAME, NAME#2, ...

    Raises:
        CorpusError: the corpus is absent, damaged or has no text.
    """
    if corpus is None:
        return standard_library_documents()
    documents = [Document(source, text) for source, text in open_texts(corpus) if text.strip()]
    if not documents:
        raise CorpusError(f"{corpus} has no text; an experiment needs texts to train on.")
    longest = max(1, int(sum(len(document.text) for document in documents) * _LARGEST_SHARE))
    return [part for document in documents for part in _parts(document, longest)]


def _parts(document: Document, longest: int) -> Iterator[Document]:
    """Parts of about `longest` characters; each ends with a line, or a word of a longer line."""
    text, start = document.text, 0
    number = 1
    while start < len(text):
        stop = min(start + longest, len(text))
        if stop < len(text):
            ends = text.find("\n", stop), text.find(" ", stop)
            stop = min((end + 1 for end in ends if end >= 0), default=len(text))
        yield Document(document.source if number == 1 else f"{document.source}#{number}", text[start:stop])
        start, number = stop, number + 1
