"""One batch of rows against the grid: which tokens are recited, with the least work that gives the exact answer.

A *branch* is one context of the batch's rows. All rows of a batch are at the same position, so nothing is padded:

    row          z_0 ........ z_{C-1} | z_C ... z_{C+L-1}
    columns                             0   ...   L-1            column j is predicted by the state of z_{C+j-1}

Start-aligned contexts share one prefill of the longest, forked at each shorter length. A row that recites everything up
to the next context is, from there on, the same text as the next branch (both histories are the row itself), so it is
decoded once: such rows are *merged*.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from mematlas.models.base import Model, Session
from mematlas.scoring.engines.readout import Readout
from mematlas.types import Depth, EosPolicy

#: Decisions about some rows and columns: name -> [rows, columns]; always "token" and "margin".
Decisions = dict[str, Tensor]
_FREE_EXTRA = ("log_probability", "entropy")
_FIRST_STAGE, _LONGEST_STAGE = 2, 8  # tokens of the truth checked at once; growing, since most misses come early
_CHEAP = 32  # tokens of all rows together that cost at most 1.5x as much as 8: reading the weights takes the time


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of a batch. free, truth: which per-token records are wanted beside the scores; hidden: the states,
    too."""

    depth: Depth
    eos_policy: EosPolicy
    eos: tuple[int, ...]
    free: bool
    truth: bool
    hidden: bool = False


class Branch:
    """The decisions along one context: [rows, columns] tensors, filled as they are made.

    hit: the greedy token is the true one; margin: +inf where nothing was decided; token: -1 there; states: [rows,
    columns, width] float16, that from which each column was chosen, if a width is given.
    """

    def __init__(self, truth: Tensor, free: bool, width: int | None = None) -> None:
        self.truth = truth
        self.hit = torch.zeros_like(truth, dtype=torch.bool)
        self.values: Decisions = {
            "token": torch.full_like(truth, -1),
            "margin": torch.full_like(truth, float("inf"), dtype=torch.float32),
        }
        if free:
            self.values |= {name: torch.full_like(truth, float("nan"), dtype=torch.float32) for name in _FREE_EXTRA}
        self.states = None if width is None else truth.new_zeros((*truth.shape, width), dtype=torch.float16)

    def record(self, rows: Tensor, column: int, decisions: Decisions) -> Tensor:
        """Write decisions [len(rows), span] at `column`; returns which of them hit."""
        columns = slice(column, column + decisions["token"].shape[1])
        hit = decisions["token"] == self.truth[rows, columns]
        self.hit[rows, columns] = hit
        for name, values in self.values.items():
            values[rows, columns] = decisions[name]
        return hit

    def continue_as(self, rows: Tensor, column: int, other: "Branch") -> None:
        """From `column` on, these rows read what `other` read from its first column."""
        span = self.hit.shape[1] - column
        self.hit[rows, column:] = other.hit[rows, :span]
        for name, values in self.values.items():
            values[rows, column:] = other.values[name][rows, :span]
        if self.states is not None and other.states is not None:
            self.states[rows, column:] = other.states[rows, :span]

    def finish(self, plan: Plan) -> None:
        """Forget what was read beyond the end: after a stopping EOS, and in verbatim depth after the first miss."""
        if plan.depth == "verbatim":
            self._cut(~self.hit)
        if plan.eos_policy == "stop":
            self._cut(
                torch.isin(self.values["token"], torch.tensor(plan.eos, dtype=torch.int64, device=self.hit.device))
            )

    def _cut(self, last: Tensor) -> None:
        beyond = last.long().cumsum(1) - last.long() > 0
        self.hit[beyond] = False
        for name, values in self.values.items():
            values[beyond] = -1 if name == "token" else float("inf") if name == "margin" else float("nan")
        if self.states is not None:
            self.states[beyond] = float("nan")


