"""What was measured on chosen rows while models were trained: one row per (arm, step, set, metric).

Arms that are to be compared with each other have labels that differ after `--` only, such as GROUP--0x and GROUP--10x.
A set that was measured in blocks of rows has one record per block: set:0, set:1 and so on. Injected sequences are
blocks of sets named KIND@FREQUENCY@MODE (frequency: one showing in so many rows, or "steps"), or KIND@never. Questions
about facts are blocks of sets named facts/GROUP/QUESTION, and random sequences are the sets uniform and uniform-never.
"""

from typing import Final

import pyarrow as pa

PROBES: Final = pa.schema(
    [
        pa.field("arm", pa.string(), nullable=False, metadata={"is": "label of the training run"}),
        pa.field("step", pa.int64(), nullable=False, metadata={"is": "finished optimizer steps, 0 before the first"}),
        pa.field("set", pa.string(), nullable=False, metadata={"is": "name of the rows measured"}),
        pa.field(
            "metric",
            pa.string(),
            nullable=False,
            metadata={
                "is": "M, loss, verbatim, shown; of injected sequences V, copied, cap; of random ones bits, entropy"
            },
        ),
        pa.field(
            "value", pa.float64(), metadata={"is": "mean over the rows; loss in nats per token, verbatim, V in tokens"}
        ),
        pa.field("n", pa.int64(), nullable=False, metadata={"is": "rows measured"}),
    ]
)
