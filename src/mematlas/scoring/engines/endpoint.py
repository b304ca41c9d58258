"""The engines over a model behind an API, which is asked with token ids.

Where the server gives the log-probabilities of a prompt, one request reads a whole row along the truth: as far as a row
is recited, that is what greedy decoding gives, so the depth `verbatim` has the same numbers as with any other engine.
M after the first miss needs the model's own text: the depth `graded` has the server generate it, and compares ids.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from mematlas.models.base import ModelCard
from mematlas.models.endpoints.capabilities import (
    Capabilities,
    find_capabilities,
    read_capabilities,
    write_capabilities,
)
from mematlas.models.endpoints.client import Endpoint
from mematlas.models.endpoints.limits import Usage
from mematlas.models.endpoints.model import EndpointModel, require
from mematlas.models.endpoints.options import EndpointOptions
from mematlas.models.endpoints.source import EndpointSource
from mematlas.models.endpoints.tokens import PromptLogProbabilities
from mematlas.scoring.engines.greedy import GreedyEngine, GreedyGenerator
from mematlas.scoring.engines.results import ContextResult
from mematlas.scoring.options import ScoringOptions
from mematlas.types import Ids, TokenRows


class PromptReader(GreedyGenerator, Protocol):
    """A model that says how probable given tokens are."""

    def read(self, sequences: list[list[int]]) -> list[PromptLogProbabilities]: ...


class EndpointEngine(GreedyEngine):
    """Scores rows by the greedy text that a server generates."""

    batch = "chosen by the server"
    reads: ClassVar[str] = "greedy text"


class PromptReadingEngine(EndpointEngine):
    """Scores rows by the log-probabilities that a server gives of them, in the depth `verbatim` only."""

    reads = "log-probabilities of the prompt"

    def __init__(self, model: PromptReader, card: ModelCard, options: ScoringOptions) -> None:
        super().__init__(model, card, options)
        assert options.depth == "verbatim"
        self._reader = model

    def _score_context(self, rows: TokenRows, group: Ids, context: int) -> ContextResult:
        grid = self._options.grid
        split, columns = grid.continuation_start(context), max(grid.continuations)
        # from the row's start, all contexts are read by one request, which is answered once
        first, last = (0, grid.width) if grid.align == "start" else (split - context, split + columns)
        sequences = [rows.ids[row, first : min(last, rows.lengths[row])].tolist() for row in group]
        hit = np.zeros((len(group), columns), dtype=bool)
        margin = np.full((len(group), columns), np.inf, dtype=np.float32)
        for number, read in enumerate(self._reader.read(sequences)):
            part = slice(split - first, split - first + columns)
            count = len(read.hit[part])
            hit[number, :count], margin[number, :count] = read.hit[part], read.margin[part]
        return self._result(group, context, hit, margin, np.minimum(rows.lengths[group] - split, columns))


def load_endpoint_engine(
    source: EndpointSource,
    asked: EndpointOptions,
    folder: Path,
    options: ScoringOptions,
    rows: int,
    say: Callable[[str], None],
) -> EndpointEngine:
    """Find out what a server gives, and return the engine that can work with it.

    Args:
        folder: of the answers; rows: that are to be scored, for the announcement.

    Raises:
        ModelError: the server lacks what the options need, does not answer, or a cap was reached.
    """
    endpoint = Endpoint(source.address, asked, folder, say)
    found = known_capabilities(endpoint, folder, say)
    card, grid = replace(source.card, max_length=found.max_context), options.grid
    require(found, "accepts_ids", "Scoring", "score the model's folder instead")
    if not found.deterministic:
        say(f"{card.label}: {found.reasons['deterministic']}; scores may differ from run to run.")
    model = EndpointModel(endpoint, found, options.eos)
    count = rows * (1 if grid.align == "start" else len(grid.contexts))
    if options.depth == "verbatim" and found.prompt_log_probabilities:
        say(endpoint.announcement(count, Usage(count, count * grid.width, count * found.echo_tokens)))
        return PromptReadingEngine(model, card, options)
    remedy = "score the model's folder instead"
    if found.prompt_log_probabilities:
        remedy = "score it with --depth verbatim, which reads log-probabilities of the prompt"
    require(found, "returns_ids", f"--depth {options.depth}", remedy)
    count = rows * len(grid.contexts)
    tokens = rows * sum(grid.contexts), count * max(grid.continuations)
    say(endpoint.announcement(count, Usage(count, *tokens)))
    return EndpointEngine(model, card, options)


def known_capabilities(endpoint: Endpoint, folder: Path, say: Callable[[str], None]) -> Capabilities:
    """What the server gives, as found out in an earlier run, or now."""
    found = read_capabilities(folder)
    if found is None:
        say(f"{endpoint.address.label}: at most ten short requests find out what the server gives.")
        found = find_capabilities(endpoint)
        write_capabilities(folder, found)
    return found
