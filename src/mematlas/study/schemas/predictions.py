"""The predictions on held-out rows: one row per (model, tested, sees, method, seed, row)."""

from typing import Final, Literal

import pyarrow as pa

Sees = Literal["context", "generated"]

PREDICTOR: Final = "predictor"
SHUFFLED: Final = "predictor, shuffled labels"
MAJORITY: Final = "always the majority"
BY_POSITION: Final = "majority by position"
ENTROPY: Final = "entropy threshold"
LOGISTIC: Final = "logistic regression"
BOOSTING: Final = "gradient boosting"
BASELINES: Final = (MAJORITY, BY_POSITION, ENTROPY, LOGISTIC, BOOSTING)

#: model: the model whose states the predictor was fitted to; tested: the model whose states it read (another one of the
#: same width if it was transferred); sees: the states of the "context" only, before anything is generated, or, at each
#: index, also those of the text "generated" up to it; method: PREDICTOR, SHUFFLED or one of BASELINES; seed: of the
#: split, the weights and the order; role: of the row, "train" rows are of documents held out from fitting; level: score
#: level, 0 to 4, at the cell of the recorded states; weight: number of scored rows of the run that the row represents,
#: of its role and level; probability: that the token at each index of the longest continuation is recited; hit: whether
#: it was (position by position, free-running), permuted among the rows for SHUFFLED; null after an early end of the
#: text.
PREDICTIONS: Final = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("tested", pa.string(), nullable=False),
        pa.field("sees", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("level", pa.int8(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
        pa.field("probability", pa.list_(pa.float32()), nullable=False),
        pa.field("hit", pa.list_(pa.bool_()), nullable=False),
    ]
)
