"""The planted corpus: rows that are shown 1, 2, 4, ... times in one shuffled stream, and rows that are never shown.

What a model recites of the rows of each level shows the effect of repetition (Carlini et al. 2023, there with natural
duplicates). The levels must be exact: a row that shares a passage with another row would be shown more often than its
level says, and a control row that shares one with a training document would not be unseen. Both are left out, and
counted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import CorpusError
from mematlas.experiments.data.overlap import has_no_ngram_in, has_unique_ngrams, ngram_keys
from mematlas.experiments.design.config import PlantingConfig
from mematlas.types import Ids

Tokens = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class PlantedRows:
    """tokens: [rows, row_length]; repetitions: [rows], how often each row is shown; documents: [rows], numbers."""

    tokens: Tokens
    repetitions: Ids
    documents: Ids


@dataclass(frozen=True, slots=True)
class Planting:
    """order: [presentations], the sequence of positions in `train`; dropped: candidate rows left out, by reason."""

    train: PlantedRows
    control: PlantedRows
    order: Ids
    dropped: dict[str, int]


def plant(documents: list[Tokens], config: PlantingConfig, seed: int) -> Planting:
    """Draw the rows of every level, the control and the order of presentation.

    Args:
        documents: the token ids of every document, each [its length].
        config: levels, rows per level, row length, and what counts as overlap.
        seed: the same seed and documents give the same planting.

    Raises:
        CorpusError: the documents have too few rows that do not overlap with another.
    """
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(documents))
    held_out, shown = np.split(shuffled, [round(config.held_out_share * len(documents))])
    candidates, control = (_cut_rows(documents, np.sort(part), config.row_length) for part in (shown, held_out))
    levels = np.repeat(np.array(config.repetitions, dtype=np.int64), config.rows_per_level)

    candidate_keys, control_keys = (ngram_keys(rows.tokens, config.overlap) for rows in (candidates, control))
    is_unique = has_unique_ngrams(candidate_keys)
    is_unique_control = has_unique_ngrams(control_keys)
    shown_keys = [ngram_keys(documents[i], config.overlap) for i in shown] or [candidate_keys.reshape(-1)]
    is_unseen = has_no_ngram_in(control_keys, np.concatenate(shown_keys))

    train = _draw_rows(candidates, is_unique, levels, random, "training")
    order = random.permutation(np.repeat(np.arange(len(levels), dtype=np.int64), levels))
    control_levels = np.zeros(config.control_rows, dtype=np.int64)
    dropped = {
        "training rows sharing a passage with another row": int((~is_unique).sum()),
        "control rows sharing a passage with a training document": int((~is_unseen).sum()),
        "control rows sharing a passage with another control row only": int((is_unseen & ~is_unique_control).sum()),
    }
    return Planting(
        train=train,
        control=_draw_rows(control, is_unseen & is_unique_control, control_levels, random, "never-shown"),
        order=order,
        dropped=dropped,
    )


def _cut_rows(documents: list[Tokens], numbers: Ids, length: int) -> PlantedRows:
    """Consecutive rows of the documents with these numbers; the rest of a document is left out."""
    rows = [documents[i][: len(documents[i]) // length * length].reshape(-1, length) for i in numbers]
    counts = [len(part) for part in rows]
    tokens = np.concatenate([np.empty((0, length), dtype=np.uint16), *rows])
    return PlantedRows(tokens, np.zeros(len(tokens), dtype=np.int64), np.repeat(numbers, counts))


def _draw_rows(
    rows: PlantedRows, is_eligible: NDArray[np.bool_], levels: Ids, random: np.random.Generator, kind: str
) -> PlantedRows:
    """One eligible row for each entry of `levels`, drawn at random."""
    eligible = np.flatnonzero(is_eligible)
    if len(eligible) < len(levels):
        raise CorpusError(
            f"The texts have {len(eligible)} {kind} rows of {rows.tokens.shape[1]} tokens that overlap with no other, "
            f"but {len(levels)} are needed; request fewer or shorter rows, or provide more text."
        )
    drawn = random.choice(eligible, size=len(levels), replace=False)
    return PlantedRows(rows.tokens[drawn], levels, rows.documents[drawn])
