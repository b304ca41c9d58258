"""Scoring by a serving engine: every context of every row decoded greedily, by vLLM, in batches of its own making.

It suits long contexts and large models. It reads nothing along the truth, so `verbatim` saves no work here, and keeps
neither signals nor states. Its numbers are those of decoding, as in `scoring/branches.py`, with other rounding.
"""

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np

from mematlas.models.base import LoadOptions, ModelCard, ModelSource
from mematlas.models.huggingface import FolderSource
from mematlas.models.vllm import Continued, ServedModel
from mematlas.scoring.engines.results import ContextResult
from mematlas.scoring.engines.rows import check_fit, check_vocabulary, copied, distinct_rows, groups
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Ids, TokenRows

#: What a user must know of numbers that come from vLLM (sources: docs/gpu.md).
DEVIATIONS: Final = (
    "vLLM: which rows it computes together changes the rounding, so that greedy tokens with a small margin may differ "
    "from those of --backend torch and between two runs; look at margins, and see docs/gpu.md."
)


class Continues(Protocol):
    """Whoever continues prompts greedily."""

    def continued(self, prompts: list[list[int]], length: int) -> Continued: ...


class ServedEngine:
    """Scores token rows with one served model; `score` is as `Engine.score`.

    batch: "chosen by vLLM", which stands where other runs have their number of rows in step.

    Raises (constructor):
        ModelError: the grid is longer than the model, or BOS is asked of a model that has none.
    """

    batch = "chosen by vLLM"

    def __init__(self, model: Continues, card: ModelCard, options: ScoringOptions) -> None:
        check_fit(card, options)
        self._model, self._card, self._options = model, card, options

    def score(self, rows: TokenRows, ids: Ids, on_rows: Callable[[int], None] = lambda n: None) -> list[ContextResult]:
        """Score the rows of a shard.

        Args:
            rows: at least `grid.width` tokens wide; ids: their row ids, for messages.
            on_rows: told how many of the shard's rows are done, after each group of rows.
        """
        check_vocabulary(self._card, rows, ids)
        distinct, inverse, counts = distinct_rows(rows)
        results = []
        for group, contexts in groups(self._options.grid, distinct.lengths):
            results += [copied(self._context(distinct, group, context), inverse) for context in contexts]
            on_rows(int(counts[group].sum()))
        return results

    def _context(self, rows: TokenRows, group: Ids, context: int) -> ContextResult:
        grid = self._options.grid
        split, columns = grid.split(context), max(grid.continuations)
        tokens = np.where(np.arange(rows.ids.shape[1]) < rows.lengths[:, None], rows.ids, -1)[group]
        prompts = tokens[:, split - context : split].tolist()
        if self._options.bos and self._card.bos is not None:
            prompts = [[self._card.bos, *prompt] for prompt in prompts]
        found = self._model.continued(prompts, columns)
        hit = found.token == tokens[:, split : split + columns]
        margin = found.margin.copy()
        if self._options.depth == "verbatim":
            beyond = (~hit).cumsum(1) - ~hit > 0
            hit[beyond], margin[beyond] = False, np.inf
        length = np.minimum(rows.lengths[group] - split, columns)
        none = np.zeros(len(group), dtype=np.int64)
        return ContextResult(group, context, hit, margin, length, {}, {}, 0, none)


def served(source: ModelSource, load: LoadOptions, options: ScoringOptions) -> ServedEngine:
    """The engine over a model that vLLM loads.

    Raises:
        MissingExtra: vLLM is not installed.
        ModelError: the model does not fit the options, or vLLM cannot load it.
    """
    card = source.card
    assert isinstance(source, FolderSource)  # the question was not taken otherwise
    check_fit(card, options)
    width = options.grid.width + options.bos
    return ServedEngine(ServedModel(source.folder, card, load, width, options.eos, card.eos), card, options)
