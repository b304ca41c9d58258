"""The schemas of the tables that scoring writes."""

import pyarrow as pa

SCORES = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False, metadata={"is": "label of the model, a key of models/"}),
        pa.field("row", pa.int64(), nullable=False, metadata={"is": "row id, a key of rows/"}),
        pa.field("context", pa.int32(), nullable=False, metadata={"unit": "tokens"}),
        pa.field("continuation", pa.int32(), nullable=False, metadata={"unit": "tokens"}),
        pa.field(
            "matches",
            pa.int32(),
            metadata={
                "unit": "tokens",
                "is": "positions where greedy decoding is true; M = matches / continuation (P1, masked: P8)",
            },
        ),
        pa.field("verbatim", pa.int32(), metadata={"unit": "tokens", "is": "tokens recited before the first miss"}),
        pa.field(
            "margin", pa.float32(), metadata={"unit": "logits", "is": "smallest top-1 minus top-2 on the decided path"}
        ),
        pa.field("reason", pa.string(), metadata={"is": "null, or why a value is missing: depth, short, masked"}),
    ]
)

_FLOATS = pa.list_(pa.float32())
_KEY = [SCORES.field(name) for name in ("model", "row", "context", "continuation")]

#: One row per (model, row, context), at the longest continuation that the row allows; shorter cells are slices of it.
FREE = pa.schema(
    [
        *_KEY,
        pa.field("token", pa.list_(pa.int32()), metadata={"is": "the greedy text, one id a continuation position"}),
        pa.field("log_probability", _FLOATS, metadata={"unit": "nats", "is": "of the model's own token"}),
        pa.field("entropy", _FLOATS, metadata={"unit": "nats"}),
        pa.field("margin", _FLOATS, metadata={"unit": "logits", "is": "largest minus second largest logit"}),
    ]
)

#: Lists are indexed by the row's positions 0 .. context+continuation-1; position 0 is null if nothing precedes it.
_TRUTH = [
    *_KEY,
    pa.field("hit", pa.list_(pa.bool_()), metadata={"is": "the most probable token is the true one"}),
    pa.field("log_probability", _FLOATS, metadata={"unit": "nats", "is": "of the true token"}),
    pa.field("rank", pa.list_(pa.int32()), metadata={"is": "1 + number of tokens with a strictly larger logit"}),
    pa.field("entropy", _FLOATS, metadata={"unit": "nats"}),
    pa.field("margin", _FLOATS, metadata={"unit": "logits", "is": "largest minus second largest logit"}),
    pa.field("mean_log_probability", _FLOATS, metadata={"unit": "nats", "is": "sum p log p over the vocabulary"}),
    pa.field("variance_log_probability", _FLOATS, metadata={"unit": "nats^2", "is": "of log p under p"}),
    pa.field(
        "log_probability_top40",
        _FLOATS,
        metadata={"unit": "nats", "is": "renormalised over the 40 largest; null outside"},
    ),
    pa.field("token", pa.list_(pa.int32()), metadata={"is": "the most probable token; not in older studies"}),
]


def truth_schema(temperatures: tuple[float, ...]) -> pa.Schema:
    """The schema of the teacher-forced signals with the extra `temperatures`."""
    extra = [
        pa.field(temperature_name(t), _FLOATS, metadata={"unit": "nats", "is": f"of the true token at T = {t:g}"})
        for t in temperatures
    ]
    return pa.schema([*_TRUTH, *extra])


def temperature_name(temperature: float) -> str:
    """The name of the column of log-probabilities at `temperature`."""
    return f"log_probability_t{temperature:g}"
