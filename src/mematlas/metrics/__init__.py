"""Metrics: each computes one number per row from its scores or signals, and declares its unit, direction and source."""

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
            "number of tokens recited before the first miss, 0 to L",
        ),
        "extractable": (
            "mematlas.metrics.extractable:extractable",
            None,
            "whether the whole continuation is recited, M = 1 (k-extractable; P1, P9)",
        ),
        "mean_log_probability": (
            "mematlas.metrics.mean_log_probability:mean_log_probability",
            None,
            "mean log-probability of the row's tokens, that is minus the loss (K6); needs truth signals",
        ),
        "min_k": (
            "mematlas.metrics.min_k:min_k",
            None,
            "Min-K%: mean log-probability of the 20 % least likely tokens (K6); needs truth signals",
        ),
        "min_k_plus_plus": (
            "mematlas.metrics.min_k_plus_plus:min_k_plus_plus",
            None,
            "Min-K%++: Min-K% of log-probabilities standardized over the vocabulary (K6); needs truth signals",
        ),
        "extraction_strength": (
            "mematlas.metrics.extraction_strength:extraction_strength",
            None,
            "1 - k / L, where k tokens of the continuation of length L must be given (K12); needs truth signals",
        ),
        "memory_unit_length": (
            "mematlas.metrics.memory_unit_length:memory_unit_length",
            None,
            "mean length of runs of correctly predicted tokens (P8, A.3); needs truth signals",
        ),
    },
)
