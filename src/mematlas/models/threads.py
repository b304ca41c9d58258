"""How many cores one of several workers takes."""


def limit_threads(count: int) -> None:
    """Let torch use `count` threads in this process; more workers than cores would otherwise wait for each other."""
    import torch

    torch.set_num_threads(count)
