"""The tables of `mematlas probe layers`."""

from typing import Final

import pyarrow as pa

from mematlas.probes.rows.tables import CONTROL, REACTION, ROW, field

NOISE: Final = pa.schema(
    [
        ROW,
        CONTROL,
        field("strength", pa.float64(), "noise after the first block, relative to the norm of each state"),
        field("draw", pa.int64(), "number of the draw of noise, from 0"),
        *REACTION,
    ]
)
RECOVERY: Final = pa.schema(
    [
        ROW,
        CONTROL,
        field("strength", pa.float64(), NOISE.field("strength").metadata[b"is"].decode()),
        field("layer", pa.int64(), "block, from 1, behind which the states are compared"),
        field("cosine", pa.float64(), "mean cosine of the states with and without noise, over the row's positions"),
    ]
)
LENS: Final = pa.schema(
    [
        ROW,
        CONTROL,
        field("layer", pa.int64(), "layer whose states the output head reads; 0 is the embeddings, the last the model"),
        field("position", pa.int64(), "position in the row of the token that is predicted"),
        field("hit", pa.bool_(), "whether the true token is the most probable one"),
        field("rank", pa.int64(), "tokens with a higher logit than the true one"),
        field("log_probability", pa.float32(), "of the true token after the true tokens before it, in nats"),
        field("entropy", pa.float32(), "of the distribution over tokens, in nats"),
    ]
)
HEADS: Final = pa.schema(
    [
        ROW,
        CONTROL,
        field("layer", pa.int64(), "layer of the head, from 1; 0 for the whole model"),
        field("head", pa.int64(), "number of the head in its layer, from 0; -1 for the whole model"),
        field("hits", pa.int64(), "true tokens that are the most probable ones after the true tokens before them"),
        field("log_probability", pa.float64(), "of the true continuation, in nats"),
    ]
)
