"""The engine over a causal model: duplicates are scored once, batches are halved when memory runs out."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mematlas.errors import ModelError
from mematlas.models.base import Model, ModelCard
from mematlas.scoring.engines.batch import BatchOptions, BatchScoring, Branch, Decisions
from mematlas.scoring.engines.batch_size import MAX_ROWS, largest_batch, memory_meter
from mematlas.scoring.engines.memory import score_or_halve
from mematlas.scoring.engines.readout import NonFiniteLogits, Readout
from mematlas.scoring.engines.results import ContextResult
from mematlas.scoring.engines.rows import (
    check_fit,
    check_vocabulary,
    distinct_rows,
    group_by_contexts,
    random_rows,
    spread_to_duplicates,
)
from mematlas.scoring.options import ScoringOptions, closest_to_32, layer_number
from mematlas.types import Ids, TokenRows

Say = Callable[[str], None]


class Engine:
    """Scores token rows with one model.

    Args:
        say: called with messages for the user, such as that the batch was halved.
        max_rows: the most rows of a shard, so that `--batch auto` tries no more; None if unknown.

    Raises (constructor):
        ModelError: the grid is longer than the model allows, or the model lacks the BOS token or the layer of hidden
            states that the options require.
    """

    def __init__(
        self,
        model: Model,
        card: ModelCard,
        options: ScoringOptions,
        say: Say = lambda text: None,
        max_rows: int | None = None,
    ) -> None:
        check_fit(card, options)
        suppressed = card.eos if options.eos == "suppress" else ()
        self._model, self._card, self._options, self._say = model, card, options, say
        self._readout = Readout(model, suppressed, options.temperatures)
        hidden = bool(options.hidden_kinds)
        self._batch_options = BatchOptions(options.depth, options.eos, card.eos, options.free, options.truth, hidden)
        self._layer = self._select_layer() if hidden else "last"
        self.batch = self._auto_batch(max_rows) if options.batch == "auto" else options.batch

    def _auto_batch(self, max_rows: int | None) -> int:
        """The number of rows that fit into memory together, measured with random rows (see `batch_size`)."""
        device, label = self._model.device, self._card.label
        limit = MAX_ROWS.get(device.type, MAX_ROWS["cpu"])
        max_rows = min(max_rows or limit, limit)
        meter = memory_meter(device)
        if meter is None:
            self._say(f"{label}: {max_rows} rows at a time; --batch auto cannot measure memory on this system.")
            return max_rows
        rows = random_rows(self._card.vocabulary, self._options.grid, max_rows)
        # graded depth on rows that are not recited decodes every row of every context, which takes the most memory
        probe = Engine(self._model, self._card, replace(self._options, depth="graded", batch=max_rows))

        def score(count: int) -> None:
            with suppress(NonFiniteLogits):  # the memory was used all the same
                probe._score_rows(rows, np.arange(count), self._options.grid.contexts)

        batch = largest_batch(score, meter, max_rows)
        self._say(f"{label}: {batch} rows at a time, by --batch auto.")
        return batch

    def _select_layer(self) -> str:
        """Make the model keep the states of the layer that the options name; returns its number, or "last"."""
        layer = layer_number(self._options.hidden_layer, self._model.layers, self._card.label)
        self._model.keep(layer)
        return "last" if layer == self._model.layers else str(layer)

    @property
    def width(self) -> int:
        """Numbers in a hidden state of the model."""
        start = self._card.bos if self._card.bos is not None else 0
        session = self._model.start(1, 1)
        session.feed(torch.tensor([[start]], device=self._model.device))
        return session.kept.shape[-1]

    def score(self, rows: TokenRows, ids: Ids, on_rows: Callable[[int], None] = lambda n: None) -> list[ContextResult]:
        """Score the rows of a shard.

        Args:
            rows: at least `grid.width` tokens wide; ids: their row ids, for messages.
            on_rows: called after each batch with the number of the shard's rows that it scored.
        """
        check_vocabulary(self._card, rows, ids)
        distinct, inverse, counts = distinct_rows(rows)
        results = []
        for group, contexts in group_by_contexts(self._options.grid, distinct.lengths):
            for part in self._batches(group):
                try:
                    scored = self._score_or_halve(distinct, part, contexts)
                except NonFiniteLogits as error:
                    row = ids[int(np.flatnonzero(inverse == self._first_non_finite_row(distinct, part, contexts))[0])]
                    raise ModelError(f"{self._card.label}, row {row}: {error}") from None
                results += [spread_to_duplicates(result, inverse) for result in scored]
                on_rows(int(counts[part].sum()))
        return results

    def _batches(self, group: Ids) -> Iterator[Ids]:
        start = 0
        while start < len(group):  # the batch may be halved on the way
            part = group[start : start + self.batch]
            yield part
            start += len(part)

    def _score_or_halve(self, rows: TokenRows, part: Ids, contexts: tuple[int, ...]) -> list[ContextResult]:
        """Score some rows, halving the batch until it fits into memory."""
        too_large = (
            f"One row of {self._options.grid.width} tokens does not fit into memory with {self._card.label}; "
            "use a shorter grid, --dtype bfloat16, or --device-map auto."
        )
        return score_or_halve(
            lambda part: self._score_rows(rows, part, contexts), part, too_large=too_large, on_halving=self._halve
        )

    def _halve(self, rows: int, half: int) -> None:
        if half < self.batch:
            self.batch = half
            self._say(f"Out of memory with {rows} rows at a time; continuing with {half}.")
        if self._model.device.type == "cuda":
            self._model.release()
            torch.cuda.empty_cache()

    def _first_non_finite_row(self, rows: TokenRows, part: Ids, contexts: tuple[int, ...]) -> int:
        """The first row of a batch whose logits are not finite, found by bisection."""
        while len(part) > 1:
            half = part[: (len(part) + 1) // 2]
            try:
                self._score_rows(rows, half, contexts)
            except NonFiniteLogits:
                part = half
            else:
                part = part[len(half) :]
        return int(part[0])

    def _score_rows(self, rows: TokenRows, part: Ids, contexts: tuple[int, ...]) -> list[ContextResult]:
        grid = self._options.grid
        tokens, lengths = rows.ids[part], rows.lengths[part]
        tokens = np.where(np.arange(tokens.shape[1]) < lengths[:, None], tokens, -1)
        if grid.align == "start":
            return self._score_start_aligned(part, tokens, lengths, contexts)
        split = max(grid.contexts)
        return [
            result
            for context in contexts
            for result in self._score_start_aligned(
                part, tokens[:, split - context :], lengths - (split - context), (context,)
            )
        ]

    def _score_start_aligned(
        self, part: Ids, tokens: Ids, lengths: Ids, contexts: tuple[int, ...]
    ) -> list[ContextResult]:
        lead = int(self._options.bos)
        columns = min(max(self._options.grid.continuations), int(lengths.max()) - contexts[0])
        if lead:
            tokens = np.concatenate([np.full((len(tokens), 1), self._card.bos), tokens], axis=1)
        width = lead + contexts[-1] + columns
        scoring = BatchScoring(
            self._model,
            self._readout,
            self._batch_options,
            torch.from_numpy(tokens[:, :width]),
            tuple(lead + context for context in contexts),
            columns,
        )
        branches, truth = scoring.run()
        # all contexts of a start-aligned row have the same teacher-forced record: it is kept once, with the longest
        records = {context: truth if context == contexts[-1] else {} for context in contexts}
        return [
            ContextResult(
                part,
                context,
                branches[lead + context].hit.cpu().numpy(),
                branches[lead + context].values["margin"].cpu().numpy(),
                np.minimum(lengths - context, columns),
                _arrays(branches[lead + context].values) if self._options.free else {},
                _truth_record(records[context], tokens),
                1 - lead,
                np.minimum(lengths, contexts[-1] + columns) - (1 - lead),
                self._states(scoring, branches[lead + context], lead, context, columns),
                self._layer,
            )
            for context in contexts
        ]

    def _states(
        self, scoring: BatchScoring, branch: Branch, lead: int, context: int, columns: int
    ) -> dict[str, NDArray[np.float16]]:
        """The hidden states of the context that they are stored for; {} for other contexts or without states."""
        if branch.states is None or context != closest_to_32(self._options.grid.contexts):
            return {}
        context_states = scoring.true_row_states(lead, lead + context)
        by_kind = {"free": torch.cat([context_states, branch.states[:, 1:]], dim=1)}
        if self._options.truth:
            by_kind["truth"] = scoring.true_row_states(lead, lead + context + columns - 1)
        return {kind: states.cpu().numpy() for kind, states in by_kind.items()}


def _arrays(values: Decisions) -> dict[str, NDArray[Any]]:
    return {name: tensor.cpu().numpy() for name, tensor in values.items()}


def _truth_record(truth: Decisions, tokens: Ids) -> dict[str, NDArray[Any]]:
    """The record for the tables: the most probable token, and whether it is the true one."""
    record = _arrays(truth)
    if record:
        record.pop("top_log_probability")
        token = record["token"]
        record["hit"] = token == tokens[:, 1 : token.shape[1] + 1]
    return record
