"""How likely two sentences are paraphrases of each other: an optional model, which the user has on disk."""

from collections.abc import Callable, Sequence
from pathlib import Path

#: Pairs of sentences (of the source, of the output) -> the probability of each that they are paraphrases.
ParaphraseModel = Callable[[Sequence[tuple[str, str]]], Sequence[float]]


def load_paraphrase_model(folder: str | Path, device: str = "cpu") -> ParaphraseModel:
    """The classifier of sentence pairs in a local folder (transformers or sentence-transformers' CrossEncoder).

    Raises:
        ModelError: the folder is absent or its model does not classify pairs in two classes.
        MissingExtra: by the caller, if transformers is not installed.
    """
    from mematlas.models.classifiers.pairs import load_pair_classifier

    return load_pair_classifier(Path(folder), device)
