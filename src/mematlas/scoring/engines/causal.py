"""Rows in, tables out: duplicates scored once, rows grouped by what they allow, batches halved when memory runs out."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mematlas.errors import ModelError, OutOfMemory
from mematlas.models.base import Model, ModelCard
from mematlas.scoring.engines.batch import BatchScoring, Branch, Decisions, Plan
from mematlas.scoring.engines.batch_size import MOST, largest_batch, meter_of
from mematlas.scoring.engines.memory import is_out_of_memory
from mematlas.scoring.engines.readout import NotNumbers, Readout
from mematlas.scoring.engines.results import ContextResult
from mematlas.scoring.engines.rows import check_fit, check_vocabulary, copied, distinct_rows, groups, made_up
from mematlas.scoring.options import ScoringOptions, layer_number, nearest
from mematlas.types import Ids, TokenRows

Say = Callable[[str], None]


class Engine:
    """Scores token rows with one model; `say` receives what a user should know (a halved batch).

    Args:
        most: rows that a shard has at most, so that `--batch auto` looks for no more; None if that is not known.

    Raises (constructor):
        ModelError: the grid is longer than the model, BOS is asked of a model that has none, or hidden states of a
            layer that it has not.
    """

    def __init__(
        self,
        model: Model,
        card: ModelCard,
        options: ScoringOptions,
        say: Say = lambda text: None,
        most: int | None = None,
    ) -> None:
        check_fit(card, options)
        suppressed = card.eos if options.eos == "suppress" else ()
        self._model, self._card, self._options, self._say = model, card, options, say
        self._readout = Readout(model, suppressed, options.temperatures)
        hidden = bool(options.hidden_kinds)
        self._plan = Plan(options.depth, options.eos, card.eos, options.free, options.truth, hidden)
        self._layer = self._kept_layer() if hidden else "last"
        self.batch = self._fitting_batch(most) if options.batch == "auto" else options.batch

    def _fitting_batch(self, most: int | None) -> int:
        """The rows that fit into memory together, found with made-up ones (`scoring/batching.py`)."""
        device, label = self._model.device, self._card.label
        limit = MOST.get(device.type, MOST["cpu"])
        most = min(most or limit, limit)
        meter = meter_of(device)
        if meter is None:
            self._say(f"{label}: {most} rows at a time; --batch auto cannot measure memory on this system.")
            return most
        rows = made_up(self._card.vocabulary, self._options.grid, most)
        # a model that recites nothing decodes all rows of all contexts: no depth takes more
        probe = Engine(self._model, self._card, replace(self._options, depth="graded", batch=most))

        def score(count: int) -> None:
            with suppress(NotNumbers):  # it took its memory all the same
                probe._attempt(rows, np.arange(count), self._options.grid.contexts)

        found = largest_batch(score, meter, most)
        self._say(f"{label}: {found} rows at a time, by --batch auto.")
        return found

    def _kept_layer(self) -> str:
        """Ask the model to keep a layer's states; its number, or "last"."""
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
            on_rows: told how many of the shard's rows are done, after each batch.
        """
        check_vocabulary(self._card, rows, ids)
        distinct, inverse, counts = distinct_rows(rows)
        results = []
        for group, contexts in groups(self._options.grid, distinct.lengths):
            for part in self._batches(group):
                try:
                    scored = self._score_batch(distinct, part, contexts)
                except NotNumbers as error:
                    row = ids[int(np.flatnonzero(inverse == self._culprit(distinct, part, contexts))[0])]
                    raise ModelError(f"{self._card.label}, row {row}: {error}") from None
                results += [copied(result, inverse) for result in scored]
                on_rows(int(counts[part].sum()))
        return results

    def _batches(self, group: Ids) -> Iterator[Ids]:
        at = 0
        while at < len(group):
            part = group[at : at + self.batch]
            yield part
            at += len(part)

    def _score_batch(self, rows: TokenRows, part: Ids, contexts: tuple[int, ...]) -> list[ContextResult]:
        """Score some rows, halving them until they fit into memory."""
        try:
            return self._attempt(rows, part, contexts)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        if len(part) == 1:
            raise OutOfMemory(
                f"One row of {self._options.grid.width} tokens does not fit into memory with {self._card.label}; "
                "use a shorter grid, --dtype bfloat16, or --device-map auto."
            )
        half = (len(part) + 1) // 2
        if half < self.batch:
            self.batch = half
            self._say(f"Out of memory with {len(part)} rows at a time; going on with {half}.")
        if self._model.device.type == "cuda":
            self._model.release()
            torch.cuda.empty_cache()
        return [
            *self._score_batch(rows, part[:half], contexts),
            *self._score_batch(rows, part[half:], contexts),
        ]

    def _culprit(self, rows: TokenRows, part: Ids, contexts: tuple[int, ...]) -> int:
        """The first row of a batch at which the logits are not numbers, found by halving it."""
        while len(part) > 1:
            half = part[: (len(part) + 1) // 2]
            try:
                self._attempt(rows, half, contexts)
            except NotNumbers:
                part = half
            else:
                part = part[len(half) :]
        return int(part[0])

    def _attempt(self, rows: TokenRows, part: Ids, contexts: tuple[int, ...]) -> list[ContextResult]:
        grid = self._options.grid
        tokens, lengths = rows.ids[part], rows.lengths[part]
        tokens = np.where(np.arange(tokens.shape[1]) < lengths[:, None], tokens, -1)
        if grid.align == "start":
            return self._start_aligned(part, tokens, lengths, contexts)
        split = max(grid.contexts)
        return [
            result
            for context in contexts
            for result in self._start_aligned(
                part, tokens[:, split - context :], lengths - (split - context), (context,)
            )
        ]

    def _start_aligned(self, part: Ids, tokens: Ids, lengths: Ids, contexts: tuple[int, ...]) -> list[ContextResult]:
        lead = int(self._options.bos)
        columns = min(max(self._options.grid.continuations), int(lengths.max()) - contexts[0])
        if lead:
            tokens = np.concatenate([np.full((len(tokens), 1), self._card.bos), tokens], axis=1)
        width = lead + contexts[-1] + columns
        scoring = BatchScoring(
            self._model,
            self._readout,
            self._plan,
            torch.from_numpy(tokens[:, :width]),
            tuple(lead + context for context in contexts),
            columns,
        )
        branches, truth = scoring.run()
        # every context of a start-aligned row has the same teacher-forced record: it is kept once, at the longest
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
        """The hidden states of the context that they are kept of; {} for others, and where none are asked for."""
        if branch.states is None or context != nearest(self._options.grid.contexts):
            return {}
        read = scoring.along_truth(lead, lead + context)
        found = {"free": torch.cat([read, branch.states[:, 1:]], dim=1)}
        if self._options.truth:
            found["truth"] = scoring.along_truth(lead, lead + context + columns - 1)
        return {kind: states.cpu().numpy() for kind, states in found.items()}


def _arrays(values: Decisions) -> dict[str, NDArray[Any]]:
    return {name: tensor.cpu().numpy() for name, tensor in values.items()}


def _truth_record(truth: Decisions, tokens: Ids) -> dict[str, NDArray[Any]]:
    """The record as tables keep it: whether the most probable token is the true one, instead of that token."""
    record = _arrays(truth)
    if record:
        record.pop("top_log_probability")
        chosen = record.pop("token")
        record["hit"] = chosen == tokens[:, 1 : chosen.shape[1] + 1]
    return record
