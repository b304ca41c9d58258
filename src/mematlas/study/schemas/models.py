"""The schema of the table of a model."""

import pyarrow as pa

#: One row per file: a model of the study. Columns that its card lacks are null.
MODELS = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False, metadata={"is": "label of the model"}),
        pa.field("spec", pa.string(), metadata={"is": "the name under which the model was given"}),
        pa.field("parameters", pa.int64()),
        pa.field("training_step", pa.int64()),
        pa.field("tokenizer", pa.string(), metadata={"is": "fingerprint of its files"}),
        pa.field("vocabulary", pa.int64(), metadata={"is": "number of token ids that the model accepts"}),
        pa.field("fingerprint", pa.string()),
    ]
)
