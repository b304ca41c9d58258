"""The schema of the table of scored rows."""

import pyarrow as pa

#: One row per scored row; shared by all models of a run.
ROWS = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("role", pa.string(), nullable=False, metadata={"is": "train or control"}),
        pa.field("repetitions", pa.int64(), metadata={"is": "how often it was shown in training, where known"}),
        pa.field("document", pa.int64()),
        pa.field("source", pa.string()),
    ]
)
