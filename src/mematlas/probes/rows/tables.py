"""Columns that the tables of all probes of rows have, and the table of the rows themselves."""

from typing import Final

import pyarrow as pa


def field(name: str, kind: pa.DataType, meaning: str, *, nullable: bool = False) -> pa.Field:
    """A column with what it is, for README.md."""
    return pa.field(name, kind, nullable=nullable, metadata={"is": meaning})


ROW: Final = field("row", pa.int64(), "id of the row in its corpus")
CONTROL: Final = field("control", pa.bool_(), "whether it is a row of the control")
REACTION: Final = (
    field("matches", pa.int64(), "tokens of the greedy continuation that are the true ones, in their places"),
    field("verbatim", pa.int64(), "tokens recited before the first miss"),
    field("log_probability", pa.float64(), "of the true continuation, in nats"),
)
ROWS: Final = pa.schema(
    [
        ROW,
        CONTROL,
        field("class", pa.string(), "recited (whole continuation given), other, or control"),
        field("cluster", pa.int64(), "rows of one number share 13 tokens or more, and are not independent"),
        *REACTION,
    ]
)
