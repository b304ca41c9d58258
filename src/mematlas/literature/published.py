"""What papers report: trends, tables and numbers as data, each with its source and a label of its evidence.

Evidence labels: S: seen in the paper, its official code or released data; S2: seen in a secondary note; C: computed
from released files; M: from memory, not verified; O: our own statement beside that of the paper. Numbers are always
shown with their label.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Evidence = Literal["S", "S2", "C", "M", "O"]

#: The papers, by the key with which findings cite them.
PAPERS: Final[dict[str, str]] = {
    "P1": "Chen, Han, Miyao: A Multi-Perspective Analysis of Memorization in LLMs. arXiv 2405.11577",
    "P2": "Satvaty, Verberne, Turkmen: Undesirable Memorization in LLMs: A Survey. arXiv 2410.02650",
    "P3": "Huang, Yang, Potts: Demystifying Verbatim Memorization in Large Language Models. arXiv 2407.17817",
    "P6": "Hartmann et al.: SoK: Memorization in General-Purpose LLMs. arXiv 2310.18362",
    "P8": "Tirumala et al.: Memorization Without Overfitting. arXiv 2205.10770",
    "P9": "Carlini et al.: Quantifying Memorization Across Neural Language Models. arXiv 2202.07646",
    "P10": "Zhang et al.: Counterfactual Memorization in Neural Language Models. arXiv 2112.12938",
    "K1": "Biderman et al.: Emergent and Predictable Memorization in Large Language Models. arXiv 2304.11158",
    "K2": "Prashanth et al.: Recite, Reconstruct, Recollect. arXiv 2406.17746",
    "K3": "Hayes et al.: (n, p)-discoverable extraction. arXiv 2410.19482",
    "K7": "Chen, Han, Miyao: arXiv 2603.21658",
    "K8": "Zhang, Zhao, Lin et al.: Beyond Frequency: Redundancy. arXiv 2506.12321",
    "K11": "Cooper et al.: Extracting memorized pieces of books. arXiv 2505.12546",
    "K12": "Other definitions: extraction strength, code of open-unlearning",
    "K5": "Carlini, Liu, Erlingsson, Kos, Song: The Secret Sharer. arXiv 1802.08232",
    "K6": "Shi et al.: Min-K%, arXiv 2310.16789; Zhang et al.: Min-K%++, arXiv 2404.02936",
    "K9": "Wei, Godbole, Khan et al.: Hubble. arXiv 2510.19811",
}


def cited_papers(texts: Iterable[str]) -> dict[str, str]:
    """The PAPERS cited in any of `texts`, in the order of PAPERS."""
    keys = {key for text in texts for key in re.findall(r"\b[PK]\d+\b", text)}
    return {key: paper for key, paper in PAPERS.items() if key in keys}


@dataclass(frozen=True, slots=True)
class PublishedTrend:
    """A direction that a paper reports, or our own beside it (evidence O).

    analysis: name of the analysis whose findings test it; of PROBE_TRENDS the command, without "mematlas".
    """

    statement: str
    source: str
    evidence: Evidence
    analysis: str


@dataclass(frozen=True, slots=True)
class PublishedSlope:
    """Change of the memorized share per tenfold of the quantity that `law` names. r2: None if not reported."""

    law: str
    models: str
    slope: float
    r2: float | None
    source: str
    evidence: Evidence


TRENDS: Final[dict[str, PublishedTrend]] = {
    "recited-rows-grow-with-size": PublishedTrend(
        "The number of fully memorized rows grows with model size.", "P1, Fig. 2a", "S2", "size"
    ),
    "fully-memorized-rows-grow-fastest": PublishedTrend(
        "With model size, the number of fully memorized rows grows faster than that of any other score level.",
        "P1, Fig. 2a",
        "S2",
        "size",
    ),
    "low-scores-dominate": PublishedTrend(
        "Most rows have a score between 0 and 0.3.", "P1, Fig. 2a", "S2", "distribution"
    ),
    "scores-are-bipolar": PublishedTrend(
        "Scores are bipolar: rows gather at both ends of the scale.", "K7", "S2", "distribution"
    ),
    "recited-rows-fall-with-continuation": PublishedTrend(
        "The number of fully memorized rows falls with the length of the continuation.",
        "P1, Fig. 2b",
        "S2",
        "continuation",
    ),
    "fall-with-continuation-slows": PublishedTrend(
        "Fewer memorized rows are lost from 64 to 96 tokens of continuation than from 32 to 48.",
        "P1, Fig. 2b",
        "S2",
        "continuation",
    ),
    "recited-rows-grow-with-context": PublishedTrend(
        "The number of fully memorized rows rises with the length of the context.",
        "P1, Fig. 2c",
        "S2",
        "context",
    ),
    "memorized-rows-stay-memorized": PublishedTrend(
        "More than 90 % of the fully memorized rows stay memorized in the larger model.",
        "P1, Fig. 3",
        "S2",
        "transitions",
    ),
    "growth-slows-with-size": PublishedTrend(
        "The number of memorized rows grows more from 70M to 2.8B parameters than from 2.8B to 12B.",
        "P1, Figs. 2a and 3",
        "S2",
        "transitions",
    ),
    "growth-per-tenfold-slows-with-size": PublishedTrend(
        "Per tenfold of parameters the number of memorized rows grows less in the upper part of the range of sizes "
        "than in the lower.",
        "ours, beside P1, Figs. 2a and 3, whose two spans of sizes are unequal",
        "O",
        "transitions",
    ),
    "share-grows-with-size": PublishedTrend(
        "The memorized share grows with the number of parameters, on whatever curve.",
        "ours, beside P9, Figure 1",
        "O",
        "scaling",
    ),
    "share-grows-with-repetitions": PublishedTrend(
        "The memorized share grows with how often a row was repeated, on whatever curve.",
        "ours, beside P9, Figure 1",
        "O",
        "scaling",
    ),
    "share-grows-with-context": PublishedTrend(
        "The memorized share grows with the tokens of context, on whatever curve.",
        "ours, beside P9, Figure 1",
        "O",
        "scaling",
    ),
    "log-linear-in-size": PublishedTrend(
        "The memorized share grows log-linearly with the number of parameters (0.19 per tenfold for GPT-Neo).",
        "P9, Figure 1",
        "S2",
        "scaling",
    ),
    "log-linear-in-repetitions": PublishedTrend(
        "The memorized share grows log-linearly with how often a row was repeated.", "P9, Figure 1", "S2", "scaling"
    ),
    "log-linear-in-context": PublishedTrend(
        "The memorized share grows log-linearly with the tokens of context.", "P9, Figure 1", "S2", "scaling"
    ),
    "frequency-rises-at-the-border-of-memorized-rows": PublishedTrend(
        "At the border of context and continuation the mean count of the tokens of memorized rows rises: the boundary "
        "effect is positive.",
        "P1, Fig. 4 and table of sentence-level frequency",
        "S2",
        "boundary_input",
    ),
    "frequency-falls-at-the-border-of-unmemorized-rows": PublishedTrend(
        "At the border of context and continuation the mean count of the tokens of unmemorized rows falls: the "
        "boundary effect is negative.",
        "P1, Fig. 4 and table of sentence-level frequency",
        "S2",
        "boundary_input",
    ),
    "membership-shows-with-repetitions": PublishedTrend(
        "Rows shown once are hardly told from rows never seen, rows shown 256 times nearly always: the AUROC of "
        "membership inference rises with repetitions.",
        "K9, membership inference by duplicates (8B, Gutenberg)",
        "S",
        "inference",
    ),
    "entropy-is-higher-in-unmemorized-rows": PublishedTrend(
        "The entropy of unmemorized rows is higher than that of memorized ones.", "P1, Fig. 6", "S2", "entropy"
    ),
    "entropy-rises-at-the-border-of-unmemorized-rows": PublishedTrend(
        "At the border of context and continuation the entropy of unmemorized rows jumps up.",
        "P1, Fig. 6",
        "S2",
        "entropy",
    ),
    "entropy-falls-at-the-border-of-memorized-rows": PublishedTrend(
        "At the border of context and continuation the entropy of memorized rows jumps down.",
        "P1, Fig. 6",
        "S2",
        "entropy",
    ),
    "entropy-falls-with-size": PublishedTrend("Larger models have lower entropy.", "P1, Fig. 6", "S2", "entropy"),
    "embedding-distance-grows-with-size": PublishedTrend(
        "In larger models the last-layer states of rows have larger Euclidean distances.",
        "P1, Fig. 5",
        "S2",
        "embedding",
    ),
    "embedding-cosine-falls-with-size": PublishedTrend(
        "In larger models the last-layer states of rows have lower cosine similarity.", "P1, Fig. 5", "S2", "embedding"
    ),
    "small-models-forecast-precisely-but-miss-most": PublishedTrend(
        "What a small model memorizes the largest memorizes too, but the small one misses most of it: high precision, "
        "low recall.",
        "K1",
        "M",
        "forecast",
    ),
    "checkpoints-forecast-better-than-small-models": PublishedTrend(
        "Intermediate checkpoints of a model forecast it better than smaller models of as much compute.",
        "K1, abstract",
        "S2",
        "forecast",
    ),
    "sampling-extracts-more-than-greedy": PublishedTrend(
        "With enough samples, probabilistic extraction finds more training rows than greedy decoding does.",
        "K3, Enron emails",
        "S2",
        "probability",
    ),
    "sampled-extraction-grows-with-size": PublishedTrend(
        "The share of rows that sampling extracts is larger in larger models (16 % in Pythia 12B, 9 % in 2.8B).",
        "K3, Enron emails",
        "S2",
        "probability",
    ),
    "held-out-rows-are-sampled-less": PublishedTrend(
        "Sampling extracts far fewer held-out rows than training rows (0.3 against 4.4 % at n = 500,000, p = 0.9).",
        "K3, Enron emails against TREC-2007",
        "S2",
        "probability",
    ),
    "fully-right-predictions-concentrate-on-low-scores": PublishedTrend(
        "Rows that the predictor gets wholly right have low scores; at 6.9B none has a high one.",
        "P1, Fig. 7",
        "S2",
        "predict",
    ),
    "copies-hide-memorization": PublishedTrend(
        "The more copies a row has, the lower is its counterfactual memorization.", "P10", "S2", "counterfactual"
    ),
    "larger-models-forget-less": PublishedTrend(
        "What is left of a batch shown during training is more in larger models.", "P8, section 5", "S2", "forgetting"
    ),
    "injected-length-grows-with-size": PublishedTrend(
        "Larger models recite longer pieces of sequences that were injected into their training.",
        "P3",
        "S2",
        "injection",
    ),
    "larger-corpora-dilute-insertions": PublishedTrend(
        "Items inserted as often are memorized less in a larger corpus (500 instead of 100 billion tokens).",
        "K9, dilution",
        "S2",
        "insertions",
    ),
    "late-insertions-are-kept-best": PublishedTrend(
        "Items inserted in the first quarter of a training are forgotten; those of the last are memorized most.",
        "K9, ordering",
        "S2",
        "insertions",
    ),
    "facts-are-forgotten-with-log-time": PublishedTrend(
        "What is left of a fact after its last showing falls linearly with the logarithm of time.",
        "K12 (Chang et al.)",
        "S2",
        "facts",
    ),
    "larger-models-memorize-faster": PublishedTrend(
        "Larger models reach a given share of memorized training tokens in fewer epochs.",
        "P8, section 3",
        "S2",
        "dynamics",
    ),
    "nouns-and-numbers-are-memorized-first": PublishedTrend(
        "Numbers, nouns and proper nouns are memorized before verbs and adjectives.",
        "P8, on parts of speech",
        "S2",
        "parts_of_speech",
    ),
    "unique-ids-are-memorized-faster": PublishedTrend(
        "A unique id in front of every row makes it memorized sooner than the enlarged vocabulary alone does.",
        "P8, section on unique ids",
        "S2",
        "unique_ids",
    ),
    "predictor-accuracy-grows-with-size": PublishedTrend(
        "The predictor's token accuracy is higher for 12B than for 70M at every continuation.",
        "P1, table of the predictor",
        "S2",
        "predict",
    ),
    "predictor-accuracy-grows-with-continuation": PublishedTrend(
        "The predictor's token accuracy is higher at 64 tokens of continuation than at 16, for every model.",
        "P1, table of the predictor",
        "S2",
        "predict",
    ),
    "full-accuracy-falls-with-continuation": PublishedTrend(
        "The share of rows that the predictor gets wholly right falls from 16 to 64 tokens of continuation.",
        "P1, table of the predictor",
        "S2",
        "predict",
    ),
}

#: Trends that single probes test, and no analysis of a study.
PROBE_TRENDS: Final[dict[str, PublishedTrend]] = {
    "noise-ends-reciting": PublishedTrend(
        "Noise of half the norm of states after the first layer ends most reciting (about a hundredfold in OLMo1 7B).",
        "K7, noise in the residual stream",
        "S2",
        "probe layers",
    ),
    "states-of-memorized-rows-recover-less": PublishedTrend(
        "Over the layers, states disturbed by noise regain less of their similarity in memorized rows than in others.",
        "K7, similarity recovery",
        "S2",
        "probe layers",
    ),
    "needed-heads-are-shared": PublishedTrend(
        "The fifth of the heads that different texts need most overlaps more than random sets do.",
        "K7, head ablation",
        "S2",
        "probe layers",
    ),
}

SLOPES: Final = (
    PublishedSlope("size", "GPT-Neo family on the Pile", 0.19, 0.998, "P9, Figure 1", "S2"),
    PublishedSlope("context", "GPT-J 6B, from 33 % at 50 and 65 % at 450 tokens", 0.335, None, "P9, Figure 1", "C"),
)

#: What each evidence label means.
EVIDENCE: Final[dict[Evidence, str]] = {
    "S": "seen in the paper, its code or its data",
    "S2": "seen in a secondary note",
    "C": "computed from released files",
    "M": "from memory, unverified",
    "O": "our own statement, which no paper makes",
}


@dataclass(frozen=True, slots=True)
class PublishedNumber:
    """A number that a paper reports: what is counted, and its value and unit ("share", "points", "rows" ...)."""

    quantity: str
    value: float
    unit: str
    source: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """A table that a paper reports. columns: (name, meaning and unit) of each; lines: the rows, in that order."""

    title: str
    source: str
    evidence: Evidence
    columns: tuple[tuple[str, str], ...]
    lines: tuple[tuple[str | int | float, ...], ...]

    def column(self, name: str) -> tuple[str | int | float, ...]:
        """The values of one column.

        Raises:
            KeyError: there is no such column.
        """
        index = {column: position for position, (column, _) in enumerate(self.columns)}[name]
        return tuple(line[index] for line in self.lines)


TABLES: Final[dict[str, PublishedTable]] = {
    "token-frequency": PublishedTable(
        "Mean corpus count of the tokens of fully, half and not memorized rows",
        "P1, table of sentence-level frequency (which says 6.8B for 6.9B)",
        "S2",
        (
            ("model", "size"),
            ("rows", "memorized: M = 1; half: M = 1/2; unmemorized: M = 0"),
            ("context", "mean 1-gram count over the context, billions"),
            ("continuation", "mean 1-gram count over the continuation, billions"),
            ("boundary_difference", "difference at the border of the two, billions; the formula is not published"),
        ),
        (
            ("160M", "memorized", 1.708, 1.739, 0.114),
            ("160M", "half", 1.713, 1.837, 0.330),
            ("160M", "unmemorized", 1.744, 1.628, -0.939),
            ("1B", "memorized", 1.713, 1.736, 0.103),
            ("1B", "half", 1.711, 1.832, 0.270),
            ("1B", "unmemorized", 1.752, 1.631, -0.981),
            ("6.9B", "memorized", 1.721, 1.736, 0.090),
            ("6.9B", "half", 1.710, 1.829, 0.140),
            ("6.9B", "unmemorized", 1.759, 1.638, -0.963),
            ("12B", "memorized", 1.721, 1.736, 0.039),
            ("12B", "half", 1.720, 1.846, 0.237),
            ("12B", "unmemorized", 1.760, 1.626, -1.016),
        ),
    ),
    "predictor-accuracy": PublishedTable(
        "Accuracy of the Transformer that predicts which tokens are recited, after a context of 32 tokens",
        "P1, table of the predictor",
        "S2",
        (
            ("continuation", "tokens"),
            ("model", "size"),
            ("token_accuracy", "positions predicted right, percent; the majority class' share is not published"),
            ("full_accuracy", "rows with every position predicted right, percent"),
        ),
        (
            (16, "70M", 78.2, 10.2),
            (16, "410M", 78.6, 10.4),
            (16, "1B", 78.8, 10.6),
            (16, "2.8B", 80.1, 10.7),
            (16, "6.9B", 77.4, 8.3),
            (16, "12B", 80.3, 10.9),
            (32, "70M", 78.6, 5.9),
            (32, "410M", 79.6, 6.0),
            (32, "1B", 79.7, 6.1),
            (32, "2.8B", 80.1, 6.3),
            (32, "6.9B", 80.5, 6.4),
            (32, "12B", 80.8, 6.4),
            (48, "70M", 79.6, 5.2),
            (48, "410M", 80.3, 5.4),
            (48, "1B", 80.4, 5.6),
            (48, "2.8B", 80.4, 5.5),
            (48, "6.9B", 80.8, 5.8),
            (48, "12B", 81.0, 6.0),
            (64, "70M", 80.1, 4.7),
            (64, "410M", 80.8, 4.8),
            (64, "1B", 81.2, 5.2),
            (64, "2.8B", 81.5, 5.5),
            (64, "6.9B", 81.8, 5.8),
            (64, "12B", 82.1, 6.0),
        ),
    ),
    "membership-by-duplicates": PublishedTable(
        "AUROC of membership inference by duplicates in training, 8B model of 500B tokens, unpopular Gutenberg books",
        "K9, table of membership inference",
        "S",
        (
            ("duplicates", "times the text was put into training"),
            ("loss", "AUROC of the loss"),
            ("min_k_plus_plus", "AUROC of Min-K%++"),
        ),
        (
            (1, 0.539, 0.545),
            (4, 0.556, 0.62),
            (16, 0.732, 0.813),
            (64, 0.996, 0.987),
            (256, 1.0, 0.949),
        ),
    ),
    "forecast-of-12b": PublishedTable(
        "Does a smaller model's memorization forecast that of the 12B model?",
        "K1, precision and recall against 12B",
        "M",
        (
            ("model", "size of the smaller model"),
            ("precision", "share of its memorized rows that 12B memorizes"),
            ("recall", "share of the rows that 12B memorizes which it memorizes"),
        ),
        (
            ("70M", 0.956, 0.197),
            ("160M", 0.948, 0.289),
            ("410M", 0.940, 0.401),
            ("1B", 0.931, 0.512),
            ("1.4B", 0.926, 0.554),
            ("2.8B", 0.909, 0.658),
            ("6.9B", 0.884, 0.795),
        ),
    ),
    "memorized-rows": PublishedTable(
        "Rows with M = 1 at 32 tokens after 32, of the 146,432,000 of the training stream",
        "card of the data set EleutherAI/pythia-memorized-evals; splits whose count was not seen are left out",
        "S",
        (
            ("training", "duped: the Pile; deduped: the deduplicated Pile"),
            ("model", "size"),
            ("training_step", "of 143000"),
            ("rows", "rows with M = 1"),
        ),
        (
            ("duped", "70M", 143_000, 463_953),
            ("duped", "160M", 143_000, 689_673),
            ("duped", "410M", 143_000, 970_341),
            ("duped", "1B", 143_000, 1_256_141),
            ("duped", "1.4B", 143_000, 1_373_722),
            ("duped", "2.8B", 143_000, 1_675_077),
            ("duped", "6.9B", 143_000, 2_120_969),
            ("duped", "12B", 143_000, 2_382_326),
            ("duped", "12B", 23_000, 198_175),
            ("duped", "12B", 43_000, 442_253),
            ("deduped", "70M", 143_000, 411_448),
            ("deduped", "160M", 143_000, 581_195),
            ("deduped", "410M", 143_000, 811_039),
            ("deduped", "1.4B", 143_000, 1_048_097),
            ("deduped", "2.8B", 143_000, 1_355_211),
            ("deduped", "12B", 143_000, 1_871_215),
            ("deduped", "12B", 63_000, 585_067),
            ("deduped", "12B", 83_000, 852_068),
        ),
    ),
    "head-overlap": PublishedTable(
        "Heads that two domains need most: overlap of the top fifths, beside random sets",
        "K7, head ablation",
        "S2",
        (
            ("model", "that was probed"),
            ("jaccard", "heads that are among the top fifth of both domains, over those that are of either"),
            ("random", "the same of random sets"),
        ),
        (("OLMo2 1B", 0.5208, 0.1139), ("StarCoder 7B", 0.1357, 0.1114)),
    ),
    "sampled-extraction": PublishedTable(
        "Rows of the Enron emails extracted by greedy decoding and by sampling, 50 tokens after 50",
        "K3",
        "S2",
        (
            ("model", "size of Pythia"),
            ("greedy", "share of rows recited by greedy decoding"),
            ("most", "largest share that is (n, p)-discoverable by sampling from the 40 most probable tokens at T = 1"),
        ),
        (("2.8B", 0.013, 0.0904), ("12B", 0.0307, 0.1607)),
    ),
}

NUMBERS: Final[dict[str, PublishedNumber]] = {
    "rows-with-score-1/32": PublishedNumber(
        "rows whose score is exactly 1/32, Pythia 12B at step 143000 (34,340,259 of 146,432,000)",
        0.2345,
        "share of rows",
        "K1, notebook in the authors' repository",
        "S",
    ),
    "neo-1.3b-extractable": PublishedNumber(
        "extractable rows of GPT-Neo 1.3B, duplicate-normalised sample (about)", 0.40, "share of rows", "P9", "S2"
    ),
    "gpt2-extractable": PublishedNumber(
        "the same rows by GPT-2, which was not trained on them (about)", 0.06, "share of rows", "P9", "S2"
    ),
    "context-50": PublishedNumber(
        "extractable rows of GPT-J 6B after 50 tokens of context", 0.33, "share of rows", "P9", "S2"
    ),
    "context-450": PublishedNumber(
        "extractable rows of GPT-J 6B after 450 tokens of context", 0.65, "share of rows", "P9", "S2"
    ),
    "uniform-gpt-j": PublishedNumber(
        "extractable rows of length 1000, uniform sample, GPT-J 6B", 0.07, "share of rows", "P9", "S2"
    ),
    "uniform-neo-125m": PublishedNumber(
        "extractable rows of length 1000, uniform sample, GPT-Neo 125M", 0.04, "share of rows", "P9", "S2"
    ),
    "uniform-gpt2-xl": PublishedNumber(
        "extractable rows of length 1000, uniform sample, GPT-2 XL", 0.02, "share of rows", "P9", "S2"
    ),
    "pile-extractable": PublishedNumber("the Pile, at least, memorized by GPT-J 6B", 0.01, "share of rows", "P9", "S2"),
    "beam-gain": PublishedNumber(
        "gain by beam search (b = 100) over greedy decoding, mean, less than", 0.02, "share of rows", "P9", "S2"
    ),
    "beam-gain-most": PublishedNumber(
        "gain by beam search (b = 100) over greedy decoding, largest", 0.056, "share of rows", "P9", "S2"
    ),
    "beam-same-output": PublishedNumber(
        "prompts for which beam search and greedy decoding give the same text", 0.45, "share of rows", "P9", "S2"
    ),
    "match-truth-100-repeats": PublishedNumber(
        "rows repeated 100 times whose output is the true continuation", 0.158, "share of rows", "P9", "S2"
    ),
    "match-anywhere-100-repeats": PublishedNumber(
        "rows repeated 100 times whose output stands anywhere in the corpus",
        0.326,
        "share of rows",
        "P9",
        "S2",
    ),
    "t5-3b-100-repeats": PublishedNumber(
        "extractable rows repeated 100 times, T5-3B (masked), context of 150 tokens",
        0.035,
        "share of rows",
        "P9",
        "S2",
    ),
    "neo-2.7b-100-repeats": PublishedNumber(
        "extractable rows repeated 100 times, GPT-Neo 2.7B, context of 150 tokens",
        0.536,
        "share of rows",
        "P9",
        "S2",
    ),
    "deduplicated-below-35-repeats": PublishedNumber(
        "extractable rows repeated less than 35 times, model of the deduplicated corpus",
        0.012,
        "share of rows",
        "P9",
        "S2",
    ),
    "duplicated-below-35-repeats": PublishedNumber(
        "extractable rows repeated less than 35 times, model of the corpus with duplicates",
        0.036,
        "share of rows",
        "P9",
        "S2",
    ),
}
