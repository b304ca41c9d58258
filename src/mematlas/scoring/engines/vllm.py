"""The engine over vLLM, which decodes every context of every row greedily, in batches that vLLM forms itself.

It suits long contexts and large models. It never checks the truth, so the depth `verbatim` saves no work here, and it
returns neither signals nor states. Its numbers are those of decoding, as in `engines/batch.py`, with other rounding.
"""

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np

from mematlas.models.base import LoadOptions, ModelCard, ModelSource
from mematlas.models.huggingface import FolderSource
from mematlas.models.vllm import Continuations, VllmModel
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

#: What users must know about numbers from vLLM (sources: docs/gpu.md).
VLLM_CAVEAT: Final = (
    "vLLM: rounding depends on which rows are computed together, so greedy tokens with a small margin may differ from "
    "those of --backend torch and between two runs; check the margins, and see docs/gpu.md."
)


class GreedyGenerator(Protocol):
    """A model that continues prompts greedily."""

    def generate(self, prompts: list[list[int]], length: int) -> Continuations: ...


class VllmEngine:
    """Scores token rows with a model in vLLM; `score` is like `Engine.score`.

    batch: "chosen by vLLM", recorded where other engines record their number of rows per batch.

    Raises (constructor):
        ModelError: the grid is longer than the model allows, or `bos` is set for a model without a BOS token.
    """

    batch = "chosen by vLLM"

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
        margin = greedy.margin.copy()
        if self._options.depth == "verbatim":
            beyond = (~hit).cumsum(1) - ~hit > 0
            hit[beyond], margin[beyond] = False, np.inf
        length = np.minimum(rows.lengths[group] - split, columns)
        none = np.zeros(len(group), dtype=np.int64)
        return ContextResult(group, context, hit, margin, length, {}, {}, 0, none)


def load_vllm_engine(source: ModelSource, load: LoadOptions, options: ScoringOptions) -> VllmEngine:
    """Load a model into vLLM and return the engine over it.

    Raises:
        MissingExtra: vLLM is not installed.
        ModelError: the model does not fit the options, or vLLM cannot load it.
    """
    card = source.card
    assert isinstance(source, FolderSource)  # resolve_job refuses other sources
    check_fit(card, options)
    width = options.grid.width + options.bos
    return VllmEngine(VllmModel(source.folder, card, load, width, options.eos, card.eos), card, options)
