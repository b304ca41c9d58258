"""spaCy's taggers (Honnibal et al. 2020), which P8 uses: `spacy:NAME`, NAME an installed package or a folder."""

from collections.abc import Sequence

import spacy

from mematlas.errors import OptionError
from mematlas.features.taggers import Word

#: What takes time and does not change parts of speech.
_NOT_NEEDED = ["ner", "lemmatizer", "parser", "senter", "textcat"]


class SpacyTagger:
    """A loaded model of spaCy."""

    def __init__(self, name: str) -> None:
        try:
            self._pipeline = spacy.load(name, exclude=_NOT_NEEDED)
        except (OSError, ImportError, ValueError) as error:
            raise OptionError(
                f"spaCy cannot load the model {name!r} ({str(error).strip().splitlines()[0]}); name one that is "
                "installed, or its folder: --tagger spacy:NAME."
            ) from None
        meta = self._pipeline.meta
        self.name = f"spacy {spacy.__version__}, {meta['lang']}_{meta['name']} {meta['version']}"

    def tag(self, texts: Sequence[str]) -> list[list[Word]]:
        return [
            [Word(token.idx, token.idx + len(token), token.pos_ or "X") for token in text if not token.is_space]
            for text in self._pipeline.pipe(texts, batch_size=128)
        ]


def load(name: str) -> SpacyTagger:
    """The tagger with this model.

    Raises:
        OptionError: spaCy has no such model.
    """
    return SpacyTagger(name)
