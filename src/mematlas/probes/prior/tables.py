"""The tables of `mematlas probe prior`."""

from typing import Final

import pyarrow as pa

from mematlas.probes.rows.tables import CONTROL, ROW, field

FEW_PREFIXES: Final = "too few prompts of other documents of the same source"
IMPOSSIBLE: Final = "no other prompt gives the continuation any probability"
CARRIED_BY_ONE: Final = "less than 2 prompts carry the mean"

PRIOR: Final = pa.schema(
    [
        ROW,
        CONTROL,
        field("log_probability", pa.float64(), "log P(s|p) of the true continuation after its prompt, in nats"),
        field("log_prior", pa.float64(), "log of its mean probability after prompts of other rows", nullable=True),
        field("log_ratio", pa.float64(), "log_probability less log_prior (r)", nullable=True),
        field("log_ratio_lower", pa.float64(), "lower end of its 95 % interval over prompts", nullable=True),
        field("log_ratio_upper", pa.float64(), "upper end of the same", nullable=True),
        field(
            "mean_log_ratio",
            pa.float64(),
            "log_probability less the mean log-probability after these prompts; at least log_ratio",
            nullable=True,
        ),
        field("effective", pa.float64(), "prompts that carry the mean: (sum w)^2 / sum w^2", nullable=True),
        field(
            "shuffled_log_ratio",
            pa.float64(),
            "log_ratio as if one more prompt of another row were the row's own: a control",
            nullable=True,
        ),
        field("reason", pa.string(), "why log_ratio or its interval is null; null if both are known", nullable=True),
    ]
)
