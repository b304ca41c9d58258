"""What was measured on chosen rows while models were trained: one row per (arm, step, set, metric)."""

from typing import Final

import pyarrow as pa

PROBES: Final = pa.schema(
    [
        pa.field("arm", pa.string(), nullable=False, metadata={"is": "label of the training run"}),
        pa.field("step", pa.int64(), nullable=False, metadata={"is": "finished optimizer steps, 0 before the first"}),
        pa.field("set", pa.string(), nullable=False, metadata={"is": "name of the rows measured"}),
        pa.field("metric", pa.string(), nullable=False, metadata={"is": "M, loss or verbatim"}),
        pa.field(
            "value", pa.float64(), metadata={"is": "mean over the rows; loss in nats per token, verbatim in tokens"}
        ),
        pa.field("n", pa.int64(), nullable=False, metadata={"is": "rows measured"}),
    ]
)
