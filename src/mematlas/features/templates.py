"""K2's two tests of a template, by which a row may be rebuilt rather than recalled: it repeats, or it counts.

Source: K2 and the code of its authors. Repeating is theirs (on tokens), put as a rule without loops. Incrementing keeps
their three-number test, which lacks an absolute value so that any three numbers that bend downwards pass (`faithful`);
here it has one. Our choice: numbers may stand in several interleaved sequences, the first and the last number may be
cut by the window's edge, and sequences that merely rise, or start again at their first number, do not count.
"""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mematlas.types import Ids

RULES: Final = (
    "repeating: when fewer than half of the tokens at the start and at most two at the end are left out, the rest is "
    "one template at least twice",
    "incrementing: its numbers (six or more, in a twentieth of the characters or more) form arithmetic progressions",
)
FEWEST_NUMBERS: Final = 6  # K2's code: shorter lists are no sequence
_FEWEST_DIGITS: Final = 0.05  # K2's code: share of characters that are digits
_CUT_AT_THE_END: Final = 2  # K2's code: tokens of the next copy that did not come
_STRAIGHT: Final = 1e-5  # K2's code: how far a second difference may be off
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_DIGIT: Final = re.compile(r"[0-9]")


def repeating(windows: Ids) -> NDArray[np.bool_]:
    """Whether each window repeats a template: shape (rows, tokens) of token ids -> shape (rows,).

    K2's code asks for the rest in 2 to 5 equal pieces and a cut one; as a template that comes more often also is a
    longer one that comes 2 to 5 times, this is the same as any number of times from two.
    """
    rows, tokens = windows.shape
    found = np.zeros(rows, dtype=bool)
    for period in range(1, tokens // 2 + 1):
        same = windows[:, :-period] == windows[:, period:]
        for cut in range(min(_CUT_AT_THE_END, tokens - 2 * period) + 1):
            start = min(tokens // 2 - 1, tokens - cut - 2 * period)
            found |= same[:, start : tokens - cut - period].all(axis=1)
    return found


def incrementing(text: str, *, faithful: bool = False) -> bool:
    """Whether the text counts up or down; faithful: with the test of K2's code, which lacks the absolute value."""
    digits = len(_DIGIT.findall(text))
    if digits < FEWEST_NUMBERS or digits < _FEWEST_DIGITS * len(text):
        return False
    numbers = [float(word) for word in _NUMBER.findall(text)]
    return any(
        _counts(numbers[start : len(numbers) - end], faithful=faithful)
        for start, end in ((0, 0), (1, 0), (0, 1), (1, 1))
    )


def progression(numbers: Sequence[float], *, faithful: bool = False) -> bool:
    """Whether every three neighbours a, b, c have a - 2b + c = 0; faithful: whether it is below 1e-5, as in K2's code.

    So "2 7 1" (2 - 14 + 1 = -11) is a progression in the faithful form alone.
    """
    bends = (a - 2 * b + c for a, b, c in zip(numbers, numbers[1:], numbers[2:], strict=False))
    return all((bend if faithful else abs(bend)) < _STRAIGHT for bend in bends)


def _counts(numbers: Sequence[float], *, faithful: bool) -> bool:
    """Whether the numbers are so many interleaved progressions, each of three or more, of which one does not stand."""
    if len(numbers) < FEWEST_NUMBERS:
        return False
    for interleaved in range(1, len(numbers) // 3 + 1):
        series = [numbers[at::interleaved] for at in range(interleaved)]
        if all(progression(one, faithful=faithful) for one in series):
            return any(one[0] != one[-1] for one in series)
    return False
