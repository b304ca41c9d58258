"""The tables of `mematlas probe layers`."""

from typing import Final

import pyarrow as pa


def _field(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"is": meaning})


_ROW: Final = _field("row", pa.int64(), "id of the row in its corpus")
_CONTROL: Final = _field("control", pa.bool_(), "whether it is a row of the control")
ROWS: Final = pa.schema(
    [
        _ROW,
        _CONTROL,
        _field("class", pa.string(), "recited (whole continuation given), other, or control"),
        _field("cluster", pa.int64(), "rows of one number share 13 tokens or more, and are not independent"),
        _field("matches", pa.int64(), "tokens of the greedy continuation that are the true ones, in their places"),
        _field("verbatim", pa.int64(), "tokens recited before the first miss"),
        _field("log_probability", pa.float64(), "of the true continuation, in nats"),
    ]
)
NOISE: Final = pa.schema(
    [
        _ROW,
        _CONTROL,
        _field("strength", pa.float64(), "noise after the first block, relative to the norm of each state"),
        _field("draw", pa.int64(), "number of the draw of noise, from 0"),
        _field("matches", pa.int64(), "tokens of the greedy continuation that are the true ones, in their places"),
        _field("verbatim", pa.int64(), "tokens recited before the first miss"),
        _field("log_probability", pa.float64(), "of the true continuation, in nats"),
    ]
)
RECOVERY: Final = pa.schema(
    [
        _ROW,
        _CONTROL,
        _field("strength", pa.float64(), NOISE.field("strength").metadata[b"is"].decode()),
        _field("layer", pa.int64(), "block, from 1, behind which the states are compared"),
        _field("cosine", pa.float64(), "mean cosine of the states with and without noise, over the row's positions"),
    ]
)
LENS: Final = pa.schema(
    [
        _ROW,
        _CONTROL,
        _field(
            "layer", pa.int64(), "layer whose states the output head reads; 0 is the embeddings, the last the model"
        ),
        _field("position", pa.int64(), "position in the row of the token that is predicted"),
        _field("hit", pa.bool_(), "whether the true token is the most probable one"),
        _field("rank", pa.int64(), "tokens with a higher logit than the true one"),
        _field("log_probability", pa.float32(), "of the true token after the true tokens before it, in nats"),
        _field("entropy", pa.float32(), "of the distribution over tokens, in nats"),
    ]
)
HEADS: Final = pa.schema(
    [
        _ROW,
        _CONTROL,
        _field("layer", pa.int64(), "layer of the head, from 1; 0 for the whole model"),
        _field("head", pa.int64(), "number of the head in its layer, from 0; -1 for the whole model"),
        _field("hits", pa.int64(), "true tokens that are the most probable ones after the true tokens before them"),
        _field("log_probability", pa.float64(), "of the true continuation, in nats"),
    ]
)
