"""Why a file could not be read though nothing is known to be wrong with it: a library, a permission, the machine.

Such a file was not checked. It is no fault, and nobody is told to delete it.
"""

import errno
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mematlas.errors.libraries import is_own_module, missing_library

#: Numbers of errors that say something about the file, not about this machine: it is absent, or is not a file.
_OF_THE_FILE: Final = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ELOOP, errno.ENAMETOOLONG)


def obstacle(error: BaseException) -> str | None:
    """What kept this machine from reading a file, a clause with its remedy; None if the file itself is at fault."""
    for cause in _causes(error):
        if isinstance(cause, ImportError) and not is_own_module(cause):
            return f"reading this {missing_library(cause)}"
        if isinstance(cause, MemoryError):
            return "there is too little memory to read this; verify it on a larger machine"
        is_of_the_machine = isinstance(cause, OSError) and cause.errno not in (None, *_OF_THE_FILE)
        if is_of_the_machine or isinstance(cause, PermissionError):
            reason = getattr(cause, "strerror", None) or "Permission denied"
            return f"this could not be read ({reason}); verify it as a user, and on a machine, that can"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those that led to it, which a reader may have translated."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def is_there(path: Path) -> bool:
    """Whether there is a file; True also if that may not be looked up, so that reading it gives the reason."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        return obstacle(error) is not None