class BatchScoring:
    """Scores one batch of equally placed rows.

    Args:
        model, readout, plan: who is asked, how its states are read, and what is wanted.
        tokens: rows [n, longest context + columns], -1 beyond a row's own end.
        contexts: ascending; all start at the row's first token.
        columns: the longest continuation.
    """

    def __init__(
        self, model: Model, readout: Readout, plan: Plan, tokens: Tensor, contexts: tuple[int, ...], columns: int
    ) -> None:
        self._model, self._readout, self._plan = model, readout, plan
        self._tokens = tokens.to(model.device)
        self._fed = self._tokens.clamp(min=0)
        self._contexts, self._columns = contexts, columns
        # in 16 bits a decision read along the truth may differ from the decoded one: the two are never mixed there
        self._mixes = model.dtype == torch.float32 or plan.depth == "verbatim"
        self._eos = torch.tensor(plan.eos if plan.eos_policy == "stop" else (), dtype=torch.int64, device=model.device)
        self._branches: dict[int, Branch] = {}

    @torch.inference_mode()
    def run(self) -> tuple[dict[int, Branch], Decisions]:
        """One finished branch a context, and the truth signals [n, width - 1] of positions 1 and on ({} if unasked)."""
        self._prefill()
        for context in reversed(self._contexts):
            self._branches[context] = self._branch(context)
        for branch in self._branches.values():
            branch.finish(self._plan)
        return self._branches, self._truth

    def along_truth(self, start: int, stop: int) -> Tensor:
        """Kept states start .. stop - 1 of the true rows, as far as made: float16 [n, positions, width]."""
        return self._kept[:, start - self._first : stop - self._first]

    def _prefill(self) -> None:
        """Feed the longest context; keep the states from which the branches start, or those of the whole true row."""
        longest, first = self._contexts[-1], self._contexts[0]
        self._session: Session = self._model.start(len(self._fed), longest + self._columns)
        self._truth: Decisions = {}
        if not self._plan.truth:
            self._first = 0 if self._plan.hidden else first - 1
            self._states, self._kept = self._feed(self._fed[:, :longest], longest - self._first)
            return
        self._first = 0
        parts = [self._feed(self._fed[:, :longest], longest)]
        if self._columns > 1:
            parts.append(self._feed(self._fed[:, longest : longest + self._columns - 1], self._columns - 1))
            self._session.rewind(longest)
        self._states, self._kept = (torch.cat(tensors, dim=1) for tensors in zip(*parts, strict=True))
        rows, length, width = self._states.shape
        signals = self._readout.truth(self._states.reshape(-1, width), self._fed[:, 1 : length + 1].reshape(-1))
        self._truth = {name: values.view(rows, length) for name, values in signals.items()}

    def _feed(self, tokens: Tensor, last: int) -> tuple[Tensor, Tensor]:
        """Last states after true tokens: those that the head reads, and those to keep (of no width if none are)."""
        states = self._session.feed(tokens, last)
        return states, _half(self._session.kept) if self._plan.hidden else states[..., :0]

    def _read(self, rows: Tensor, position: int, span: int) -> Decisions:
        """Decisions on the tokens after `position` .. `position + span - 1` of the true rows."""
        if self._truth and self._mixes:
            cut = slice(position, position + span)
            found = {name: self._truth[name][rows, cut] for name in ("token", "margin")}
            if self._plan.free:
                found |= {
                    "log_probability": self._truth["top_log_probability"][rows, cut],
                    "entropy": self._truth["entropy"][rows, cut],
                }
            return found
        return self._choose(self._states[rows, position - self._first : position - self._first + span])

    def _read_from(self, states: Tensor, rows: Tensor, column: int, span: int) -> Decisions:
        return self._choose(states[rows, column : column + span])

    def _choose(self, states: Tensor) -> Decisions:
        rows, span, width = states.shape
        chosen = self._readout.choose(states.reshape(-1, width), free=self._plan.free)
        return {name: values.view(rows, span) for name, values in chosen.items()}

    def _branch(self, context: int) -> Branch:
        width = self._kept.shape[2] if self._plan.hidden else None
        branch = Branch(self._tokens[:, context : context + self._columns], self._plan.free, width)
        everyone = torch.arange(len(self._fed), device=self._fed.device)
        following = self._next(context)
        span = self._leading(context, following)
        if branch.states is not None:
            branch.states[:, :span] = self.along_truth(context - 1, context - 1 + span)
        recited = self._follow(branch, everyone, 0, span, lambda rows, k, size: self._read(rows, context - 1 + k, size))
        open_rows = torch.ones(len(everyone), dtype=torch.bool, device=everyone.device)
        if following is not None and span == following - context:
            branch.continue_as(recited, span, self._branches[following])
            open_rows[recited] = False
        elif span == self._columns:
            open_rows[recited] = False
        elif self._plan.depth == "verbatim":
            self._check(branch, recited, context, span)
        if self._plan.depth == "graded" and open_rows.any() and self._columns > 1:
            self._decode(branch, everyone[open_rows], context)
        return branch

    def _next(self, context: int) -> int | None:
        """The context whose branch this one may run into, None if there is none within reach."""
        index = self._contexts.index(context) + 1
        reachable = self._mixes and index < len(self._contexts) and self._contexts[index] - context < self._columns
        return self._contexts[index] if reachable else None

    def _leading(self, context: int, following: int | None) -> int:
        """How many columns are read from states that exist already."""
        if following is not None:
            return following - context
        if not self._mixes:
            return 1
        known = self._states.shape[1] + self._first
        return min(self._columns, known - context + 1)

    def _follow(
        self, branch: Branch, rows: Tensor, column: int, span: int, decide: Callable[[Tensor, int, int], Decisions]
    ) -> Tensor:
        """Read `span` columns along the truth in growing stages; returns the rows that recite them all."""
        alive, done, size = torch.arange(len(rows), device=rows.device), 0, 1
        while done < span and len(alive):
            size = min(max(size, _CHEAP // len(alive)), span - done)
            hit = branch.record(rows[alive], column + done, decide(alive, done, size))
            if len(self._eos):
                truth = branch.truth[rows[alive], column + done : column + done + size]
                hit = hit & ~torch.isin(truth, self._eos)
            alive = alive[hit.all(1)]
            done += size
            size = min(2 * size, _LONGEST_STAGE)
        return rows[alive]

    def _check(self, branch: Branch, rows: Tensor, context: int, column: int) -> None:
        """Feed the truth in growing stages to the rows that still recite it; those that miss leave the batch."""
        session, inside, size = self._session, rows, _FIRST_STAGE
        position = context + column - 1
        everyone = len(self._fed)
        while column < self._columns and len(rows):
            size = min(max(size, _CHEAP // len(rows)), self._columns - column)
            if len(rows) < everyone:
                session, everyone = session.fork(inside, position), len(rows)
            states = session.feed(self._fed[rows, position : position + size])
            before = rows
            rows = self._follow(branch, rows, column, size, partial(self._read_from, states))
            inside = torch.isin(before, rows).nonzero()[:, 0]
            position, column, size = position + size, column + size, min(2 * size, _LONGEST_STAGE)

    def _decode(self, branch: Branch, rows: Tensor, context: int) -> None:
        """Greedy decoding in lock-step from column 1 on; column 0 was read from the prefill."""
        whole = len(rows) == len(self._fed) and context == self._contexts[-1]
        session = self._session if whole else self._session.fork(rows, context)
        token = branch.values["token"][rows, 0]
        for column in range(1, self._columns):
            states = session.feed(token[:, None], 1)
            decisions = self._choose(states)
            branch.record(rows, column, decisions)
            if branch.states is not None:
                branch.states[rows, column] = _half(session.kept[:, 0])
            token = decisions["token"][:, 0]


def _half(states: Tensor) -> Tensor:
    """As float16; what is too large for it becomes the largest that is not."""
    largest = torch.finfo(torch.float16).max
    return states.float().clamp(-largest, largest).half()
