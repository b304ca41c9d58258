"""What a user must fix. One subclass per remedy; each message gives the value, the rule and the remedy in one line.

A bad argument inside our own code is a ``ValueError``; an ``assert`` is for our own invariants only.
"""

import reprlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic import ValidationError


MAX_MESSAGE_LENGTH: Final = 2000  # of a message; a damaged file may have a name or value of any length in it


class MematlasError(Exception):
    """Base of every error that the command line prints without a traceback, as one line that a terminal can show."""

    def __str__(self) -> str:
        text = "".join(map(_printable, super().__str__()))
        return text if len(text) <= MAX_MESSAGE_LENGTH else f"{text[: MAX_MESSAGE_LENGTH // 2]} ... {text[-MAX_MESSAGE_LENGTH // 2 :]}"


def _printable(sign: str) -> str:
    """A sign of a message; names and values in it come from files, which may hold what a terminal would obey."""
    if sign.isprintable():
        return sign
    return " " if sign.isspace() else ascii(sign)[1:-1]


class UnknownName(MematlasError):
    """A name that no table holds; the message offers the nearest one."""


class MissingExtra(MematlasError):
    """A library that is an optional extra is not installed; the message gives the ``pip install`` line."""


class CorpusError(MematlasError):
    """The corpus is absent, empty, damaged, of an unknown format, or its rows do not suit the request."""


class ModelError(MematlasError):
    """The model cannot be loaded, or does not fit the corpus (vocabulary, tokenizer, length)."""


class StudyError(MematlasError):
    """The study folder cannot be written or read, or holds something else than what was asked for."""


class IndexFault(MematlasError):
    """The index is absent, damaged, incomplete or of another corpus, or a query does not fit it."""


class OptionError(MematlasError):
    """An option's value breaks a rule."""


class OutOfMemory(MematlasError):
    """One row alone does not fit into memory; larger batches have been halved before."""


class _Short(reprlib.Repr):
    """Values as Python writes them, long ones cut: of a value whose parts repeat, that may be the only way."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 120
        self.maxlist = self.maxdict = self.maxset = 12

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if x.bit_length() < 4096 else f"a number of {x.bit_length()} bits"


abbreviate = _Short().repr


def explain(error: "ValidationError", command: str = "score") -> str:
    """The first rule that options break, in one line, naming the option as the command line does."""
    first = error.errors()[0]
    option = "--" + str(first["loc"][0]).replace("_", "-") if first["loc"] else "the options"
    if first["type"] == "missing":
        return f"{option} is missing; name it. See `mematlas {command} --help`."
    message = first["msg"].removeprefix("Value error, ")
    return f"{option}: {message} (given: {abbreviate(first['input'])}). See `mematlas {command} --help`."
