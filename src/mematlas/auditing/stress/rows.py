"""The rows of a stress test: those that were to be forgotten, those to be kept, and the control."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from mematlas.auditing.stress.config import StressConfig
from mematlas.corpus.base import Corpus
from mematlas.corpus.selection import Positions
from mematlas.errors import CorpusError, OptionError
from mematlas.models.base import ModelCard, ModelSource
from mematlas.scoring.engines.rows import check_vocabulary
from mematlas.scoring.job import digest_positions
from mematlas.scoring.row_options import select_rows
from mematlas.types import Encoder, Ids

Role = Literal["tested", "kept", "control"]
_BLOCK: Final = 1024  # rows that are read at a time


@dataclass(frozen=True, slots=True, eq=False)
class StressRow:
    """A row. row: its id; cluster: rows of one document share it, and are not independent; tokens: its first ones, as
    many as prompts need or it has; donors: the prompts of random rows of its corpus, [draws, C]."""

    role: Role
    row: int
    cluster: str
    tokens: Ids
    donors: Ids


@dataclass(frozen=True, slots=True, eq=False)
class RowSets:
    """The rows of all roles, in this order. encoder: the tokenizer, None without one; short: selected rows of a role
    with too few tokens to be asked for; digest: of everything that was selected."""

    rows: Sequence[StressRow]
    encoder: Encoder | None
    short: dict[Role, int]
    digest: list[object]

    @property
    def tokenizer(self) -> str | None:
        """The fingerprint of the tokenizer."""
        return None if self.encoder is None else self.encoder.fingerprint

    def of(self, role: Role) -> list[StressRow]:
        """The rows of one role."""
        return [row for row in self.rows if row.role == role]


def open_rows(config: StressConfig, source: ModelSource, cards: Sequence[ModelCard]) -> RowSets:
    """Read all rows; cards: of all models, whose vocabularies must have the tokens.

    Raises:
        CorpusError: a corpus cannot be opened, no row of one is selected, or all are too short.
        OptionError: a row is to be forgotten and kept.
    """
    selections: list[tuple[Role, dict[str, object]]] = [("tested", {})]
    if config.retain is not None:
        selections.append(("kept", {"rows": config.retain}))
    if config.control is not None:
        selections.append(("control", {"corpus": config.control, "rows": config.control_rows}))
    rows: list[StressRow] = []
    short: dict[Role, int] = {}
    digest: list[object] = []
    encoder = None
    for role, changes in selections:
        options = config.model_copy(update=changes)
        corpus, positions, encoder = select_rows(options, source, config.context, config.continuation)
        read = _read(config, corpus, positions, role, cards)
        if not read:
            raise CorpusError(
                f"No row of {options.corpus} among {options.rows} has {config.context + config.threshold} tokens "
                "(--context and --threshold); select longer rows, or ask for fewer tokens."
            )
        rows += read
        short[role] = len(positions) - len(read)
        digest.append([role, corpus.fingerprint, digest_positions(positions)])
    _refuse_both(rows)
    return RowSets(rows, encoder, short, digest)


def _read(
    config: StressConfig, corpus: Corpus, positions: Positions, role: Role, cards: Sequence[ModelCard]
) -> list[StressRow]:
    rows: list[StressRow] = []
    for start in range(0, len(positions), _BLOCK):
        part = positions[start : start + _BLOCK]
        tokens, ids, origin = corpus.read(part, config.width), corpus.row_ids(part), corpus.provenance(part)
        for card in cards:
            check_vocabulary(card, tokens, ids)
        for number, (row, length) in enumerate(zip(ids.tolist(), tokens.lengths.tolist(), strict=True)):
            if length < config.context + config.threshold:
                continue
            document = origin.document[number]
            cluster = f"row {row}" if document is None else f"{origin.source[number]} {document}"
            donors = _donors(config, corpus, int(part[number]), row, role)
            rows.append(StressRow(role, row, cluster, tokens.ids[number, :length].astype(np.int64), donors))
    return rows


def _donors(config: StressConfig, corpus: Corpus, position: int, row: int, role: Role) -> Ids:
    """The first tokens of other random rows of the corpus, by seed and row alone, -1 after their end: [draws, C]; none
    of a kept row."""
    if role == "kept" or not config.substitutions:
        return np.zeros((0, config.context), dtype=np.int64)
    away = np.random.default_rng([config.seed, row]).integers(1, max(2, len(corpus)), config.draws)
    read = corpus.read((position + away) % len(corpus), config.context)
    return np.where(np.arange(config.context) < read.lengths[:, None], read.ids, -1).astype(np.int64)


def _refuse_both(rows: Sequence[StressRow]) -> None:
    tested = {row.row for row in rows if row.role == "tested"}
    both = sorted(row.row for row in rows if row.role == "kept" and row.row in tested)
    if both:
        raise OptionError(
            f"Row {both[0]} is selected by --rows and by --retain; a row is to be forgotten or to be kept: leave it "
            "out of one of them."
        )
