"""What every engine does with the rows of a shard, whichever way it asks the model: checks, equal rows, groups."""

from collections.abc import Iterator

import numpy as np

from mematlas.errors import CorpusError, ModelError
from mematlas.models.base import ModelCard
from mematlas.scoring.engines.results import ContextResult
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Grid, Ids, TokenRows


def check_fit(card: ModelCard, options: ScoringOptions) -> None:
    """Whether the model can be asked the question at all.

    Raises:
        ModelError: the grid is longer than the model, or BOS is asked of a model that has none.
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
    """Whether the model knows every token of `rows`, whose row ids are `ids`.

    Raises:
        CorpusError: it does not; the message names the first row and position.
    """
    bad = (rows.ids < 0) | (rows.ids >= card.vocabulary)
    if bad.any():
        row, position = (int(place[0]) for place in np.nonzero(bad))
        raise CorpusError(
            f"Row {ids[row]} holds the token id {rows.ids[row, position]} at position {position}, outside the "
            f"vocabulary of {card.label} (0 to {card.vocabulary - 1}). Score it with the model it was "
            "tokenized for, or check --token-dtype."
        )


def groups(grid: Grid, lengths: Ids) -> Iterator[tuple[Ids, tuple[int, ...]]]:
    """Rows that allow the same contexts, with those contexts; rows that allow none are left out."""
    shortest = min(grid.continuations)
    allowed = np.array([lengths >= grid.split(context) + shortest for context in grid.contexts]).sum(0)
    for count in range(len(grid.contexts), 0, -1):
        group = np.flatnonzero(allowed == count)
        if len(group):
            yield group, grid.contexts[:count]


def made_up(vocabulary: int, grid: Grid, count: int) -> TokenRows:
    """Random rows [count, grid.width] of ids below `vocabulary`, the same ones every time."""
    ids = np.random.default_rng(0).integers(0, vocabulary, (count, grid.width))
    return TokenRows(ids, np.full(count, grid.width))


def distinct_rows(rows: TokenRows) -> tuple[TokenRows, Ids, Ids]:
    """Distinct rows, for every row the number of its distinct one, and how many rows each stands for."""
    keyed = np.concatenate([rows.lengths[:, None], rows.ids], axis=1)
    _, first, inverse, counts = np.unique(keyed, axis=0, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first)  # keep the order of first appearance: neighbours in the corpus stay neighbours
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    kept = first[order]
    return TokenRows(rows.ids[kept], rows.lengths[kept]), place[inverse.reshape(-1)], counts[order]


def copied(result: ContextResult, inverse: Ids) -> ContextResult:
    """The result spread from distinct rows to all rows of the shard that equal them."""
    if len(np.unique(inverse)) == len(inverse) and (inverse == np.arange(len(inverse))).all():
        return result
    place = np.full(int(inverse.max()) + 1, -1)
    place[result.rows] = np.arange(len(result.rows))
    rows = np.flatnonzero(place[inverse] >= 0)
    return result.take(place[inverse[rows]], rows)
