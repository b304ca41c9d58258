"""The number of CPU threads per worker."""


def limit_threads(count: int) -> None:
    """Make torch use `count` threads in this process, so that workers on one machine do not compete for cores."""
    import torch

    torch.set_num_threads(count)
