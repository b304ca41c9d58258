"""Score one batch of rows on the whole grid, with the least work that gives the exact result.

A *branch* holds the decisions of one context for all rows of the batch. All rows of a batch are at the same position,
so nothing is padded:

    row          z_0 ........ z_{C-1} | z_C ... z_{C+L-1}
    columns                             0   ...   L-1            column j is predicted by the state of z_{C+j-1}

Start-aligned contexts share one prefill of the longest context, forked at each shorter length. If a row recites
everything up to the next context, its text is from there on the same as in the next branch (both histories are the row
itself), so it is decoded only once: its decisions are copied from the next branch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from mematlas.models.base import Model, Session
from mematlas.models.cuda.waiting import steps_between_reads, to_device
from mematlas.scoring.engines.readout import Readout, check_finite
from mematlas.types import Depth, EosPolicy

#: Decisions on some rows and columns: name -> [rows, columns]; always with "token" and "margin".
Decisions = dict[str, Tensor]
_FREE_SIGNALS = ("log_probability", "entropy")
_FIRST_STAGE, _LONGEST_STAGE = 2, 8  # tokens of the truth checked at once, growing, since most misses come early
_CHEAP_TOKENS = 32  # so many tokens cost at most 1.5x as much as 8, since reading the weights takes most of the time


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What to compute for a batch. eos: ids of end-of-text tokens; free, truth: whether to compute these per-token
    records; hidden: whether to return hidden states."""

    depth: Depth
    eos_policy: EosPolicy
    eos: tuple[int, ...]
    free: bool
    truth: bool
    hidden: bool = False


class Branch:
    """The decisions of one context: [rows, columns] tensors, filled step by step.

    truth: the true tokens; hit: whether the greedy token is the true one; values: the decisions, where nothing was
    decided with margin +inf and token -1; states: if `width` is given, [rows, columns, width] float16, the state from
    which each column was chosen.
    """

    def __init__(self, truth: Tensor, free: bool, width: int | None = None) -> None:
        self.truth = truth
        self.hit = torch.zeros_like(truth, dtype=torch.bool)
        self.values: Decisions = {
            "token": torch.full_like(truth, -1),
            "margin": torch.full_like(truth, float("inf"), dtype=torch.float32),
        }
        if free:
            self.values |= {name: torch.full_like(truth, float("nan"), dtype=torch.float32) for name in _FREE_SIGNALS}
        self.states = None if width is None else truth.new_zeros((*truth.shape, width), dtype=torch.float16)

    def record(self, rows: Tensor, column: int, decisions: Decisions) -> Tensor:
        """Store decisions [len(rows), span] from `column` on; returns which of them are hits."""
        columns = slice(column, column + decisions["token"].shape[1])
        hit = decisions["token"] == self.truth[rows, columns]
        self.hit[rows, columns] = hit
        for name, values in self.values.items():
            values[rows, columns] = decisions[name]
        return hit

    def copy_from(self, other: "Branch", rows: Tensor, column: int) -> None:
        """Copy the decisions of `other`, from its first column on, to these rows, from `column` on."""
        span = self.hit.shape[1] - column
        self.hit[rows, column:] = other.hit[rows, :span]
        for name, values in self.values.items():
            values[rows, column:] = other.values[name][rows, :span]
        if self.states is not None and other.states is not None:
            self.states[rows, column:] = other.states[rows, :span]

    def finish(self, depth: Depth, eos: Tensor) -> None:
        """Erase the decisions beyond the end: in verbatim depth after the first miss, and after a stopping token.

        eos: ids of the tokens that stop, on the device; none where none does.
        """
        if depth == "verbatim":
            self._cut(~self.hit)
        if len(eos):
            self._cut(torch.isin(self.values["token"], eos))

    def _cut(self, last: Tensor) -> None:
        beyond = last.long().cumsum(1) - last.long() > 0
        self.hit.masked_fill_(beyond, value=False)
        for name, values in self.values.items():
            values.masked_fill_(beyond, -1 if name == "token" else float("inf") if name == "margin" else float("nan"))
        if self.states is not None:
            self.states.masked_fill_(beyond[..., None], float("nan"))


