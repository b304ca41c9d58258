"""Similarity of two texts as sequences of token ids, robust to insertions and deletions.

Source: P2 names BLEU and token Levenshtein as measures of approximate memorization; the longest common subsequence is
our choice. Texts are rows of matrices [n, width] of token ids >= 0, padded with -1 at the end.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

BLEU_ORDER: Final = 4  # n-grams of 1 to 4 tokens, as Papineni et al. (2002)

Integers = NDArray[np.int64]


def edit_distances(generated: ArrayLike, true: ArrayLike) -> Integers:
    """Levenshtein distance of each pair: the fewest tokens to insert, delete or replace. Shape (n,), tokens.

    Raises:
        ValueError: the matrices have different numbers of rows.
    """
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cpdist

    pairs = _unpadded(generated, true)
    return cpdist(*pairs, scorer=Levenshtein.distance, dtype=np.int64, workers=1)


def longest_common_subsequences(generated: ArrayLike, true: ArrayLike) -> Integers:
    """Length of the longest common subsequence of each pair. Shape (n,), tokens.

    Raises:
        ValueError: the matrices have different numbers of rows.
    """
    from rapidfuzz.distance import LCSseq
    from rapidfuzz.process import cpdist

    pairs = _unpadded(generated, true)
    return cpdist(*pairs, scorer=LCSseq.similarity, dtype=np.int64, workers=1)


def bleu(generated: ArrayLike, true: ArrayLike) -> NDArray[np.float64]:
    """BLEU of each generated text with the true text as its only reference, 0 to 1. Shape (n,).

    N-grams of 1 to 4 tokens, brevity penalty, no smoothing, so that it is 0 if no 4-gram matches: sacrebleu's numbers
    (compared in the tests). NaN where the true text has fewer than 4 tokens, since no text could then match a 4-gram.

    Raises:
        ValueError: the matrices have different numbers of rows.
    """
    scores = [_bleu(*pair) for pair in zip(*_unpadded(generated, true), strict=True)]
    long_enough = (np.asarray(true) >= 0).sum(1) >= BLEU_ORDER
    # rounding in the logarithms can give values slightly above 1
    return np.where(long_enough, np.minimum(scores, 1.0), np.nan)


def _bleu(generated: list[int], true: list[int]) -> float:
    log_precisions = 0.0
    for n in range(1, BLEU_ORDER + 1):
        found, wanted = _ngrams(generated, n), _ngrams(true, n)
        matches = (found & wanted).total()  # as often as both have it
        if not matches:
            return 0.0
        log_precisions += math.log(matches / found.total())
    brevity = math.exp(min(0.0, 1 - len(true) / len(generated)))
    return brevity * math.exp(log_precisions / BLEU_ORDER)


def _ngrams(tokens: list[int], n: int) -> Counter[tuple[int, ...]]:
    return Counter(zip(*(tokens[start:] for start in range(n)), strict=False))


def _unpadded(*matrices: ArrayLike) -> tuple[list[list[int]], ...]:
    """The rows of each matrix as lists, without the padding."""
    arrays = [np.asarray(matrix) for matrix in matrices]
    if any(array.ndim != 2 for array in arrays) or len({len(array) for array in arrays}) > 1:
        shapes = [array.shape for array in arrays]
        raise ValueError(f"texts must be matrices with the same number of rows, not {shapes}")
    return tuple(
        array.tolist() if (array >= 0).all() else [row[row >= 0].tolist() for row in array] for array in arrays
    )


def text_edit_distances(texts: Sequence[str], other: str) -> Integers:
    """Levenshtein distance of each text to `other`: the fewest characters to insert, delete or replace. Shape (n,)."""
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cpdist

    return cpdist(list(texts), [other] * len(texts), scorer=Levenshtein.distance, dtype=np.int64, workers=1)


def text_bleu(texts: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """BLEU of each text with its reference, 0 to 1, by sacrebleu's defaults for sentences. Shape (n,)."""
    from sacrebleu.metrics.bleu import BLEU

    score = BLEU(effective_order=True).sentence_score
    return np.array([score(text, [other]).score / 100 for text, other in zip(texts, references, strict=True)])
