"""Rows that hold several documents each, and items of the same kind that no row holds: what is spliced into a training.

Every document of the background, and every item, is a passage of text of one length and the token that ends it, so that
an item differs from its surroundings in nothing but the number of times it is inserted. A row is what a packed corpus
has: documents one after the other, cut wherever the row ends.
"""

import numpy as np
from numpy.typing import NDArray

from mematlas.experiments.data.injected_sequences import InjectedRows, write_sequence_files
from mematlas.experiments.data.study_rows import ExperimentRows


def passages_needed(rows: int, row_length: int, item_length: int) -> int:
    """Passages of `item_length` tokens, and one that ends each, that fill so many rows."""
    return -(-rows * row_length // (item_length + 1))


def pack_rows(passages: ExperimentRows, items: int, rows: int, row_length: int) -> InjectedRows:
    """Items, then rows of packed documents, then held-out passages, all in rows of `row_length` tokens.

    The first control passages are the items, the others are held out. The study's files are replaced by those of the
    items and of the held-out passages, both without the token that ends them.

    Args:
        passages: passages of one length; `passages_needed` of them in training.

    Returns:
        Rows whose first tokens are an item, or a held-out passage, and the token that ends it.
    """
    length, end = passages.tokens.shape[1], passages.tokenizer.eos_token_id
    ended = np.pad(passages.tokens, ((0, 0), (0, 1)), constant_values=end)
    background = ended[: passages.train].reshape(-1)[: rows * row_length].reshape(rows, row_length)
    apart = np.pad(ended[passages.train :], ((0, 0), (0, row_length - length - 1)), constant_values=end)
    origins = passages.control_positions[:items].tolist()
    write_sequence_files(passages, passages.tokens[origins], ["text"] * items, origins)
    held_out: NDArray[np.int64] = np.arange(items + rows, rows + len(apart))
    return InjectedRows(
        np.concatenate([apart[:items], background, apart[items:]]),
        (*["text"] * items, *["background"] * rows, *["held-out"] * len(held_out)),
        items,
        held_out,
        passages.corpus,
        passages.control,
        passages.tokenizer,
    )
