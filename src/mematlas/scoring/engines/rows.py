"""What all engines do with the rows of a shard: check them, remove duplicates, group them by contexts."""

from collections.abc import Iterator

import numpy as np

from mematlas.errors import CorpusError, ModelError
from mematlas.models.base import ModelCard
from mematlas.scoring.engines.results import ContextResult
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Grid, Ids, TokenRows


def check_fit(card: ModelCard, options: ScoringOptions) -> None:
    """Check that the model can be scored with these options.

    Raises:
        ModelError: the grid is longer than the model allows, or `bos` is set for a model without a BOS token.
    """
    width = options.grid.width + options.bos
    if card.max_length is not None and width > card.max_length:
        raise ModelError(
            f"{card.label} was built for {card.max_length} tokens, but the grid needs {width}; "
            "choose a shorter --context or --continuation."
        )
    if options.bos and card.bos is None:
        raise ModelError(f"{card.label} has no BOS token; leave out --bos.")


def check_vocabulary(card: ModelCard, rows: TokenRows, ids: Ids) -> None:
    """Check that every token of `rows`, whose row ids are `ids`, is in the model's vocabulary.

    Raises:
        CorpusError: a token is not; the message names the first such row and position.
    """
    bad = (rows.ids < 0) | (rows.ids >= card.vocabulary)
    if bad.any():
        row, position = (int(indices[0]) for indices in np.nonzero(bad))
        raise CorpusError(
            f"Row {ids[row]} contains the token id {rows.ids[row, position]} at position {position}, outside the "
            f"vocabulary of {card.label} (0 to {card.vocabulary - 1}). Score it with the model it was "
            "tokenized for, or check --token-dtype."
        )


def group_by_contexts(grid: Grid, lengths: Ids) -> Iterator[tuple[Ids, tuple[int, ...]]]:
    """Groups of rows that are long enough for the same contexts, with these; rows too short for any are left out."""
    shortest = min(grid.continuations)
    allowed = np.array([lengths >= grid.continuation_start(context) + shortest for context in grid.contexts]).sum(0)
    for count in range(len(grid.contexts), 0, -1):
        group = np.flatnonzero(allowed == count)
        if len(group):
            yield group, grid.contexts[:count]


def random_rows(vocabulary: int, grid: Grid, count: int) -> TokenRows:
    """Random rows [count, grid.width] of ids below `vocabulary`, the same ones every time."""
    ids = np.random.default_rng(0).integers(0, vocabulary, (count, grid.width))
    return TokenRows(ids, np.full(count, grid.width))


def distinct_rows(rows: TokenRows) -> tuple[TokenRows, Ids, Ids]:
    """The distinct rows, the index of every row's distinct row, and the number of copies of each distinct row."""
    keyed = np.concatenate([rows.lengths[:, None], rows.ids], axis=1)
    _, first, inverse, counts = np.unique(keyed, axis=0, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first)  # keep the order of first appearance, so that neighbours in the corpus stay neighbours
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    distinct = first[order]
    return TokenRows(rows.ids[distinct], rows.lengths[distinct]), rank[inverse.reshape(-1)], counts[order]


def spread_to_duplicates(result: ContextResult, inverse: Ids) -> ContextResult:
    """The result for all rows of the shard, copied from the distinct rows that they equal."""
    if len(np.unique(inverse)) == len(inverse) and (inverse == np.arange(len(inverse))).all():
        return result
    index = np.full(int(inverse.max()) + 1, -1)  # of each distinct row in the result
    index[result.rows] = np.arange(len(result.rows))
    rows = np.flatnonzero(index[inverse] >= 0)
    return result.take(index[inverse[rows]], rows)
