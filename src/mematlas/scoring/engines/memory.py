"""Which errors mean that memory ran out: torch has more than one way to say it."""

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that an array did not fit into memory, on a GPU or not."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return "can't allocate memory" in text or "out of memory" in text or "not enough memory" in text
