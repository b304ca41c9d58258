"""What a user must fix. One subclass per remedy; each message gives the value, the rule and the remedy in one line.

A bad argument inside our own code is a ``ValueError``; an ``assert`` is for our own invariants only.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class MematlasError(Exception):
    """Base of every error that the command line prints without a traceback."""


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


def explain(error: "ValidationError", command: str = "score") -> str:
    """The first rule that options break, in one line, naming the option as the command line does."""
    first = error.errors()[0]
    option = "--" + str(first["loc"][0]).replace("_", "-") if first["loc"] else "the options"
    if first["type"] == "missing":
        return f"{option} is missing; name it. See `mematlas {command} --help`."
    message = first["msg"].removeprefix("Value error, ")
    return f"{option}: {message} (given: {first['input']!r}). See `mematlas {command} --help`."
