"""What an audit reads: the model and its base, which must read the same tokens, and texts."""

from pathlib import Path

from mematlas.auditing.base import Document
from mematlas.corpus.opening import open_texts
from mematlas.errors import MematlasError, ModelError
from mematlas.models.base import ModelSource
from mematlas.models.resolve import find_model
from mematlas.scoring.job import labels_by_tokenizer
from mematlas.types import Encoder


def find_sources(model: str, base: str | None) -> tuple[ModelSource, ModelSource | None, Encoder]:
    """The model, its base (of an adapter by itself, if `base` names none) and their tokenizer.

    Raises:
        ModelError: there is no such model, it has no tokenizer, or the base has another one.
    """
    source = find_model(model)
    base_name = base or source.card.base
    base_source = find_model(base_name) if base_name else None
    encoder = source.encoder()
    if encoder is None:
        raise ModelError(f"{model} has no tokenizer, which an audit of texts needs; save it beside the weights.")
    if base_source is not None and len(labels_by_tokenizer([source, base_source])) > 1:
        raise ModelError(
            f"{base_source.card.spec} has another tokenizer than {source.card.spec}, so their tokens cannot be "
            "compared; name a base with the same one, or leave out --base."
        )
    return source, base_source, encoder


def read_documents(path: Path, column: str | None, encoder: Encoder) -> list[Document]:
    """The texts at a path, without blank ones; those that have a number for a name are named after the file.

    Raises:
        MematlasError: there are none.
    """
    texts = ((name, text) for name, text in open_texts(path, column, encoder) if text.strip())
    documents = [(f"text {name} of {path.name}" if name.isdecimal() else name, text) for name, text in texts]
    if not documents:
        raise MematlasError(f"{path} has no text; name a file with the texts to audit, or a folder of them.")
    return documents
