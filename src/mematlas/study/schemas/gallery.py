"""The table of the gallery, column by column."""

import pyarrow as pa

_TEXTS = pa.list_(pa.string())
#: One record per chosen row.
GALLERY = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False, metadata={"is": "row id, a key of rows/"}),
        pa.field("why", pa.string(), nullable=False, metadata={"is": "what makes the row worth looking at"}),
        pa.field("source", pa.string()),
        pa.field("repetitions", pa.int64(), metadata={"is": "how often it was shown in training, where known"}),
        pa.field("rows_of_text", pa.int64(), metadata={"is": "rows with this text, its own among them, where known"}),
        pa.field("model", pa.string(), nullable=False),
        pa.field("context", pa.int32(), nullable=False, metadata={"unit": "tokens"}),
        pa.field("continuation", pa.int32(), nullable=False, metadata={"unit": "tokens"}),
        pa.field("matches", pa.int32(), metadata={"unit": "tokens", "is": "positions where the model is right"}),
        pa.field("verbatim", pa.int32(), metadata={"unit": "tokens", "is": "tokens recited before the first miss"}),
        pa.field("context_tokens", _TEXTS),
        pa.field("true_tokens", _TEXTS, metadata={"is": "the continuation as it stands in the corpus"}),
        pa.field("generated_tokens", _TEXTS, metadata={"is": "greedy; empty texts behind an EOS that ends the text"}),
        pa.field("hit", pa.list_(pa.bool_()), metadata={"is": "generated = true, position by position"}),
        pa.field(
            "log_probability",
            pa.list_(pa.float32()),
            metadata={"unit": "nats", "is": "of the true token, teacher-forced; null where the EOS policy forbids it"},
        ),
    ]
)
