"""Task-grams: pairs of an n-gram of the input and one of the output that are alike (P4, section 2).

    H_n = {(s_x, s_y): s_x in n-grams(x), s_y in n-grams(y), similarity(s_x, s_y) > gamma, s_x != s_y}

The similarity is declared: characters (tf-idf of 3 characters), embedder:DIR, column:NAME (the user's own numbers), any
(every pair, similarity 1), or exact, which takes the pairs with s_x = s_y alone: a null that only copies.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import CorpusError, ModelError
from mematlas.probes.tasks.examples import Example
from mematlas.probes.tasks.ngrams import Gram, find_gram, whole_text, word_count, word_ngrams
from mematlas.stats.text_similarity import CharacterSimilarity

EMBEDDER: Final = "embedder:"
COLUMN: Final = "column:"
KINDS: Final = ("characters", "any", "exact")
Embed = Callable[[Sequence[str]], NDArray[Any]]


class Similarity(Protocol):
    """How alike texts are."""

    def between(self, first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
        """[first, second], larger is more alike."""
        ...


class Equality:
    """1 for equal texts, else 0."""

    def between(self, first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
        """See Similarity."""
        return (np.array(first, object)[:, None] == np.array(second, object)[None]).astype(np.float64)


class Everything:
    """1 for all texts."""

    def between(self, first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
        """See Similarity."""
        return np.ones((len(first), len(second)))


class Embeddings:
    """Cosine of vectors.

    Args:
        embed: texts -> array [texts, width]; a text without a vector has zeros, and is like none.
    """

    def __init__(self, embed: Embed) -> None:
        self._embed = embed

    def between(self, first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
        """See Similarity.

        Raises:
            ModelError: the embedder does not give one finite vector for each text.
        """
        a, b = self._unit(first), self._unit(second)
        product: NDArray[np.float64] = a @ b.T
        return product

    def _unit(self, texts: Sequence[str]) -> NDArray[np.float64]:
        vectors = np.asarray(self._embed(list(texts)), np.float64)
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise ModelError(
                f"The embedder gave an array of shape {vectors.shape} for {len(texts)} texts; give one vector of "
                "finite numbers for each."
            )
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


@dataclass(frozen=True, slots=True)
class TaskGram:
    """A pair of n-grams, of the input and of the output, and how alike they are."""

    n: int
    first: Gram
    second: Gram
    similarity: float


@dataclass(frozen=True, slots=True)
class Miner:
    """Finds pairs. least: similarity that pairs exceed; most: pairs of an example and n that are kept, the most alike;
    whole: the output is one n-gram, of any length; same: only equal n-grams are pairs, instead of only others."""

    similarity: Similarity | None
    lengths: tuple[int, ...]
    least: float
    most: int
    whole: bool = False
    same: bool = False

    def mine(self, example: Example) -> list[TaskGram]:
        """The pairs of an example for each n, the most alike first, then in the order of the texts.

        Raises:
            CorpusError: a given pair is not in the example.
        """
        if self.similarity is None:
            return self._given(example)
        found = []
        for n in self.lengths:
            first = word_ngrams(example.item.input, n)
            second = whole_text(example.item.output) if self.whole else word_ngrams(example.item.output, n)
            if first and second:
                found += self._alike(n, first, second)
        return found

    def _alike(self, n: int, first: list[Gram], second: list[Gram]) -> list[TaskGram]:
        assert self.similarity is not None
        texts = [gram.text for gram in first], [gram.text for gram in second]
        values = self.similarity.between(*texts)
        equal = Equality().between(*texts) > 0
        places = np.argwhere((values > self.least) & (equal if self.same else ~equal))
        order = np.argsort(-values[places[:, 0], places[:, 1]], kind="stable")[: self.most]
        return [TaskGram(n, first[i], second[j], float(values[i, j])) for i, j in places[order].tolist()]

    def _given(self, example: Example) -> list[TaskGram]:
        found = []
        for pair in example.given:
            grams = []
            for text, whole, name in (
                (pair.first, example.item.input, "input"),
                (pair.second, example.item.output, "output"),
            ):
                gram = find_gram(whole, text)
                if gram is None:
                    raise CorpusError(
                        f"The pair text {text!r} of the example {example.item.id!r} does not stand in its {name} "
                        f"({whole[:80]!r}); give n-grams of these texts."
                    )
                grams.append(gram)
            n = word_count(pair.first)
            if n in self.lengths and pair.similarity > self.least and grams[0].text != grams[1].text:
                found.append(TaskGram(n, grams[0], grams[1], pair.similarity))
        return sorted(found, key=lambda pair: (pair.n, -pair.similarity))


def character_similarity(examples: Sequence[Example], lengths: Sequence[int]) -> CharacterSimilarity:
    """Similarity by letters, with weights learned from all n-grams of a task."""
    texts = (text for example in examples for text in (example.item.input, example.item.output))
    return CharacterSimilarity(gram.text for text in texts for n in lengths for gram in word_ngrams(text, n))
