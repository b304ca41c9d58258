"""Errors that the user must fix: one class per remedy; each message has the value, the rule and the remedy in one line.

A wrong argument within our own code is a ``ValueError``; an ``assert`` is for our own invariants only.
"""

import difflib
import reprlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic import ValidationError


MAX_MESSAGE_LENGTH: Final = 2000  # characters; a damaged file may contain names or values of any length


class MematlasError(Exception):
    """Base class of the errors that the command line prints as one line without a traceback."""

    def __str__(self) -> str:
        text = "".join(map(_printable, super().__str__()))
        half = MAX_MESSAGE_LENGTH // 2
        return text if len(text) <= MAX_MESSAGE_LENGTH else f"{text[:half]} ... {text[-half:]}"


def _printable(character: str) -> str:
    """Escape control characters, since names and values in messages may come from damaged files."""
    if character.isprintable():
        return character
    return " " if character.isspace() else ascii(character)[1:-1]


class UnknownName(MematlasError):
    """A name that is in no table; the message suggests the most similar one."""


class MissingExtra(MematlasError):
    """The library of an optional extra is not installed; the message contains the ``pip install`` line."""


class CorpusError(MematlasError):
    """The corpus is absent, empty, damaged, of an unknown format, or its rows do not suit the request."""


class ModelError(MematlasError):
    """The model cannot be loaded, or does not fit the corpus (vocabulary, tokenizer, length)."""


class StudyError(MematlasError):
    """The study folder cannot be written or read, or does not contain what was requested."""


class IndexFault(MematlasError):
    """The index is absent, damaged, incomplete or of another corpus, or a query does not match it."""


class OptionError(MematlasError):
    """An option's value breaks a rule."""


class OutOfMemory(MematlasError):
    """A single row does not fit into memory, after larger batches were halved."""


class _Abbreviation(reprlib.Repr):
    """`repr` of values with long ones cut; nested YAML aliases may have too long a `repr` otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 120
        self.maxlist = self.maxdict = self.maxset = 12

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if x.bit_length() < 4096 else f"a number of {x.bit_length()} bits"


abbreviate = _Abbreviation().repr


def did_you_mean(name: str, candidates: Iterable[str], prefix: str = "") -> str:
    """`` Did you mean 'x'?`` with the most similar of `candidates`; the empty string if none is similar.

    Similar (our choice) is a candidate with a matching ratio of 0.6 from which `name` differs by at most two characters
    or a third of the longer one: 'parket' and 'parquet' are, 'nomodel' and 'cutmodel' are not. `prefix` precedes the
    candidate in the text.
    """
    for close in difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.6):
        changes = difflib.SequenceMatcher(None, close, name).get_opcodes()
        changed = sum(max(end - start, stop - begin) for tag, start, end, begin, stop in changes if tag != "equal")
        if changed <= max(2, max(len(name), len(close)) // 3):
            return f" Did you mean {prefix + close!r}?"
    return ""


def explain(error: "ValidationError", command: str = "score", options: Iterable[str] = ()) -> str:
    """The first validation error in one line, naming the option as the command line does.

    Args:
        command: the command whose help explains the option.
        options: the fields of the model that was validated, among which a misspelt one is looked for.
    """
    # a misspelt option is reported before one that is missing because of it
    first = min(error.errors(), key=lambda details: details["type"] != "extra_forbidden")
    name = str(first["loc"][0]) if first["loc"] else ""
    option = "--" + name.replace("_", "-") if name else "the options"
    if first["type"] == "extra_forbidden":  # only from Python: the command line knows its options
        return f"There is no option {name!r}.{did_you_mean(name, options)} `mematlas {command} --help` shows them all."
    if first["type"] == "missing":
        return f"{option} is missing; name it. See `mematlas {command} --help`."
    message = first["msg"].removeprefix("Value error, ")
    return f"{option}: {message} (given: {abbreviate(first['input'])}). See `mematlas {command} --help`."
