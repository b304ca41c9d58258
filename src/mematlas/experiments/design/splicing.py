"""Sequences spliced into rows of a training, between documents.

Source: K9, `perturb_hubble.py` (November 2025). A row is drawn for every insertion, no row twice. The sequence is put
in front of one of the row's documents, or behind the last. Of the longer row a window of the row's length is kept,
which holds the sequence whole: a new place in the row, so that sequences do not always stand where documents begin.
"""

from collections.abc import Mapping

import numpy as np

from mematlas.errors import OptionError
from mematlas.experiments.design.plan import Plan, Showing
from mematlas.experiments.design.showings import Slots
from mematlas.types import Ids


def splice_between_documents(
    plan: Plan, times: Mapping[int, int], length: int, slots: Slots, end: int, seed: int
) -> list[Showing]:
    """Insertions of sequences into rows drawn from `slots`, one a row.

    The slots drawn depend on `times`, the number of slots and the seed alone, so that plans of other rows, or with
    another first slot, insert the same sequences in the same order.

    Args:
        times: sequence (its row in the plan's tokens) -> how often it is inserted.
        length: tokens of every sequence, with the one that ends it.
        end: the token that ends documents.

    Raises:
        OptionError: there are more insertions than slots, or a sequence is longer than a row.
    """
    total = sum(times.values())
    if total > slots.count:
        raise OptionError(
            f"{total:,} insertions need as many rows, one each, and there are {slots.count:,}; insert fewer items, or "
            "less often, or train for more steps."
        )
    if length > plan.row_length:
        raise OptionError(
            f"A sequence of {length} tokens is longer than a row of {plan.row_length}; take shorter sequences."
        )
    rng = np.random.default_rng(seed)
    places = slots.first + rng.permutation(slots.count)[:total]
    sequences = np.repeat(np.array(list(times), np.int64), list(times.values()))
    showings = []
    for sequence, place in zip(sequences.tolist(), places.tolist(), strict=True):
        offset, window = place_in_row(plan.tokens[plan.rows[place]], length, end, rng)
        showings.append(Showing(sequence, place, length, offset, "splice", window))
    return showings


def place_in_row(row: Ids, length: int, end: int, rng: np.random.Generator) -> tuple[int, int]:
    """Where a sequence of `length` tokens is inserted in a row, and how many tokens the longer row then loses in front.

    A sequence in front of the first document loses none, so that the row's end is cut. Source: K9.
    """
    boundaries = np.union1d(np.flatnonzero(row == end) + 1, [0, len(row)])
    offset = int(boundaries[rng.integers(len(boundaries))])
    if offset == 0:
        return 0, 0
    window = int(rng.integers(length))
    return offset, max(min(window, offset), offset + length - len(row))
