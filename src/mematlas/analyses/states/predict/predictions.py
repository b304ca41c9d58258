"""The output of one predictor with one seed, as arrays: held-out rows, token by token."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

KEYS: Final = ("model", "tested", "sees", "method", "seed")
KEY_DESCRIPTIONS: Final = {
    "model": "to whose hidden states the predictor was fitted",
    "tested": "whose hidden states it read and whose reciting it predicts",
    "sees": "context: states of the context alone, before anything is generated; generated: of the text so far, too",
    "method": "the predictor, the same fitted to shuffled labels, or a baseline",
}


@dataclass(frozen=True, slots=True, eq=False)
class PredictorOutput:
    """Predictions of one predictor for rows of one role (train: of documents held out from fitting; or control).

    key: values of KEYS; rows, levels (0 to 4), weights: shape (rows,); probability: shape (rows, tokens), NaN where
    there is none; hit: the same shape, 1 recited, 0 not, NaN after an early end of the text.
    """

    key: Mapping[str, str | int]
    rows: NDArray[np.int64]
    levels: NDArray[np.int64]
    weights: NDArray[np.float64]
    probability: NDArray[np.float32]
    hit: NDArray[np.float32]

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Mask of tokens with both a prediction and a truth."""
        return np.isfinite(self.probability) & np.isfinite(self.hit)

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """Mask of tokens predicted right, where a probability of at least 1/2 predicts recitation."""
        return self.is_known & ((self.probability >= 0.5) == (self.hit == 1))

    def tokens(self, columns: slice) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]:
        """(probability, hit, weight) of the known tokens in `columns`, flattened row by row."""
        is_known = self.is_known[:, columns]
        weights = np.broadcast_to(self.weights[:, None], is_known.shape)[is_known]
        return self.probability[:, columns][is_known], self.hit[:, columns][is_known] == 1, weights

    def complete_rows(self, length: int) -> NDArray[np.bool_]:
        """Mask of rows whose first `length` tokens are all known."""
        is_known = self.is_known[:, :length]
        return is_known.all(1) & (is_known.shape[1] == length)


def predictor_outputs(
    predictions: pl.LazyFrame, role: str = "train", methods: Sequence[str] | None = None
) -> Iterator[PredictorOutput]:
    """The output of each predictor and seed; only the outputs for one model and its inputs are in memory at a time.

    Args:
        predictions: `mematlas.study.schemas.predictions.PREDICTIONS`; records without weight are left out.
        methods: all methods by default.
    """
    selected = predictions.filter(pl.col("role") == role, pl.col("weight") > 0)
    if methods is not None:
        selected = selected.filter(pl.col("method").is_in(methods))
    predictors = selected.select(KEYS[:3]).unique().sort(KEYS[:3]).collect(engine="streaming")
    for predictor in predictors.iter_rows(named=True):
        frame = selected.filter(**predictor).sort("method", "seed", "row").collect()
        for _, records in frame.group_by("method", "seed", maintain_order=True):
            yield _to_output(records)


def _to_output(records: pl.DataFrame) -> PredictorOutput:
    width = max(records.select(pl.col("probability", "hit").list.len().fill_null(0).max()).row(0))
    return PredictorOutput(
        {name: records[name][0] for name in KEYS},
        records["row"].to_numpy(),
        records["level"].cast(pl.Int64).to_numpy(),
        records["weight"].to_numpy(),
        _matrix(records["probability"], width),
        _matrix(records["hit"], width),
    )


def _matrix(lists: pl.Series, width: int) -> NDArray[np.float32]:
    """Lists as a matrix of `width` columns, NaN after their end and for nulls."""
    filled = np.full((len(lists), width), np.nan, np.float32)
    lengths = lists.list.len().fill_null(0).to_numpy()
    values = pl.Series(lists.to_arrow().flatten()).cast(pl.Float32).to_numpy()
    filled[np.arange(width) < lengths[:, None]] = values
    return filled
