"""How alike short texts are by their letters: cosine of tf-idf weights of pieces of three characters."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PIECE: Final = 3  # characters


class CharacterSimilarity:
    """Cosine similarities of texts, 0 to 1, by scikit-learn's TfidfVectorizer (smoothed idf, Euclidean norm).

    Pieces do not cross words, whose ends count as blanks (`char_wb`).

    Args:
        texts: from which the weights of pieces are learned, in any order; rare pieces weigh more.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._vectorizer: Any = TfidfVectorizer(analyzer="char_wb", ngram_range=(PIECE, PIECE), lowercase=False)
        self._vectorizer.fit(sorted(set(texts)) or [" "])

    def between(self, first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
        """The similarity of each text to each other one, [first, second]."""
        return np.asarray((self._vectorizer.transform(first) @ self._vectorizer.transform(second).T).todense())
