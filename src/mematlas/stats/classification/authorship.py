"""Who wrote a text: a closed set of authors, told apart by the characters of their texts.

Character n-grams with a linear classifier are the usual baseline of authorship attribution (Stamatatos 2009, "A survey
of modern authorship attribution methods"). Our choice: n of 2 to 4, tf-idf with sublinear counts, a linear support
vector machine with all authors weighted equally. A text is never told by a classifier that was fitted to it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

NOBODY: Final = -1  # whom a text without any character is attributed to
_N: Final = (2, 4)
_MOST_FEATURES: Final = 100_000


def deal_folds(authors: ArrayLike, folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each text: every author's texts, shuffled, are dealt to the folds in turn.

    Args:
        authors: shape (texts,), any numbers; folds: their number.
    """
    labels = np.asarray(authors)
    found = np.empty(len(labels), np.int64)
    random = np.random.default_rng([seed, 11])
    for author in np.unique(labels):
        own = np.flatnonzero(labels == author)
        found[random.permutation(own)] = np.arange(len(own)) % folds
    return found


def attribute(
    texts: Sequence[str], authors: ArrayLike, folds: ArrayLike, asked: Mapping[str, Sequence[str]]
) -> dict[str, NDArray[np.int64]]:
    """Who seems to have written other texts that belong to these, such as what a model wrote after their beginning.

    Args:
        texts: written by the authors, shape (texts,); authors: theirs, any numbers of 0 or more; folds: of each text.
        asked: by name, shape (texts,): a text is attributed by a classifier fitted to the texts of the other folds, so
            not to the one at its own place.

    Returns:
        by name, shape (texts,): the author, NOBODY for a text without a character.

    Raises:
        ValueError: the shapes differ, or the other folds of a fold lack an author.
    """
    labels, numbers = np.asarray(authors), np.asarray(folds)
    if {len(labels), len(numbers), *map(len, asked.values())} != {len(texts)}:
        raise ValueError("texts, authors, folds and what is asked must be of one length")
    found = {name: np.full(len(texts), NOBODY, np.int64) for name in asked}
    for fold in np.unique(numbers):
        fitted = np.flatnonzero(numbers != fold).tolist()
        if len(np.unique(labels[fitted])) < len(np.unique(labels)):
            raise ValueError(f"without fold {fold}, an author has no text")
        tell = fit_authors([texts[place] for place in fitted], labels[fitted])
        for name, others in asked.items():
            places = np.flatnonzero(numbers == fold)
            found[name][places] = tell([others[place] for place in places.tolist()])
    return found


def fit_authors(texts: Sequence[str], authors: ArrayLike) -> Callable[[Sequence[str]], NDArray[np.int64]]:
    """A classifier fitted to texts of at least two authors: it gives the author of each of other texts, or NOBODY.

    Args:
        texts: shape (texts,); authors: theirs, any numbers of 0 or more.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    vectors = TfidfVectorizer(
        analyzer="char", ngram_range=_N, lowercase=False, sublinear_tf=True, max_features=_MOST_FEATURES
    )
    classifier = LinearSVC(class_weight="balanced", random_state=0)
    classifier.fit(vectors.fit_transform(texts), np.asarray(authors))

    def tell(others: Sequence[str]) -> NDArray[np.int64]:
        found = np.full(len(others), NOBODY, np.int64)
        places = [place for place, text in enumerate(others) if text.strip()]
        if places:
            found[places] = classifier.predict(vectors.transform([others[place] for place in places]))
        return found

    return tell
