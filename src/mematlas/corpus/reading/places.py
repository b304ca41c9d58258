"""Where a secret stands: the tokens before it, and its own tokens and those of other values in its place."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mematlas.corpus.reading.chats import common_prefix
from mematlas.types import Encoder, Ids


class Place(NamedTuple):
    """prompt: [tokens] before the secret; values: the tokens of each value in its place, the secret's own first."""

    prompt: Ids
    values: list[Ids]


def place_values(encoder: Encoder, before: str, values: Sequence[str], longest: int | None, start: int | None) -> Place:
    """The place of `values[0]` after the text `before`, and the other values instead of it.

    A token may hold the end of the text before and the beginning of a value. The prompt ends where the first of these
    tokens begins, so that all values are compared after the same prompt.

    Args:
        longest: the most tokens that the model accepts, prompt and value together; None without a limit.
        start: the token that a text without anything before it starts with; None if the model has none.

    Raises:
        ValueError: nothing is before the value, and there is no such token.
    """
    encoded = [list(ids) for ids in encoder.encode([before, *(before + value for value in values)])]
    shared = min(common_prefix(encoded[0], ids) for ids in encoded)
    prompt, tails = encoded[0][:shared], [np.array(ids[shared:], np.int64) for ids in encoded[1:]]
    if not prompt and start is not None:
        prompt = [start]
    if not prompt:
        raise ValueError("nothing is before the value")
    room = None if longest is None else longest - max(map(len, tails))
    return Place(np.array(prompt if room is None else prompt[-max(1, room) :], np.int64), tails)
