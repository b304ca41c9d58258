"""Tables -> Finding. One file a perspective; each is a pure function over a study's tables, without torch or corpus."""

from mematlas.registry import Registry

ANALYSES = Registry(
    "analysis",
    {
        "distribution": (
            "mematlas.analyses.distribution:ANALYSIS",
            None,
            "rows by score, verbatim lengths, and mean M beside a control (P1 Fig. 2a)",
        ),
        "size": (
            "mematlas.analyses.size:ANALYSIS",
            None,
            "memorized and unmemorized share of rows against model size (P1 Fig. 2a)",
        ),
        "continuation": (
            "mematlas.analyses.continuation:ANALYSIS",
            None,
            "memorized rows against the continuation, and those that stay memorized (P1 Fig. 2b)",
        ),
        "context": (
            "mematlas.analyses.context:ANALYSIS",
            None,
            "memorized rows against the context, and those that a longer one brings out (P1 Fig. 2c)",
        ),
        "transitions": (
            "mematlas.analyses.transitions:ANALYSIS",
            None,
            "how rows move between score levels as models grow or train, with tests of symmetry (P1 Fig. 3)",
        ),
        "scaling": (
            "mematlas.analyses.scaling:ANALYSIS",
            None,
            "log-linear laws in size, repetitions and context, beside a saturating one (P9 Fig. 1)",
        ),
        "forecast": (
            "mematlas.analyses.forecast:ANALYSIS",
            None,
            "what smaller models and earlier checkpoints foretell: precision, recall, F1, order of rows (K1)",
        ),
        "overlap": (
            "mematlas.analyses.overlap:ANALYSIS",
            None,
            "which models memorize the same rows, and rows that a larger or later one forgot (our choice)",
        ),
        "taxonomy": (
            "mematlas.analyses.taxonomy:ANALYSIS",
            None,
            "recited rows as recitation, reconstruction, recollection, and models that tell them (K2)",
        ),
        "repetition": (
            "mematlas.analyses.repetition:ANALYSIS",
            None,
            "memorized share against exact copies of the row in the corpus (P9 Fig. 1b)",
        ),
        "boundary_input": (
            "mematlas.analyses.boundary_input:ANALYSIS",
            None,
            "corpus counts around the border and where reciting stops, by class of rows (P1 Fig. 4)",
        ),
        "frequency_strata": (
            "mematlas.analyses.frequency_strata:ANALYSIS",
            None,
            "the boundary effect with repetition and kinds of tokens held fixed, with permutation tests (our choice)",
        ),
        "provenance": (
            "mematlas.analyses.provenance:ANALYSIS",
            None,
            "whether recited continuations stand elsewhere in the corpus, and control rows that do (our choice)",
        ),
        "entropy": (
            "mematlas.analyses.entropy:ANALYSIS",
            None,
            "entropy by position, at the border and where reciting stops, by class of rows and model size (P1 Fig. 6)",
        ),
        "embedding": (
            "mematlas.analyses.embedding:ANALYSIS",
            None,
            "distances and cosines of hidden states within and between score levels, and maps of them (P1 Fig. 5)",
        ),
        "approximate": (
            "mematlas.analyses.approximate:ANALYSIS",
            None,
            "rows memorized but for a few tokens: BLEU, edit distance, common subsequence beside M (P2, granularity)",
        ),
        "probability": (
            "mematlas.analyses.probability:ANALYSIS",
            None,
            "rows that sampling draws in n tries with chance p, extraction strength, memory unit length (K3, K12, P8)",
        ),
        "inference": (
            "mematlas.analyses.inference:ANALYSIS",
            None,
            "membership inference and exposure of training rows against a control, beside a bag of words (K5, K6)",
        ),
        "predict": (
            "mematlas.analyses.predict:ANALYSIS",
            None,
            "recited tokens predicted from hidden states, beside baselines and guessing (P1, table and Fig. 7)",
        ),
    },
    "analyses",
)
