"""The tables of `mematlas probe prompts`."""

from typing import Final

import pyarrow as pa

from mematlas.probes.rows.tables import CONTROL, REACTION, ROW, field

NEVER: Final = "not recited whole after any end of the prompt"
NOT_AFTER_WHOLE: Final = "not recited after the whole prompt"

SHORTEST: Final = pa.schema(
    [
        ROW,
        CONTROL,
        field(
            "recited",
            pa.list_(pa.bool_()),
            "whether the whole continuation is recited after the last 1, 2, 3 ... tokens of the prompt",
        ),
        field("first", pa.int64(), "fewest last tokens of the prompt after which it is; null if never", nullable=True),
        field(
            "stable",
            pa.int64(),
            "fewest tokens from which on it is after any longer end; null if not after the whole prompt",
            nullable=True,
        ),
        field("ratio", pa.float64(), "first over the tokens of the prompt; null if never", nullable=True),
        field("reason", pa.string(), "why first or stable is null; null if both are known", nullable=True),
    ]
)
PERTURBED: Final = pa.schema(
    [
        ROW,
        CONTROL,
        field("change", pa.string(), "what was done to tokens of the prompt: substitute, delete, swap, shuffle"),
        field("part", pa.string(), "where: in the whole prompt, its far half or its near half"),
        field("strength", pa.float64(), "share of the prompt's tokens that were to be changed"),
        field("draw", pa.int64(), "number of the draw, from 0"),
        field(
            "displacement",
            pa.float64(),
            "mean distance of the tokens from their places before, counted from the end, over the prompt's length",
            nullable=True,
        ),
        *(part.with_nullable(True) for part in REACTION),
        field("reason", pa.string(), "why the numbers are null; null if they are known", nullable=True),
    ]
)
REDUNDANCY: Final = pa.schema(
    [
        ROW,
        CONTROL,
        field(
            "redundancy",
            pa.float64(),
            "1 - distinct pairs of neighbouring tokens over all of the prompt; null for one token",
            nullable=True,
        ),
    ]
)
