"""What `mematlas probe prompts` measures, shard by shard."""

from collections.abc import Mapping
from functools import cached_property
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mematlas.probes.prompts.changes import ChangedPrompt, Substitutes, change_prompt
from mematlas.probes.prompts.config import PromptsConfig
from mematlas.probes.prompts.tables import NEVER, NOT_AFTER_WHOLE, PERTURBED, REDUNDANCY, SHORTEST
from mematlas.probes.rows.looks import SHARD_ROWS, RowLooks, as_objects, joined, keys, reaction_columns
from mematlas.probes.rows.opening import ProbedRows, RowProbe
from mematlas.probes.rows.stages import Stage
from mematlas.scoring.engines.causal import Engine
from mematlas.scoring.options import ScoringOptions
from mematlas.stats.redundancy import distinct_ratio
from mematlas.types import Grid, TokenRows

_COUNTED_ROWS: Final = 4096  # of the corpus, at random, whose tokens say which are about as frequent


class PromptLooks(RowLooks):
    """Makes the shards."""

    def __init__(self, probe: RowProbe, config: PromptsConfig) -> None:
        super().__init__(probe, config)
        self.config = config
        self._perturbations = list(product(config.changes, config.parts, config.strengths))

    def stages(self) -> list[Stage]:
        """What is to be made, in order; costs are rows that pass the network."""
        count, config = len(self.rows), self.config
        stages = [self.row_stage()]
        if "shortest" in config.looks:
            cost = min(count, SHARD_ROWS) * config.context
            stages.append(Stage("shortest", SHORTEST, self.shards, self._shortest, cost))
        if "perturb" in config.looks:
            shards = len(self._perturbations)
            stages.append(Stage("perturbed", PERTURBED, shards, self._perturbed, count * config.repeats))
            stages.append(Stage("redundancy", REDUNDANCY, 1, lambda _index: self._redundancy(), 0))
        return stages

    # -------------------------------------------------------------------------------------------------------- shortest

    def _shortest(self, index: int) -> Mapping[str, Any]:
        return joined([self._shortest_of(rows) for rows in self.batches(index)])

    def _shortest_of(self, rows: ProbedRows) -> Mapping[str, Any]:
        recited = self._recited_after_ends(rows)
        first, stable = shortest_ends(recited)
        ratio = [None if tokens is None else tokens / rows.context for tokens in first]
        reason = [
            NEVER if fewest is None else NOT_AFTER_WHOLE if settled is None else None
            for fewest, settled in zip(first, stable, strict=True)
        ]
        columns = {"recited": recited.tolist(), "first": first, "stable": stable, "ratio": ratio, "reason": reason}
        return {**keys(rows), **{name: as_objects(values) for name, values in columns.items()}}

    def _recited_after_ends(self, rows: ProbedRows) -> NDArray[np.bool_]:
        """Whether each continuation is recited whole after the last 1 .. C tokens of the prompt: [rows, C]."""
        grid = Grid(tuple(range(1, rows.context + 1)), (rows.continuation,), align="end")
        options = ScoringOptions(grid, depth="verbatim", batch=self.batch)
        table = TokenRows(rows.tokens, np.full(len(rows), rows.tokens.shape[1]))
        recited = np.zeros((len(rows), rows.context), dtype=bool)
        for result in Engine(self.model, self.probe.source.card, options).score(table, np.arange(len(rows))):
            recited[result.rows, result.context - 1] = result.hit.all(axis=1)
        return recited

    # --------------------------------------------------------------------------------------------------------- perturb

    @cached_property
    def _substitutes(self) -> Substitutes | None:
        """Of random rows of the whole corpus, not of those that are probed alone."""
        if "substitute" not in self.config.changes:
            return None
        corpus = self.probe.corpus
        random = np.random.default_rng(self.config.seed)
        chosen = np.sort(random.choice(len(corpus), min(len(corpus), _COUNTED_ROWS), replace=False))
        read = corpus.read(chosen, self.rows.tokens.shape[1])
        return Substitutes(read.ids[np.arange(read.ids.shape[1]) < read.lengths[:, None]])

    def _perturbed(self, index: int) -> Mapping[str, Any]:
        change, part, strength = self._perturbations[index]
        parts = []
        for draw in range(self.config.repeats):
            prompts = [self._changed(number, index, draw) for number in range(len(self.rows))]
            named = {"change": change, "part": part, "strength": strength, "draw": draw}
            columns = {name: np.full(len(prompts), value) for name, value in named.items()}
            parts.append({**keys(self.rows), **columns, **self._measured(prompts)})
        return joined(parts)

    def _changed(self, number: int, index: int, draw: int) -> ChangedPrompt:
        rows = self.rows
        seed = [self.config.seed, int(rows.is_control[number]), int(rows.row[number]), draw]
        prompt = rows.tokens[number, : rows.context]
        return change_prompt(prompt, *self._perturbations[index], seed, self._substitutes)

    def _measured(self, prompts: list[ChangedPrompt]) -> dict[str, Any]:
        """The columns of what the model recites after prompts, which have one length, as all rows lose as many."""
        if (reason := prompts[0].reason) is not None:
            nothing = np.full(len(prompts), None)
            names = ("displacement", "matches", "verbatim", "log_probability")
            return {**dict.fromkeys(names, nothing), "reason": np.full(len(prompts), reason)}
        rows, ends = self.rows, np.stack([prompt.tokens for prompt in prompts])
        if np.array_equal(ends, rows.tokens[:, : rows.context]):
            reaction = self.reaction
        else:
            tokens = np.concatenate([ends, rows.tokens[:, rows.context :]], axis=1)
            changed = ProbedRows(rows.row, rows.is_control, tokens, ends.shape[1], rows.left_out)
            reaction = self.react(self.model, changed)
        displacement = np.array([prompt.displacement for prompt in prompts])
        own = {"displacement": displacement, **reaction_columns(reaction), "reason": np.full(len(prompts), None)}
        return {name: values.astype(object) for name, values in own.items()}

    def _redundancy(self) -> Mapping[str, Any]:
        ratio = distinct_ratio(self.rows.tokens[:, : self.rows.context], 2)
        return {**keys(self.rows), "redundancy": [None if np.isnan(value) else 1 - value for value in ratio.tolist()]}


def shortest_ends(recited: NDArray[np.bool_]) -> tuple[list[int | None], list[int | None]]:
    """The shortest end of each prompt that recites, and the one from which on all longer ones do; None if none does.

    Every length is tried, because longer prompts need not recite where shorter ones do.

    Args:
        recited: [rows, C], after the last 1 .. C tokens.
    """
    length = recited.shape[1]
    first = [int(row.argmax()) + 1 if row.any() else None for row in recited]
    # the number of recited ones at the end, before the last failing length
    tail = [length if row.all() else int((~row[::-1]).argmax()) for row in recited]
    return first, [length - count + 1 if count else None for count in tail]
