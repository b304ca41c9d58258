"""Among which answers the right one is ranked: an item's own choices, or answers of other items."""

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from mematlas.probes.items.task_file import Item


def candidate_answers(item: Item, outputs: Sequence[str], count: int, seed: int) -> list[str]:
    """The right answer first, then the other choices, or up to `count` - 1 other ones of `outputs`, drawn by the seed.

    The draw depends on the item alone. Without choices and with a count below 2 there is only the right answer.

    Args:
        outputs: distinct answers of all items.
    """
    if item.choices:
        return [item.output, *(choice for choice in item.choices if choice != item.output)]
    if count < 2:
        return [item.output]
    others = [output for output in outputs if output != item.output]
    random = np.random.default_rng([seed, 4, crc32(item.id.encode())])
    drawn = random.permutation(len(others))[: count - 1]
    return [item.output, *(others[number] for number in sorted(drawn.tolist()))]


def rank_of_first(log_probability: Sequence[float]) -> float:
    """The rank of the first among all, 1 being the most probable; equally probable ones share their mean rank."""
    first, others = log_probability[0], log_probability[1:]
    return 1 + sum(other > first for other in others) + sum(other == first for other in others) / 2
