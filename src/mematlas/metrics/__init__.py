"""One row's record -> one number. Each metric is a file; each declares its unit, direction and paper."""

from mematlas.registry import Registry

METRICS = Registry(
    "metric",
    {
        "memorization_score": (
            "mematlas.metrics.memorization_score:memorization_score",
            None,
            "M: share of continuation positions that greedy decoding gets right, 0 to 1 (P1)",
        ),
        "verbatim_length": (
            "mematlas.metrics.verbatim_length:verbatim_length",
            None,
            "tokens recited before the first miss, 0 to L",
        ),
        "extractable": (
            "mematlas.metrics.extractable:extractable",
            None,
            "whether the whole continuation is recited, M = 1 (k-extractable; P1, P9)",
        ),
    },
)
