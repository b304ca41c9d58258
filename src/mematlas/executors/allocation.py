"""How this process gets memory from the system: arrays of some megabytes keep theirs when they are freed.

By default glibc returns it, and the next array gets it back page by page, each page zeroed. For arrays that are made
again and again, as logits, gradients and matrices of distances are, that costs more than the arithmetic in them:
training small models took 1.1 to 1.4 times as long (benchmarks/RESULTS.md). No number changes.
"""

import ctypes
import os
from collections.abc import Callable
from typing import Final

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # parameters of mallopt, from malloc.h
_LARGEST: Final = 32 << 20  # bytes of an array that keeps its memory: the most that glibc allows
_KEPT: Final = 128 << 20  # bytes that may stay with the process
_HEAP: Final = 64 << 20  # bytes that a heap may have unused, or it is given back: all that a heap of a thread has


def keep_freed_memory() -> None:
    """Let this process keep freed memory; nothing without glibc, or if the user has set a variable MALLOC_...."""
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = _of_glibc("mallopt")
    mallopt(_MMAP_THRESHOLD, _LARGEST)
    mallopt(_TRIM_THRESHOLD, _KEPT)
    mallopt(_TOP_PAD, _HEAP)


def return_freed_memory() -> None:
    """Give all freed memory back to the system, so that the size of this process says what it uses."""
    _of_glibc("malloc_trim")(0)


def _of_glibc(name: str) -> Callable[..., object]:
    """A function of glibc; without glibc one that does nothing."""
    try:
        function: Callable[..., object] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return lambda *_: None
    return function
