"""When memory runs out: recognize the errors that say so, of which torch raises several kinds, and halve the batch."""

from collections.abc import Callable
from typing import TypeVar

import torch

from mematlas.errors import OutOfMemory
from mematlas.types import Ids

Result = TypeVar("Result")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` means that an array did not fit into memory, on a GPU or a CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    message = str(error).lower()
    return "can't allocate memory" in message or "out of memory" in message or "not enough memory" in message


def score_or_halve(
    score: Callable[[Ids], list[Result]], part: Ids, *, too_large: str, on_halving: Callable[[int, int], None]
) -> list[Result]:
    """The results of some rows, whose number is halved until they fit into memory.

    Args:
        score: scores the rows of these indices; too_large: the error's message if even one row does not fit.
        on_halving: called with the number of rows that did not fit, and the half of it.

    Raises:
        OutOfMemory: one row does not fit.
    """
    try:
        return score(part)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    if len(part) == 1:
        raise OutOfMemory(too_large)
    half = (len(part) + 1) // 2
    on_halving(len(part), half)
    parts = (part[:half], part[half:])
    return [
        result for rows in parts for result in score_or_halve(score, rows, too_large=too_large, on_halving=on_halving)
    ]
