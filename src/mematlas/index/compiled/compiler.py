"""How loops are compiled: once for all processes, and without holding other threads."""

from typing import Any

import numba


def compiled(function: Any) -> Any:
    """The function, compiled when it is first called with arguments of these types."""
    return numba.njit(function, nogil=True, cache=True)
