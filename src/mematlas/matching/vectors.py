"""Sentences as sparse vectors, and how alike two of them are (P7: tf-idf, cosine, Dice).

Deviation from P7's code: words are not stemmed, which would tie the detector to English.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

Counts = Mapping[str, int]
Vector = Mapping[str, float]


def tf_idf(*documents: Sequence[Counts]) -> list[list[dict[str, float]]]:
    """tf * ln(N / df) of every sentence, N and df over the sentences of all `documents` together.

    Args:
        documents: of each document, the word counts of its sentences.

    Returns:
        of each document, one vector per sentence. A word that all sentences share weighs 0: two documents of one equal
        sentence each have no direction at all, and cosine 0.
    """
    total = sum(len(document) for document in documents)
    frequency = Counter(word for document in documents for sentence in document for word in sentence)
    weight = {word: math.log(total / count) for word, count in frequency.items()}
    return [
        [{word: count * weight[word] for word, count in sentence.items()} for sentence in document]
        for document in documents
    ]


def norm(vector: Vector) -> float:
    """Euclidean length."""
    return math.sqrt(sum(value * value for value in vector.values()))


def dot(first: Vector, second: Vector) -> float:
    """Scalar product."""
    if len(second) < len(first):
        first, second = second, first
    return sum(value * second[word] for word, value in first.items() if word in second)


def cosine(first: Vector, second: Vector) -> float:
    """Cosine of the angle between two vectors; 0 if one of them is null."""
    lengths = norm(first) * norm(second)
    return dot(first, second) / lengths if lengths else 0.0


def dice(first: Iterable[str], second: Iterable[str]) -> float:
    """Twice the number of common words over the sum of both numbers of different words; 0 if there are none."""
    one, other = set(first), set(second)
    return 2 * len(one & other) / (len(one) + len(other)) if one or other else 0.0


def merge(vectors: Iterable[Vector]) -> dict[str, float]:
    """The sum of vectors: the vector of the sentences put together."""
    total: dict[str, float] = {}
    for vector in vectors:
        for word, value in vector.items():
            total[word] = total.get(word, 0.0) + value
    return total
