"""The table of analyses. Each is a pure function from a study's tables to a finding and needs neither torch nor a
corpus."""

from mematlas.registry import Registry

ANALYSES = Registry(
    "analysis",
    {
        "distribution": (
            "mematlas.analyses.scores.distribution.finding:ANALYSIS",
            None,
            "rows by score, verbatim lengths, and mean M beside a control (P1 Fig. 2a)",
        ),
        "size": (
            "mematlas.analyses.scores.size.finding:ANALYSIS",
            None,
            "memorized and unmemorized share of rows against model size (P1 Fig. 2a)",
        ),
        "continuation": (
            "mematlas.analyses.scores.continuation:ANALYSIS",
            None,
            "memorized rows against the continuation, and those that stay memorized (P1 Fig. 2b)",
        ),
        "context": (
            "mematlas.analyses.scores.context:ANALYSIS",
            None,
            "memorized rows against the context, and those that only a longer one brings out (P1 Fig. 2c)",
        ),
        "transitions": (
            "mematlas.analyses.family.transitions.finding:ANALYSIS",
            None,
            "how rows move between score levels as models grow or train, with tests of symmetry (P1 Fig. 3)",
        ),
        "scaling": (
            "mematlas.analyses.family.scaling.finding:ANALYSIS",
            None,
            "log-linear laws in size, repetitions and context, beside a saturating one (P9 Fig. 1)",
        ),
        "forecast": (
            "mematlas.analyses.family.forecast.finding:ANALYSIS",
            None,
            "forecasts by smaller models and earlier checkpoints: precision, recall, F1, order of rows (K1)",
        ),
        "overlap": (
            "mematlas.analyses.family.overlap.finding:ANALYSIS",
            None,
            "which models memorize the same rows, and rows that a larger or later one forgot (our choice)",
        ),
        "taxonomy": (
            "mematlas.analyses.corpus.taxonomy.finding:ANALYSIS",
            None,
            "recited rows as recitation, reconstruction, recollection, and classifiers of these (K2)",
        ),
        "repetition": (
            "mematlas.analyses.corpus.repetition:ANALYSIS",
            None,
            "memorized share against exact copies of the row in the corpus (P9 Fig. 1b)",
        ),
        "boundary_input": (
            "mematlas.analyses.positions.boundary_input.finding:ANALYSIS",
            None,
            "corpus counts around the boundary and where reciting stops, by class of rows (P1 Fig. 4)",
        ),
        "frequency_strata": (
            "mematlas.analyses.positions.frequency_strata.finding:ANALYSIS",
            None,
            "the boundary effect with repetition and kinds of tokens held fixed, with permutation tests (our choice)",
        ),
        "provenance": (
            "mematlas.analyses.corpus.provenance.finding:ANALYSIS",
            None,
            "whether recited continuations occur elsewhere in the corpus, and control rows that do (our choice)",
        ),
        "entropy": (
            "mematlas.analyses.positions.entropy.finding:ANALYSIS",
            None,
            "entropy by position, at the boundary and where reciting stops, by row class and model size (P1 Fig. 6)",
        ),
        "embedding": (
            "mematlas.analyses.states.embedding.finding:ANALYSIS",
            None,
            "distances and cosines of hidden states within and between score levels, and maps of them (P1 Fig. 5)",
        ),
        "approximate": (
            "mematlas.analyses.extraction.approximate.finding:ANALYSIS",
            None,
            "rows memorized but for a few tokens: BLEU, edit distance, common subsequence beside M (P2, granularity)",
        ),
        "probability": (
            "mematlas.analyses.extraction.probability.finding:ANALYSIS",
            None,
            "rows extractable by n samples with probability p, extraction strength, memory unit length (K3, K12, P8)",
        ),
        "inference": (
            "mematlas.analyses.extraction.membership.finding:ANALYSIS",
            None,
            "membership inference and exposure of training rows against a control, beside a bag of words (K5, K6)",
        ),
        "counterfactual": (
            "mematlas.analyses.training.counterfactual.finding:ANALYSIS",
            None,
            "what models owe to having been trained on a row: memorization, simplicity, influence on others (P10)",
        ),
        "dynamics": (
            "mematlas.analyses.training.dynamics:ANALYSIS",
            None,
            "what models of several sizes memorize epoch by epoch, and where they begin to overfit (P8)",
        ),
        "forgetting": (
            "mematlas.analyses.training.forgetting.finding:ANALYSIS",
            None,
            "what is left of rows that were shown a few times, over the same rows never shown (P8)",
        ),
        "injection": (
            "mematlas.analyses.training.injection.finding:ANALYSIS",
            None,
            "what is recited of injected sequences, by showings and size, beside a twin without them (P3)",
        ),
        "insertions": (
            "mematlas.analyses.training.insertions.finding:ANALYSIS",
            None,
            "items inserted 0 to 256 times: told from items never inserted, in larger corpora, early and late (K9)",
        ),
        "facts": (
            "mematlas.analyses.training.facts.finding:ANALYSIS",
            None,
            "what is kept of made-up facts in the words shown, in others and by conclusion, and how long (K12)",
        ),
        "bits": (
            "mematlas.analyses.extraction.bits.finding:ANALYSIS",
            None,
            "bits that a model holds of each row beyond a reference model that never saw it (K12)",
        ),
        "capacity": (
            "mematlas.analyses.training.capacity:ANALYSIS",
            None,
            "bits of random sequences that a model holds, per parameter (K12)",
        ),
        "did": (
            "mematlas.analyses.training.did:ANALYSIS",
            None,
            "what being shown a row does to its score, from checkpoints of one training alone (P10, Lesci et al.)",
        ),
        "parts_of_speech": (
            "mematlas.analyses.positions.parts_of_speech:ANALYSIS",
            None,
            "which parts of speech models name right: numbers, nouns, verbs, adjectives (P8)",
        ),
        "unique_ids": (
            "mematlas.analyses.training.unique_ids:ANALYSIS",
            None,
            "whether rows that begin with a token of their own are memorized sooner (P8)",
        ),
        "predict": (
            "mematlas.analyses.states.predict.finding:ANALYSIS",
            None,
            "recited tokens predicted from hidden states, beside baselines and guessing (P1, table and Fig. 7)",
        ),
    },
    "analyses",
)
