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
        "mean_log_probability": (
            "mematlas.metrics.mean_log_probability:mean_log_probability",
            None,
            "mean log-probability of the row's tokens, minus the loss; of truth signals (K6)",
        ),
        "min_k": (
            "mematlas.metrics.min_k:min_k",
            None,
            "Min-K%: mean over the 20 % least likely tokens; of truth signals (K6)",
        ),
        "min_k_plus_plus": (
            "mematlas.metrics.min_k_plus_plus:min_k_plus_plus",
            None,
            "Min-K%++: the same of log-probabilities standardised over the vocabulary; of truth signals (K6)",
        ),
        "extraction_strength": (
            "mematlas.metrics.extraction_strength:extraction_strength",
            None,
            "1 - k / L: share of the continuation that its beginning and the context bring out (K12); needs signals",
        ),
        "memory_unit_length": (
            "mematlas.metrics.memory_unit_length:memory_unit_length",
            None,
            "mean run of consecutive tokens right along the truth, in tokens (P8, A.3); needs signals",
        ),
    },
)
