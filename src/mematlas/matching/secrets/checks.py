"""What a regular expression cannot say of a value: checksums, entropy, ranges. Each check can be named by a pattern."""

import ipaddress
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

_MIN_HEX_ENTROPY: Final = 3.0  # bits per character; 32 random hexadecimal digits have 3.66 on average
_MIN_TOKEN_ENTROPY: Final = 4.0  # bits per character; 32 random letters and digits have 4.6 on average
_MIN_CHANGES: Final = 0.4  # share of neighbours of another kind (A, a, 1): .62 in random tokens, about .25 in names
_PICTURES: Final = frozenset(("png", "jpg", "jpeg", "gif", "svg", "webp", "pdf"))
#: First digits of a card's number and its lengths, by network (ISO/IEC 7812; the common ones).
_CARDS: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|(?:6011|64[4-9]\d|65\d\d)\d{12,15}|35(?:2[89]|[3-8]\d)\d{12,15}|3(?:0[0-5]|[689]\d)\d{11,16}|62\d{14,17}"
)


@dataclass(frozen=True, slots=True)
class Check:
    """is_valid: whether a value that matches the expression is what it looks like; repair: makes its checksum right."""

    is_valid: Callable[[str], bool]
    repair: Callable[[str], str] | None = None


def compact(value: str) -> str:
    """The letters and digits of a value."""
    return "".join(character for character in value if character.isalnum())


# ---------------------------------------------------------------------------------------------------------- checksums


def luhn_is_valid(value: str) -> bool:
    """Luhn's checksum over the digits of `value` (ISO/IEC 7812-1)."""
    digits = [int(digit) for digit in compact(value) if digit.isdecimal()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return len(digits) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def luhn_repair(value: str) -> str:
    """`value` with the last digit that makes Luhn's checksum right."""
    last = max(at for at, character in enumerate(value) if character.isdecimal())
    return next(
        repaired for digit in "0123456789" if luhn_is_valid(repaired := value[:last] + digit + value[last + 1 :])
    )


def iban_remainder(value: str) -> int:
    """Remainder by 97 of an account number as ISO 13616 reads it; 1 if it is valid."""
    text = compact(value).upper()
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97


def iban_repair(value: str) -> str:
    """`value` with the two check digits, its third and fourth character, that make it valid."""
    places = [at for at, character in enumerate(value) if character.isalnum()][2:4]
    characters = list(value)
    for place in places:
        characters[place] = "0"
    check = f"{98 - iban_remainder(''.join(characters)):02d}"
    for place, digit in zip(places, check, strict=True):
        characters[place] = digit
    return "".join(characters)


def is_card(value: str) -> bool:
    """A number of a known card network with a right checksum."""
    return _CARDS.fullmatch(compact(value)) is not None and luhn_is_valid(value)


# ------------------------------------------------------------------------------------------------------------ entropy


def entropy(text: str) -> float:
    """Shannon entropy of the characters of `text`, in bits per character."""
    return sum(count / len(text) * math.log2(len(text) / count) for count in Counter(text).values())


def is_random_hex(value: str) -> bool:
    """Digits and letters that are as mixed as random ones (our choice: 3 bits per character)."""
    return (
        any(character.isdigit() for character in value)
        and any(character.isalpha() for character in value)
        and entropy(value.lower()) >= _MIN_HEX_ENTROPY
    )


def has_mixed_characters(value: str) -> bool:
    """Capitals, small letters and digits are all there."""
    return {"A", "a", "1"} <= set(_kinds(value))


def is_random_token(value: str) -> bool:
    """Capitals, small letters and digits, as mixed as random ones.

    Our choice: 4 bits per character do not tell tokens from long names and paths, so that two of five neighbours must
    also be of different kinds; separators divide what is compared.
    """
    pairs = [pair for pair in pairwise(_kinds(value)) if "-" not in pair]
    changes = sum(first != second for first, second in pairs)
    is_mixed = has_mixed_characters(value) and changes >= _MIN_CHANGES * len(pairs)
    return is_mixed and entropy(value) >= _MIN_TOKEN_ENTROPY


def _kinds(value: str) -> list[str]:
    """A capital, a small letter, a digit or a separator: "A", "a", "1", "-" for each character."""
    return ["A" if each.isupper() else "a" if each.islower() else "1" if each.isdigit() else "-" for each in value]


# ---------------------------------------------------------------------------------------------------------- addresses


def is_ipv4(value: str) -> bool:
    """Four numbers up to 255 without leading zeros."""
    return _is_address(ipaddress.IPv4Address, value)


def is_ipv6(value: str) -> bool:
    """An address of version 6; our choice: with a digit in it and two groups, since `a::b` is rather code."""
    groups = [group for group in value.split(":") if group]
    is_likely = len(groups) > 1 and any(character.isdigit() for character in value)
    return is_likely and _is_address(ipaddress.IPv6Address, value)


def _is_address(kind: Callable[[str], object], value: str) -> bool:
    try:
        kind(value)
    except ValueError:
        return False
    return True


def is_email(value: str) -> bool:
    """No name of a picture, such as icon@2x.png."""
    return value.rpartition(".")[2].lower() not in _PICTURES


def is_phone(value: str) -> bool:
    """8 to 15 digits (ITU-T E.164 allows 15)."""
    return 8 <= len(compact(value)) <= 15


CHECKS: Final[Mapping[str, Check]] = {
    "luhn": Check(luhn_is_valid, luhn_repair),
    "payment_card": Check(is_card, luhn_repair),
    "iban": Check(lambda value: iban_remainder(value) == 1, iban_repair),
    "random_hex": Check(is_random_hex),
    "mixed_characters": Check(has_mixed_characters),
    "random_token": Check(is_random_token),
    "ipv4": Check(is_ipv4),
    "ipv6": Check(is_ipv6),
    "email": Check(is_email),
    "phone": Check(is_phone),
}
