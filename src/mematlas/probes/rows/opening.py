"""The rows of a probe: read from corpus and control, and told apart by what the model recites of them.

recited    rows of the corpus whose whole continuation the model gives (M = 1)
other      rows of the corpus of which it does not
control    rows that it was never shown
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mematlas.corpus.base import Corpus
from mematlas.corpus.selection import Positions
from mematlas.errors import CorpusError
from mematlas.models.base import LoadOptions, Model, ModelCard, ModelSource
from mematlas.models.resolve import find_model
from mematlas.probes.rows.config import RowProbeConfig
from mematlas.progress import Progress
from mematlas.scoring.job import digest_positions
from mematlas.scoring.options import ScoringOptions
from mematlas.scoring.row_options import RowOptions, select_rows
from mematlas.study.clusters import join_copies
from mematlas.types import Encoder, Grid, Ids, TokenRows

CLASSES: Final = ("recited", "other", "control")
DEFAULT_ROWS: Final = 200


@dataclass(frozen=True, slots=True, eq=False)
class Reaction:
    """What a model does with rows: matches of the continuation, tokens before the first miss, and the log-probability
    of the true continuation in nats, each [rows]."""

    matches: Ids
    verbatim: Ids
    log_probability: NDArray[np.float64]


@dataclass(frozen=True)
class ProbedRows:
    """Rows of one length. row: ids, [n]; is_control [n]; tokens [n, context + continuation]; left_out: shorter ones."""

    row: Ids
    is_control: NDArray[np.bool_]
    tokens: Ids
    context: int
    left_out: int

    def __len__(self) -> int:
        return len(self.row)

    @property
    def continuation(self) -> int:
        return int(self.tokens.shape[1]) - self.context

    @cached_property
    def clusters(self) -> Ids:
        """Rows that share a piece of 13 tokens are not independent, and have one number, [n]."""
        texts = pa.array(self.tokens.tolist(), pa.list_(pa.int64()))
        import polars as pl

        series = pl.from_arrow(texts)
        assert isinstance(series, pl.Series)
        return join_copies(np.arange(len(self)), series)

    def classes(self, reaction: Reaction) -> list[str]:
        """The class of every row, by what the unchanged model does."""
        recited = reaction.matches == self.continuation
        return [
            "control" if control else "recited" if known else "other"
            for control, known in zip(self.is_control.tolist(), recited.tolist(), strict=True)
        ]

    def subset(self, chosen: NDArray[Any]) -> "ProbedRows":
        """The rows at these indices, or where the mask is true."""
        return ProbedRows(self.row[chosen], self.is_control[chosen], self.tokens[chosen], self.context, self.left_out)


@dataclass(frozen=True)
class RowProbe:
    """A probe that is about to start: model, corpora and rows. control: None without one."""

    config: RowProbeConfig
    source: ModelSource
    corpus: Corpus
    positions: Positions
    encoder: Encoder | None
    control: Corpus | None
    control_positions: Positions

    @property
    def settings(self) -> dict[str, Any]:
        """Everything of the shared options that can change a number."""
        config = self.config
        return {
            "model": self.source.card.fingerprint,
            "corpus": self.corpus.fingerprint,
            "rows": digest_positions(self.positions),
            "control": None if self.control is None else self.control.fingerprint,
            "control_rows": digest_positions(self.control_positions),
            "lengths": [config.context, config.continuation],
            "seed": config.seed,
            "dtype": config.dtype,
        }

    def read(self) -> ProbedRows:
        """Read all rows; those that are too short are left out.

        Raises:
            CorpusError: no row is long enough.
        """
        width = self.config.context + self.config.continuation
        parts = [(self.corpus, self.positions, False)]
        if self.control is not None:
            parts.append((self.control, self.control_positions, True))
        ids, control, tokens, left_out = [], [], [], 0
        for corpus, selected, is_control in parts:
            positions = np.asarray(selected[: len(selected)])
            read = corpus.read(positions, width)
            kept = read.lengths >= width
            if not kept.any():
                name = "--control" if is_control else "the corpus"
                raise CorpusError(f"No selected row of {name} has {width} tokens; lower --context or --continuation.")
            ids.append(np.asarray(corpus.row_ids(positions))[kept].astype(np.int64))
            control.append(np.full(int(kept.sum()), is_control))
            tokens.append(read.ids[kept].astype(np.int64))
            left_out += int((~kept).sum())
        return ProbedRows(
            np.concatenate(ids), np.concatenate(control), np.concatenate(tokens), self.config.context, left_out
        )

    def load(self) -> Model:
        """Load the model."""
        return self.source.load(LoadOptions.of(self.config))


def open_probe(model: str, config: RowProbeConfig, progress: Progress) -> RowProbe:
    """Resolve the model, open corpus and control and select the rows.

    Raises:
        MematlasError: one of them cannot be opened, or no row is selected.
    """
    source = find_model(model)
    for remark in source.card.remarks:
        progress.say(remark)
    corpus, positions, encoder = _select(config, source, config.corpus, config.rows)
    control: Corpus | None = None
    control_positions: Positions = positions[:0]
    if config.control is not None:
        control, control_positions, _ = _select(config, source, config.control, config.control_rows)
    return RowProbe(config, source, corpus, positions, encoder, control, control_positions)


def _select(
    config: RowProbeConfig, source: ModelSource, corpus: str, rows: str | None
) -> tuple[Corpus, Positions, Encoder | None]:
    """Open a corpus and select its rows, by default at most DEFAULT_ROWS at random."""
    options = config.model_copy(update={"corpus": corpus, "rows": rows or "all"})
    opened, positions, encoder = select_rows(cast(RowOptions, options), source, config.context, config.continuation)
    if rows is None and len(positions) > DEFAULT_ROWS:
        drawn = np.random.default_rng(config.seed).choice(len(positions), DEFAULT_ROWS, replace=False)
        return opened, np.sort(drawn), encoder
    return opened, positions, encoder


def react(model: Model, card: ModelCard, rows: ProbedRows, batch: int) -> Reaction:
    """What the model recites of rows, by the ordinary engine."""
    from mematlas.scoring.engines.causal import Engine

    options = ScoringOptions(Grid((rows.context,), (rows.continuation,)), signals=("truth",), batch=batch)
    table = TokenRows(rows.tokens, np.full(len(rows), rows.tokens.shape[1]))
    matches, verbatim = np.zeros((2, len(rows)), np.int64)
    logs = np.zeros(len(rows))
    for result in Engine(model, card, options).score(table, np.arange(len(rows))):
        matches[result.rows] = result.hit.sum(axis=1)
        verbatim[result.rows] = np.cumprod(result.hit, axis=1).sum(axis=1)
        of_true = result.truth["log_probability"][:, rows.context - 1 :]
        logs[result.rows] = of_true.astype(np.float64).sum(axis=1)
    return Reaction(matches, verbatim, logs)


def teacher_forced(model: Model, card: ModelCard, rows: ProbedRows, batch: int) -> tuple[Ids, NDArray[np.float64]]:
    """Hits and log-probability of every continuation, each token after the true ones before it: [rows], [rows]."""
    from mematlas.scoring.engines.causal import Engine

    options = ScoringOptions(
        Grid((rows.context,), (rows.continuation,)), depth="verbatim", signals=("truth",), batch=batch
    )
    table = TokenRows(rows.tokens, np.full(len(rows), rows.tokens.shape[1]))
    hits, logs = np.zeros(len(rows), np.int64), np.zeros(len(rows))
    for result in Engine(model, card, options).score(table, np.arange(len(rows))):
        own = slice(rows.context - 1, None)
        hits[result.rows] = result.truth["hit"][:, own].sum(axis=1)
        logs[result.rows] = result.truth["log_probability"][:, own].astype(np.float64).sum(axis=1)
    return hits, logs
