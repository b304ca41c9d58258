"""Which tokens of a text hold a span of its characters."""

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import ModelError
from mematlas.types import Encoder, Ids


def encode_located(encoder: Encoder, text: str) -> tuple[Ids, Ids, Ids]:
    """The tokens of a text, and the characters at which each begins and ends: [tokens] each.

    A blank before a word belongs to the word's token. Tokens that share a character have the same place.

    Raises:
        ModelError: the tokenizer does not say where its tokens stand.
    """
    if encoder.locate is None:
        raise ModelError(
            f"The tokenizer of {encoder.name} does not say where its tokens stand in a text; save a fast one "
            "(tokenizer.json)."
        )
    ids, stops = encoder.locate(text)
    ends = np.array(stops, np.int64)
    distinct = np.unique(ends)
    starts = np.concatenate([[0], distinct])[np.searchsorted(distinct, ends)]
    return np.array(ids, np.int64), starts.astype(np.int64), ends


def tokens_of(starts: Ids, ends: Ids, first: int, stop: int) -> NDArray[np.int64]:
    """The places of the tokens that hold a character from `first` to `stop - 1`."""
    return np.flatnonzero((starts < stop) & (ends > first)).astype(np.int64)
