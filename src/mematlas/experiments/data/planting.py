"""The planted corpus: rows that are shown 1, 2, 4, ... times in one shuffled stream, and rows that are never shown.

What a model recites of the rows, by level, is what repetition does (Carlini et al. 2023, there with natural
duplicates). The planted truth must not be muddied: a row that shares a passage with another row would be shown more
often than its level says, and a control row that shares one with a training document would not be unseen. Both are left
out, and counted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import CorpusError
from mematlas.experiments.data.overlap import has_own_ngrams_only, ngram_keys, shares_none_with
from mematlas.experiments.design.config import PlantingConfig
from mematlas.types import Ids

Tokens = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class PlantedRows:
    """tokens: [rows, row_length]; repetitions: [rows], how often shown; documents: [rows], the documents' numbers."""

    tokens: Tokens
    repetitions: Ids
    documents: Ids


@dataclass(frozen=True, slots=True)
class Planting:
    """order: [presentations], the stream of positions in `train`; dropped: candidate rows left out, by reason."""

    train: PlantedRows
    control: PlantedRows
    order: Ids
    dropped: dict[str, int]


def plant(documents: list[Tokens], config: PlantingConfig, seed: int) -> Planting:
    """Draw the rows of every level, the control and the order of presentation.

    Args:
        documents: the token ids of every document, each [its length].
        config: levels, rows a level, row length, and what counts as overlap.
        seed: the same seed and documents give the same planting.

    Raises:
        CorpusError: the documents hold too few rows that overlap with no other.
    """
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(documents))
    held_out, shown = np.split(shuffled, [round(config.held_out_share * len(documents))])
    candidates, control = (_cut(documents, np.sort(part), config.row_length) for part in (shown, held_out))
    levels = np.repeat(np.array(config.repetitions, dtype=np.int64), config.rows_per_level)

    candidate_keys, control_keys = (ngram_keys(rows.tokens, config.overlap) for rows in (candidates, control))
    is_own = has_own_ngrams_only(candidate_keys)
    is_distinct = has_own_ngrams_only(control_keys)
    seen = np.concatenate([ngram_keys(documents[i], config.overlap) for i in shown] or [candidate_keys.reshape(-1)])
    is_unseen = shares_none_with(control_keys, seen)

    train = _draw(candidates, is_own, levels, random, "training")
    order = random.permutation(np.repeat(np.arange(len(levels), dtype=np.int64), levels))
    never = np.zeros(config.control_rows, dtype=np.int64)
    dropped = {
        "training rows sharing a passage with another row": int((~is_own).sum()),
        "control rows sharing a passage with a training document": int((~is_unseen).sum()),
        "control rows sharing a passage with another control row only": int((is_unseen & ~is_distinct).sum()),
    }
    return Planting(
        train=train,
        control=_draw(control, is_unseen & is_distinct, never, random, "never-shown"),
        order=order,
        dropped=dropped,
    )


def _cut(documents: list[Tokens], numbers: Ids, length: int) -> PlantedRows:
    """Consecutive rows of the documents with these numbers; a document's tail is left over."""
    rows = [documents[i][: len(documents[i]) // length * length].reshape(-1, length) for i in numbers]
    counts = [len(part) for part in rows]
    tokens = np.concatenate([np.empty((0, length), dtype=np.uint16), *rows])
    return PlantedRows(tokens, np.zeros(len(tokens), dtype=np.int64), np.repeat(numbers, counts))


def _draw(
    rows: PlantedRows, is_clean: NDArray[np.bool_], levels: Ids, random: np.random.Generator, kind: str
) -> PlantedRows:
    """One clean row for each entry of `levels`."""
    clean = np.flatnonzero(is_clean)
    if len(clean) < len(levels):
        raise CorpusError(
            f"The texts hold {len(clean)} {kind} rows of {rows.tokens.shape[1]} tokens that overlap with no other, and "
            f"{len(levels)} are asked for; ask for fewer or shorter rows, or bring more text."
        )
    chosen = random.choice(clean, size=len(levels), replace=False)
    return PlantedRows(rows.tokens[chosen], levels, rows.documents[chosen])
