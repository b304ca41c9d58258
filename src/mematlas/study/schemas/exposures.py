"""The schema of the tables of exposures: which models were trained on which rows."""

import pyarrow as pa

#: One record per model and row; a model with any record was trained on its rows with times > 0 and on no other ones.
#: model: label as in the scores; row: id as in the table of rows; times: how often it was shown; first_step, last_step:
#: optimizer steps, from 1 on, in which it was shown first and last; null if times is 0, or where they are not known.
EXPOSURES = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("times", pa.int64(), nullable=False),
        pa.field("first_step", pa.int64()),
        pa.field("last_step", pa.int64()),
    ]
)
