"""Never-seen values of a secret's format: what a model's preference for the secret is compared with (exposure, K5).

A value with words in it, such as the name in an e-mail address, is likelier than random letters to a model that never
saw it, too; there, a model without the file must be asked for the same values. Digits have no such advantage.
"""

import math
import random
import re
import string
from collections.abc import Collection
from typing import Final

from mematlas.errors import OptionError
from mematlas.matching.secrets.checks import compact
from mematlas.matching.secrets.patterns import Pattern

_MISSES: Final = 20_000  # draws in a row without a new value, after which the format counts as used up


def alternatives(value: str, pattern: Pattern, n: int, seed: int, known: Collection[str] = ()) -> list[str]:
    """`n` different values that have the format of `value`, drawn uniformly, none of which is `value` or in `known`.

    Digits are replaced by digits and letters by letters of the same case, and the checksum is made right again; signs
    and the pattern's fixed parts stay. Two values are the same if their letters and digits are, in whatever case. The
    draws depend on the value, the pattern's name and the seed alone.

    Args:
        known: all values of the file, so that no alternative was seen in training.

    Raises:
        OptionError: the format has too few other values. The message does not contain the secret.
        ValueError: `value` is none of the pattern, or n is negative.
    """
    if n < 0:
        raise ValueError(f"n must not be negative, but is {n}")
    if not pattern.accepts(value):
        raise ValueError(f"the value is no {pattern.name}")
    draw = random.Random(f"{seed}:{pattern.name}:{value}")
    choices = _choices(value, pattern)
    used = {_key(value), *map(_key, known)}
    found: list[str] = []
    misses = 0
    while len(found) < n and misses < _MISSES:
        candidate = "".join(draw.choice(each) for each in choices)
        if pattern.check is not None and pattern.check.repair is not None:
            candidate = pattern.check.repair(candidate)
        if (key := _key(candidate)) not in used and pattern.accepts(candidate):
            used.add(key)
            found.append(candidate)
            misses = 0
        else:
            misses += 1
    if len(found) < n:
        raise OptionError(
            f"Only {len(found)} other values have the format of this {pattern.name}, fewer than the {n} asked for; ask "
            "for fewer."
        )
    return found


def format_size(value: str, pattern: Pattern) -> float:
    """About how many values have the format of `value`; checksums, which allow fewer, count as one hundredth."""
    size = math.prod(float(len(set(choices))) for choices in _choices(value, pattern))
    return max(1.0, size / (1 if pattern.check is None or pattern.check.repair is None else 100))


def _key(value: str) -> str:
    return compact(value).casefold()


def _choices(value: str, pattern: Pattern) -> list[str]:
    """The characters that each character of a value can be replaced by."""
    kept = {at for match in _fixed_parts(value, pattern.fixed) for at in range(*match.span())}
    return [character if at in kept else _like(character, pattern.letters) for at, character in enumerate(value)]


def _fixed_parts(value: str, fixed: re.Pattern[str] | None) -> list[re.Match[str]]:
    return [] if fixed is None else list(fixed.finditer(value))


def _like(character: str, letters: str) -> str:
    if character in string.digits:
        return string.digits
    if character in string.ascii_lowercase:
        return letters
    return letters.upper() if character in string.ascii_uppercase else character
