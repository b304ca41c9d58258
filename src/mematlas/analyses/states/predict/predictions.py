"""What one predictor said with one seed, as arrays: rows that it was not fitted to, token by token."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

KEYS: Final = ("model", "tested", "sees", "method", "seed")
KEY_WORDS: Final = {
    "model": "to whose hidden states the predictor was fitted",
    "tested": "whose hidden states it read and whose reciting it predicts",
    "sees": "context: states of the context alone, before anything is generated; generated: of the text so far, too",
    "method": "the predictor, the same fitted to shuffled labels, or a baseline",
}


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """Rows of one role (train: of documents held out from fitting; control) that one predictor speaks of.

    key: values of KEYS; rows, levels (0 to 4), weights: shape (rows,); probability: shape (rows, tokens), NaN where
    none was given; hit: the same shape, 1 recited, 0 not, NaN behind an early end of the text.
    """

    key: Mapping[str, str | int]
    rows: NDArray[np.int64]
    levels: NDArray[np.int64]
    weights: NDArray[np.float64]
    probability: NDArray[np.float32]
    hit: NDArray[np.float32]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Tokens of which both the prediction and the truth are there."""
        return np.isfinite(self.probability) & np.isfinite(self.hit)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Tokens predicted right at a probability of 1/2 or more."""
        return self.known & ((self.probability >= 0.5) == (self.hit == 1))

    def tokens(self, columns: slice) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]:
        """(probability, hit, weight) of the known tokens in some columns, row after row."""
        known = self.known[:, columns]
        weights = np.broadcast_to(self.weights[:, None], known.shape)[known]
        return self.probability[:, columns][known], self.hit[:, columns][known] == 1, weights

    def whole(self, length: int) -> NDArray[np.bool_]:
        """Rows whose first `length` tokens are all known."""
        there = self.known[:, :length]
        return there.all(1) & (there.shape[1] == length)


def predicted(
    predictions: pl.LazyFrame, role: str = "train", methods: Sequence[str] | None = None
) -> Iterator[Predicted]:
    """One predictor and seed after another, so that only those of a model and what it sees are held at once.

    Args:
        predictions: `mematlas.study.schemas.predictions.PREDICTIONS`; lines without weight are left out.
        methods: all unless given.
    """
    kept = predictions.filter(pl.col("role") == role, pl.col("weight") > 0)
    if methods is not None:
        kept = kept.filter(pl.col("method").is_in(methods))
    parts = kept.select(KEYS[:3]).unique().sort(KEYS[:3]).collect(engine="streaming")
    for part in parts.iter_rows(named=True):
        frame = kept.filter(**part).sort("method", "seed", "row").collect()
        for _, lines in frame.group_by("method", "seed", maintain_order=True):
            yield _unpacked(lines)


def _unpacked(lines: pl.DataFrame) -> Predicted:
    width = max(lines.select(pl.col("probability", "hit").list.len().fill_null(0).max()).row(0))
    return Predicted(
        {name: lines[name][0] for name in KEYS},
        lines["row"].to_numpy(),
        lines["level"].cast(pl.Int64).to_numpy(),
        lines["weight"].to_numpy(),
        _matrix(lines["probability"], width),
        _matrix(lines["hit"], width),
    )


def _matrix(lists: pl.Series, width: int) -> NDArray[np.float32]:
    """Lists as rows of one width, NaN behind their end and for nulls."""
    filled = np.full((len(lists), width), np.nan, np.float32)
    lengths = lists.list.len().fill_null(0).to_numpy()
    values = pl.Series(lists.to_arrow().flatten()).cast(pl.Float32).to_numpy()
    filled[np.arange(width) < lengths[:, None]] = values
    return filled
