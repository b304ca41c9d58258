"""The user's own patterns, from a YAML or JSON file."""

import json
import re
import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from mematlas.errors import OptionError, abbreviate, did_you_mean
from mematlas.matching.secrets.checks import CHECKS
from mematlas.matching.secrets.patterns import PATTERNS, Pattern

#: What PyYAML and json raise, besides their own errors, for damaged text.
_INVALID_VALUE: Final = (ValueError, ArithmeticError, LookupError, AttributeError, TypeError, RecursionError)
_KEYS: Final = ("regex", "check", "fixed", "letters")
_EXAMPLE: Final = (
    r"a line such as `customer: 'CUST-\d{6}'`, or `customer:` with the keys regex, check, fixed and letters"
)


def read_patterns(path: str | Path) -> dict[str, Pattern]:
    r"""The patterns of a file, in front of the built-in ones; one with the name of a built-in one takes its place.

    The file maps names to expressions of Python's `re`, or to mappings with the key regex and, if wanted, check (one of
    CHECKS), fixed (an expression) and letters, as in `Pattern`:

        customer: 'CUST-\d{6}'
        member: {regex: 'member (?P<value>\d{8})', check: luhn}

    Raises:
        OptionError: the file or a pattern cannot be used; the message names the pattern and the rule.
    """
    own = {str(name): _pattern(name, entry, path) for name, entry in _read(Path(path)).items()}
    return own | {name: pattern for name, pattern in PATTERNS.items() if name not in own}


def _read(path: Path) -> Mapping[object, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise OptionError(f"{path} cannot be read ({error.strerror}); name a YAML or JSON file of patterns.") from None
    except (yaml.YAMLError, *_INVALID_VALUE) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise OptionError(f"{path} is no valid YAML or JSON ({reason}); correct it.") from None
    if not isinstance(values, dict) or not values:
        raise OptionError(f"{path} has no patterns (its content: {abbreviate(values)}); write {_EXAMPLE}.")
    return values


def _pattern(name: object, entry: object, path: str | Path) -> Pattern:
    place = f"{path}: pattern {abbreviate(name)}"
    if not isinstance(name, str) or not isinstance(entry, (str, dict)):
        raise OptionError(f"{place} is {abbreviate(entry)}; write {_EXAMPLE}.")
    options = {"regex": entry} if isinstance(entry, str) else entry
    for key, value in options.items():
        if key not in _KEYS:
            raise OptionError(
                f"{place}: there is no key {key!r}.{_suggest(key, _KEYS)} The keys are regex, check, fixed, letters."
            )
        if not isinstance(value, str):
            raise OptionError(f"{place}: {key} is {abbreviate(value)}, which is no text; put it in quotes.")
    if "regex" not in options:
        raise OptionError(f"{place}: there is no regex; add `regex: ...` to it.")
    check, letters = options.get("check"), options.get("letters", string.ascii_lowercase)
    if check is not None and check not in CHECKS:
        raise OptionError(
            f"{place} has no check {check!r}.{_suggest(check, CHECKS)} The checks are {', '.join(CHECKS)}."
        )
    if not letters or not set(letters) <= set(string.ascii_lowercase):
        raise OptionError(f"{place}: letters is {letters!r}; name the small letters a to z that values may contain.")
    regex, fixed = _compile(place, "regex", options["regex"]), options.get("fixed")
    if regex.search("") is not None:
        raise OptionError(f"{place}: the regex matches an empty text, and so everywhere; write what must be there.")
    fixed_parts = None if fixed is None else _compile(place, "fixed", fixed)
    return Pattern(name, regex, None if check is None else CHECKS[check], fixed_parts, letters)


def _compile(place: str, key: str, expression: str) -> re.Pattern[str]:
    try:
        return re.compile(expression)
    except (re.error, RecursionError, OverflowError) as error:
        raise OptionError(
            f"{place}: {key} is no regular expression of Python ({error}; given: {abbreviate(expression)}); correct it."
        ) from None


def _suggest(name: object, names: Iterable[str]) -> str:
    return did_you_mean(str(name), names)
