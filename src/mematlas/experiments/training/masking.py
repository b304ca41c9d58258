"""Hiding tokens for masked language models (Devlin et al. 2019): 15 % of a row, drawn from a seed alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mematlas.types import Ids

SHARE = 0.15


def hide_tokens(tokens: Ids, mask_token: int, seed: Sequence[int]) -> tuple[Ids, NDArray[np.bool_]]:
    """Replace some tokens of every row [rows, length] by the mask token.

    The same number of each row is hidden, at least one: SHARE of its length, rounded. Row i depends on the seed and i
    only, so that other rows of the batch change nothing.

    Returns:
        The rows with hidden tokens, and where they are, both [rows, length].
    """
    rows, length = tokens.shape
    count = max(1, round(SHARE * length))
    is_hidden = np.zeros(tokens.shape, dtype=bool)
    for row in range(rows):
        chosen = np.random.default_rng([*seed, row]).choice(length, size=count, replace=False)
        is_hidden[row, chosen] = True
    return np.where(is_hidden, mask_token, tokens), is_hidden