class BatchScoring:
    """Scores one batch of rows that allow the same contexts.

    Args:
        model: the model; readout: turns its states into decisions; options: what to compute.
        tokens: rows [n, longest context + columns], -1 beyond a row's own end.
        contexts: lengths, ascending; all contexts start at the row's first token.
        columns: length of the longest continuation.
    """

    def __init__(
        self,
        model: Model,
        readout: Readout,
        options: BatchOptions,
        tokens: Tensor,
        contexts: tuple[int, ...],
        columns: int,
    ) -> None:
        self._model, self._readout, self._options = model, readout, options
        self._tokens = to_device(tokens, model.device)
        self._inputs = self._tokens.clamp(min=0)
        self._contexts, self._columns = contexts, columns
        # in 16 bits a decision from the prefill may differ from the decoded one, so the two are never mixed there
        self._trusts_prefill = model.dtype == torch.float32 or options.depth == "verbatim"
        stopping = options.eos if options.eos_policy == "stop" else ()
        self._eos = to_device(torch.tensor(stopping, dtype=torch.int64), model.device)
        self._drops_at_once = steps_between_reads(model.device) == 1
        self._branches: dict[int, Branch] = {}

    @torch.inference_mode()
    def run(self) -> tuple[dict[int, Branch], Decisions]:
        """One finished branch per context, and the truth signals [n, width - 1] from position 1 on, or {}."""
        self._prefill()
        for context in reversed(self._contexts):
            self._branches[context] = self._score_context(context)
        for branch in self._branches.values():
            branch.finish(self._options.depth, self._eos)
        return self._branches, self._truth

    def true_row_states(self, start: int, stop: int) -> Tensor:
        """Hidden states start .. stop - 1 of the true rows, as far as computed: float16 [n, positions, width]."""
        return self._hidden_states[:, start - self._first_position : stop - self._first_position]

    def _prefill(self) -> None:
        """Feed the longest context, or with truth signals the whole true row, and keep its states for the branches."""
        longest, first = self._contexts[-1], self._contexts[0]
        self._session: Session = self._model.start(len(self._inputs), longest + self._columns)
        self._truth: Decisions = {}
        if not self._options.truth:
            self._first_position = 0 if self._options.hidden else first - 1
            self._states, self._hidden_states = self._feed(self._inputs[:, :longest], longest - self._first_position)
            return
        self._first_position = 0
        parts = [self._feed(self._inputs[:, :longest], longest)]
        if self._columns > 1:
            parts.append(self._feed(self._inputs[:, longest : longest + self._columns - 1], self._columns - 1))
            self._session.rewind(longest)
        self._states, self._hidden_states = (torch.cat(tensors, dim=1) for tensors in zip(*parts, strict=True))
        rows, length, width = self._states.shape
        signals = self._readout.truth(self._states.reshape(-1, width), self._inputs[:, 1 : length + 1].reshape(-1))
        self._truth = {name: values.view(rows, length) for name, values in signals.items()}

    def _feed(self, tokens: Tensor, last: int) -> tuple[Tensor, Tensor]:
        """Feed true tokens; returns the last states: those that the head reads and those to store (width 0: none)."""
        states = self._session.feed(tokens, last)
        return states, _to_float16(self._session.kept) if self._options.hidden else states[..., :0]

    def _decide_from_prefill(self, rows: Tensor, position: int, span: int) -> Decisions:
        """Decisions on the tokens that follow positions `position` .. `position + span - 1` of the true rows."""
        if self._truth and self._trusts_prefill:
            cut = slice(position, position + span)
            decisions = {name: self._truth[name][rows, cut] for name in ("token", "margin")}
            if self._options.free:
                decisions |= {
                    "log_probability": self._truth["top_log_probability"][rows, cut],
                    "entropy": self._truth["entropy"][rows, cut],
                }
            return decisions
        return self._choose(
            self._states[rows, position - self._first_position : position - self._first_position + span]
        )

    def _decide_from_states(self, states: Tensor, rows: Tensor, column: int, span: int) -> Decisions:
        return self._choose(states[rows, column : column + span])

    def _choose(self, states: Tensor, *, check: bool = True) -> Decisions:
        rows, span, width = states.shape
        decisions = self._readout.choose(states.reshape(-1, width), free=self._options.free, check=check)
        return {name: values.view(rows, span) for name, values in decisions.items()}

    def _score_context(self, context: int) -> Branch:
        width = self._hidden_states.shape[2] if self._options.hidden else None
        branch = Branch(self._tokens[:, context : context + self._columns], self._options.free, width)
        all_rows = torch.arange(len(self._inputs), device=self._inputs.device)
        next_context = self._next_context(context)
        span = self._columns_from_prefill(context, next_context)
        if branch.states is not None:
            branch.states[:, :span] = self.true_row_states(context - 1, context - 1 + span)
        recited = self._follow_truth(
            branch, all_rows, 0, span, lambda rows, k, size: self._decide_from_prefill(rows, context - 1 + k, size)
        )
        decided = all_rows[:0]
        if next_context is not None and span == next_context - context:
            branch.copy_from(self._branches[next_context], recited, span)
            decided = recited
        elif span == self._columns:
            decided = recited
        elif self._options.depth == "verbatim":
            self._check_rest(branch, recited, context, span)
        if self._options.depth == "graded" and len(decided) < len(all_rows) and self._columns > 1:
            self._decode(branch, _without(all_rows, decided), context)
        return branch

    def _next_context(self, context: int) -> int | None:
        """The context whose branch continues this one when a row is recited up to there; None if there is none."""
        index = self._contexts.index(context) + 1
        reachable = (
            self._trusts_prefill and index < len(self._contexts) and self._contexts[index] - context < self._columns
        )
        return self._contexts[index] if reachable else None

    def _columns_from_prefill(self, context: int, next_context: int | None) -> int:
        """Number of columns whose decisions come from states of the prefill."""
        if next_context is not None:
            return next_context - context
        if not self._trusts_prefill:
            return 1
        computed = self._states.shape[1] + self._first_position
        return min(self._columns, computed - context + 1)

    def _follow_truth(
        self,
        branch: Branch,
        rows: Tensor,
        column: int,
        span: int,
        decide: Callable[[Tensor, int, int], Decisions],
        first: int = 1,
    ) -> Tensor:
        """Decide `span` columns along the truth in growing stages, the first one of `first` columns.

        Returns:
            the indices in `rows` of those that recite all of them; to know how many is all that the host waits for.
        """
        reciting, done, size = torch.arange(len(rows), device=rows.device), 0, first
        while done < span and len(reciting):
            size = min(max(size, _CHEAP_TOKENS // len(reciting)), span - done)
            hit = branch.record(rows[reciting], column + done, decide(reciting, done, size))
            if len(self._eos):
                truth = branch.truth[rows[reciting], column + done : column + done + size]
                hit = hit & ~torch.isin(truth, self._eos)
            reciting = reciting[hit.all(1)]
            done += size
            size = min(2 * size, _LONGEST_STAGE)
        return reciting

    def _check_rest(self, branch: Branch, rows: Tensor, context: int, column: int) -> None:
        """Feed the truth in growing stages to the rows that still recite it; rows that miss leave the batch.

        On a CPU the states of a stage are read in smaller stages, so that few logits beyond a first miss are computed;
        on a GPU all at once, so that the host waits once a stage.
        """
        session, indices, size = self._session, rows, _FIRST_STAGE
        position = context + column - 1
        session_rows = len(self._inputs)
        while column < self._columns and len(rows):
            size = min(max(size, _CHEAP_TOKENS // len(rows)), self._columns - column)
            if len(rows) < session_rows:
                session, session_rows = session.fork(indices, position), len(rows)
            states = session.feed(self._inputs[rows, position : position + size])
            first = 1 if self._drops_at_once else size
            indices = self._follow_truth(branch, rows, column, size, partial(self._decide_from_states, states), first)
            rows = rows[indices]
            position, column, size = position + size, column + size, min(2 * size, _LONGEST_STAGE)

    def _decode(self, branch: Branch, rows: Tensor, context: int) -> None:
        """Decode greedily from column 1 on, all rows in lock-step; column 0 was decided from the prefill."""
        reuses_prefill = len(rows) == len(self._inputs) and context == self._contexts[-1]
        session = self._session if reuses_prefill else self._session.fork(rows, context)
        token = branch.values["token"][rows, 0]
        for column in range(1, self._columns):
            states = session.feed(token[:, None], 1)
            decisions = self._choose(states, check=False)
            branch.record(rows, column, decisions)
            if branch.states is not None:
                branch.states[rows, column] = _to_float16(session.kept[:, 0])
            token = decisions["token"][:, 0]
        check_finite(branch.values["margin"][rows])


def _without(rows: Tensor, some: Tensor) -> Tensor:
    """`rows` (0, 1, ...) without `some` of them, ascending. How many are left is known, so no device is waited for."""
    if not len(some):
        return rows
    others = torch.ones_like(rows).index_fill_(0, some, 0)
    return others.argsort(stable=True, descending=True)[: len(rows) - len(some)]


def _to_float16(states: Tensor) -> Tensor:
    """As float16; numbers beyond its range become its largest."""
    largest = torch.finfo(torch.float16).max
    return states.float().clamp(-largest, largest).half()
