"""K2's two tests for templates, which a model may reconstruct rather than recall: repeating and incrementing text.

Source: K2 and the code of its authors. Repeating is their rule (on tokens), written without loops. Incrementing uses
their test of three numbers, which lacks an absolute value, so that any three numbers that bend downwards pass
(`faithful`); here it has one. Our choice: numbers may form several interleaved sequences, the first and the last
number may be cut by the window's edge, and sequences that merely rise, or return to their first number, do not count.
"""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mematlas.types import Ids

MIN_NUMBERS: Final = 6  # K2's code: shorter lists are not a sequence
_MIN_DIGIT_SHARE: Final = 0.05  # K2's code: share of characters that are digits
_MAX_CUT_TOKENS: Final = 2  # K2's code: tokens at the end that may be left out
_TOLERANCE: Final = 1e-5  # K2's code: of a second difference
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_DIGIT: Final = re.compile(r"[0-9]")


def repeating(windows: Ids) -> NDArray[np.bool_]:
    """Whether each window repeats a template: shape (rows, tokens) of token ids -> shape (rows,).

    When fewer than half of the tokens at the start and at most two at the end are left out, the rest must be one
    template at least twice. K2's code divides the rest into 2 to 5 equal pieces and a cut one; as a template that
    occurs more often is also a longer one that occurs 2 to 5 times, this is the same as two or more times.
    """
    rows, tokens = windows.shape
    is_repeating = np.zeros(rows, dtype=bool)
    for period in range(1, tokens // 2 + 1):
        equal = windows[:, :-period] == windows[:, period:]
        for cut in range(min(_MAX_CUT_TOKENS, tokens - 2 * period) + 1):
            start = min(tokens // 2 - 1, tokens - cut - 2 * period)
            is_repeating |= equal[:, start : tokens - cut - period].all(axis=1)
    return is_repeating


def incrementing(text: str, *, faithful: bool = False) -> bool:
    """Whether the text counts up or down: its numbers form arithmetic progressions.

    Six numbers or more are needed, whose digits are a twentieth of the characters or more. faithful: use the test of
    K2's code, which lacks the absolute value.
    """
    digits = len(_DIGIT.findall(text))
    if digits < MIN_NUMBERS or digits < _MIN_DIGIT_SHARE * len(text):
        return False
    numbers = [float(word) for word in _NUMBER.findall(text)]
    return any(
        _is_incrementing(numbers[start : len(numbers) - end], faithful=faithful)
        for start, end in ((0, 0), (1, 0), (0, 1), (1, 1))
    )


def is_progression(numbers: Sequence[float], *, faithful: bool = False) -> bool:
    """Whether a - 2b + c = 0 for every three neighbours a, b, c; faithful: whether it is below 1e-5, as in K2's code.

    So "2 7 1" (2 - 14 + 1 = -11) is a progression in the faithful form only.
    """
    differences = (a - 2 * b + c for a, b, c in zip(numbers, numbers[1:], numbers[2:], strict=False))
    return all((difference if faithful else abs(difference)) < _TOLERANCE for difference in differences)


def _is_incrementing(numbers: Sequence[float], *, faithful: bool) -> bool:
    """Whether the numbers are interleaved progressions of three or more numbers, at least one of them not constant."""
    if len(numbers) < MIN_NUMBERS:
        return False
    for interleaved in range(1, len(numbers) // 3 + 1):
        sequences = [numbers[first::interleaved] for first in range(interleaved)]
        if all(is_progression(sequence, faithful=faithful) for sequence in sequences):
            return any(sequence[0] != sequence[-1] for sequence in sequences)
    return False
