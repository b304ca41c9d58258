"""The engine over a model that continues prompts greedily, and gives tokens and margins but no states: vLLM, an API.

Every context of every row is a prompt of its own. The truth is never checked on the way, so the depth `verbatim` saves
no work here. The numbers are those of decoding, as in `engines/batch.py`.
"""

from collections.abc import Callable
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from mematlas.models.base import Continuations, ModelCard
from mematlas.scoring.engines.results import ContextResult
from mematlas.scoring.engines.rows import (
    check_fit,
    check_vocabulary,
    distinct_rows,
    group_by_contexts,
    spread_to_duplicates,
)
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Ids, TokenRows


class GreedyGenerator(Protocol):
    """A model that continues prompts greedily."""

    def generate(self, prompts: list[list[int]], length: int) -> Continuations: ...


class GreedyEngine:
    """Scores token rows with a model that continues prompts; `score` is like `Engine.score`.

    batch: who chooses it, recorded where other engines record their number of rows per batch.

    Raises (constructor):
        ModelError: the grid is longer than the model allows, or `bos` is set for a model without a BOS token.
    """

    batch: ClassVar[str]

    def __init__(self, model: GreedyGenerator, card: ModelCard, options: ScoringOptions) -> None:
        check_fit(card, options)
        self._model, self._card, self._options = model, card, options

    def score(self, rows: TokenRows, ids: Ids, on_rows: Callable[[int], None] = lambda n: None) -> list[ContextResult]:
        """Score the rows of a shard.

        Args:
            rows: at least `grid.width` tokens wide; ids: their row ids, for messages.
            on_rows: called after each group of rows with the number of the shard's rows that it scored.
        """
        check_vocabulary(self._card, rows, ids)
        distinct, inverse, counts = distinct_rows(rows)
        results = []
        for group, contexts in group_by_contexts(self._options.grid, distinct.lengths):
            results += [
                spread_to_duplicates(self._score_context(distinct, group, context), inverse) for context in contexts
            ]
            on_rows(int(counts[group].sum()))
        return results

    def _score_context(self, rows: TokenRows, group: Ids, context: int) -> ContextResult:
        grid = self._options.grid
        split, columns = grid.continuation_start(context), max(grid.continuations)
        tokens = np.where(np.arange(rows.ids.shape[1]) < rows.lengths[:, None], rows.ids, -1)[group]
        prompts = tokens[:, split - context : split].tolist()
        if self._options.bos and self._card.bos is not None:
            prompts = [[self._card.bos, *prompt] for prompt in prompts]
        greedy = self._model.generate(prompts, columns)
        hit = greedy.token == tokens[:, split : split + columns]
        return self._result(group, context, hit, greedy.margin.copy(), np.minimum(rows.lengths[group] - split, columns))

    def _result(
        self, group: Ids, context: int, hit: NDArray[np.bool_], margin: NDArray[np.float32], length: Ids
    ) -> ContextResult:
        """The result of one context, of the depth that was asked for; `hit` and `margin` are changed."""
        if self._options.depth == "verbatim":
            beyond = (~hit).cumsum(1) - ~hit > 0
            hit[beyond], margin[beyond] = False, np.inf
        none = np.zeros(len(group), dtype=np.int64)
        return ContextResult(group, context, hit, margin, length, {}, {}, 0, none)
