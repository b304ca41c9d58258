"""How alike two texts are as sequences of token ids, though a token more or less shifts all that follows.

Source: P2 names BLEU and token Levenshtein as measures of approximate memorization; the longest common subsequence is
our choice. Texts are lines of matrices, [n, width] token ids from 0 on, with -1 behind the end of a shorter text.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

BLEU_ORDER: Final = 4  # n-grams of 1 to 4 tokens, as Papineni et al. (2002)

Matrix = NDArray[np.int64]


def edit_distances(generated: ArrayLike, true: ArrayLike) -> Matrix:
    """Levenshtein distance of each pair: the fewest tokens to insert, delete or replace. Shape (n,), tokens.

    Raises:
        ValueError: the matrices are not of one length.
    """
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cpdist

    pairs = _texts(generated, true)
    return cpdist(*pairs, scorer=Levenshtein.distance, dtype=np.int64, workers=1)


def common_subsequences(generated: ArrayLike, true: ArrayLike) -> Matrix:
    """Length of the longest subsequence of each pair: tokens that stand in both in the same order. Shape (n,), tokens.

    Raises:
        ValueError: the matrices are not of one length.
    """
    from rapidfuzz.distance import LCSseq
    from rapidfuzz.process import cpdist

    pairs = _texts(generated, true)
    return cpdist(*pairs, scorer=LCSseq.similarity, dtype=np.int64, workers=1)


def bleu(generated: ArrayLike, true: ArrayLike) -> NDArray[np.float64]:
    """BLEU of each generated text with the true one as its only reference, 0 to 1. Shape (n,).

    sacrebleu's, on token ids: n-grams of 1 to 4 tokens, brevity penalty, no smoothing, so that it is 0 where no 4-gram
    agrees. NaN where the true text has fewer than 4 tokens: not even the same text would then have a 4-gram.

    Raises:
        ValueError: the matrices are not of one length.
    """
    from sacrebleu.metrics.bleu import BLEU

    score = BLEU(tokenize="none", smooth_method="none", max_ngram_order=BLEU_ORDER, force=True).corpus_score
    written, wanted = ([" ".join(map(str, text)) for text in texts] for texts in _texts(generated, true))
    found = [score([one], [[other]]).score / 100 for one, other in zip(written, wanted, strict=True)]
    enough = (np.asarray(true) >= 0).sum(1) >= BLEU_ORDER
    # its logarithms leave a rounding error above 1
    return np.where(enough, np.minimum(found, 1.0), np.nan)


def _texts(*matrices: ArrayLike) -> tuple[list[list[int]], ...]:
    """The lines of each matrix without what stands behind their end."""
    checked = [np.asarray(matrix) for matrix in matrices]
    if any(matrix.ndim != 2 for matrix in checked) or len({len(matrix) for matrix in checked}) > 1:
        raise ValueError(f"texts must be matrices of one length, not {[matrix.shape for matrix in checked]}")
    return tuple(
        matrix.tolist() if (matrix >= 0).all() else [line[line >= 0].tolist() for line in matrix] for matrix in checked
    )
