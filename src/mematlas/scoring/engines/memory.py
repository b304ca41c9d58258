"""Recognize errors that mean that memory ran out: torch raises several kinds."""

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` means that an array did not fit into memory, on a GPU or a CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    message = str(error).lower()
    return "can't allocate memory" in message or "out of memory" in message or "not enough memory" in message
