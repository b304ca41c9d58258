"""Passages of two texts that say the same: seeds, their extension, and the filter (PAN 2014, as P7 uses it).

Source: Sanchez-Perez, Gelbukh, Sidorov, "Adaptive Algorithm for Plagiarism Detection" (CLEF 2015), by P7's thresholds.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mematlas.matching.common_runs import Positions, positions_of
from mematlas.matching.config import DetectorConfig
from mematlas.matching.sentences import merge_short, split_sentences
from mematlas.matching.vectors import Counts, cosine, dice, dot, merge, norm, tf_idf
from mematlas.matching.words import BARRIER, Span, Words, find_words, is_content_word

_ALMOST_ONE = 0.99  # similarity from which the longer of two overlapping cases is kept


@dataclass(frozen=True, slots=True)
class PreparedText:
    """A text with its words, its sentences, and the counts of content words of each sentence."""

    text: str
    words: Words
    sentences: list[Span]
    counts: list[Counts]
    positions: Positions = field(repr=False)


class Seed(NamedTuple):
    """Two similar sentences, by number: of the suspicious text and of the source."""

    suspicious: int
    source: int


@dataclass(frozen=True, slots=True)
class Case:
    """Passages that say the same. Ranges are of sentences, spans of characters; cosine, dice: of the whole passages."""

    suspicious_sentences: range
    source_sentences: range
    suspicious: Span
    source: Span
    cosine: float
    dice: float


@dataclass(frozen=True, slots=True)
class Pair:
    """A suspicious text and a source, with the tf-idf vectors of the sentences of both."""

    suspicious: PreparedText
    source: PreparedText
    suspicious_vectors: list[dict[str, float]]
    source_vectors: list[dict[str, float]]


def prepare(text: str, config: DetectorConfig, masked: Sequence[Span] = ()) -> PreparedText:
    """Split `text` into words and sentences; masked: spans whose words are left out, which no passage runs across."""
    words = find_words(text, masked)
    visible = text
    for start, end in masked:
        visible = visible[:start] + "\n" * (end - start) + visible[end:]
    sentences = merge_short(split_sentences(visible, config.splitter), words, config.min_sentence_words)
    return PreparedText(text, words, sentences, _sentence_counts(words, sentences), positions_of(words))


def _sentence_counts(words: Words, sentences: Sequence[Span]) -> list[Counts]:
    counts: list[Counter[str]] = [Counter() for _ in sentences]
    at = 0
    for word, start in zip(words.texts, words.starts, strict=True):
        while at < len(sentences) and sentences[at].end <= start:
            at += 1
        if at < len(sentences) and start >= sentences[at].start and word != BARRIER and is_content_word(word):
            counts[at][word] += 1
    return [dict(count) for count in counts]


def pair_up(suspicious: PreparedText, source: PreparedText) -> Pair:
    """Both texts with their vectors."""
    return Pair(suspicious, source, *tf_idf(suspicious.counts, source.counts))


# -------------------------------------------------------------------------------------------------------------- seeds


def find_seeds(pair: Pair, config: DetectorConfig) -> list[Seed]:
    """Pairs of sentences whose cosine and Dice coefficient both exceed the thresholds."""
    first_norms = [norm(vector) for vector in pair.suspicious_vectors]
    second_norms = [norm(vector) for vector in pair.source_vectors]
    seeds = []
    for at, vector in enumerate(pair.suspicious_vectors):
        for other, other_vector in enumerate(pair.source_vectors):
            lengths = first_norms[at] * second_norms[other]
            if (
                lengths
                and dot(vector, other_vector) > config.min_seed_cosine * lengths
                and dice(vector, other_vector) > config.min_seed_dice
            ):
                seeds.append(Seed(at, other))
    return seeds


# ---------------------------------------------------------------------------------------------------------- extension


def cluster(seeds: Sequence[Seed], gap: int, side: int = 0, *, is_first: bool = True) -> list[list[Seed]]:
    """Seeds in groups with at most `gap` sentences between neighbours on both sides.

    The seeds are split on one side, each group on the other, and so on until a group splits no more.
    """
    groups = _split(seeds, gap, side)
    if len(groups) == 1 and not is_first:
        return groups
    return [part for group in groups for part in cluster(group, gap, 1 - side, is_first=False)]


def _split(seeds: Sequence[Seed], gap: int, side: int) -> list[list[Seed]]:
    groups: list[list[Seed]] = []
    for seed in sorted(seeds, key=lambda seed: (seed[side], seed[1 - side])):
        if groups and seed[side] - groups[-1][-1][side] - 1 <= gap:
            groups[-1].append(seed)
        else:
            groups.append([seed])
    return groups


def extend(pair: Pair, seeds: Sequence[Seed], gap: int, min_cosine: float) -> list[Case]:
    """The cases that clusters of seeds form; one that is not similar as a whole is clustered again with a smaller gap.

    A cluster that fails with gap 0 is dropped.
    """
    cases = []
    for group in cluster(seeds, gap):
        case = _case(pair, group)
        if case.cosine > min_cosine:
            cases.append(case)
        elif gap > 0:
            cases += extend(pair, group, gap - 1, min_cosine)
    return cases


def _case(pair: Pair, seeds: Sequence[Seed]) -> Case:
    suspicious, source = (range(min(numbers), max(numbers) + 1) for numbers in zip(*seeds, strict=True))
    first = merge(pair.suspicious_vectors[at] for at in suspicious)
    second = merge(pair.source_vectors[at] for at in source)
    return Case(
        suspicious_sentences=suspicious,
        source_sentences=source,
        suspicious=_span(pair.suspicious, suspicious),
        source=_span(pair.source, source),
        cosine=cosine(first, second),
        dice=dice(first, second),
    )


def _span(text: PreparedText, sentences: range) -> Span:
    return Span(text.sentences[sentences[0]].start, text.sentences[sentences[-1]].end)


# ------------------------------------------------------------------------------------------------------------- filter


def drop_overlaps(pair: Pair, cases: Sequence[Case]) -> list[Case]:
    """Of cases that overlap in the suspicious text, the most similar one; of two nearly equal ones, the longer."""
    kept: list[Case] = []
    for case in sorted(cases, key=lambda case: (case.suspicious_sentences.start, case.source_sentences.start)):
        if not kept or case.suspicious_sentences.start >= kept[-1].suspicious_sentences.stop:
            kept.append(case)
        elif _is_better(pair, case, kept[-1]):
            kept[-1] = case
    return kept


def _is_better(pair: Pair, case: Case, other: Case) -> bool:
    new, old = _quality(pair, case, other), _quality(pair, other, case)
    if min(new, old) > _ALMOST_ONE:
        return len(case.suspicious_sentences) > len(other.suspicious_sentences)
    return new > old


def _quality(pair: Pair, case: Case, other: Case) -> float:
    """Similarity of the sentences of the overlap, raised by that of the case's other sentences."""
    best = {
        at: max(cosine(pair.suspicious_vectors[at], pair.source_vectors[source]) for source in case.source_sentences)
        for at in case.suspicious_sentences
    }
    shared = [value for at, value in best.items() if at in other.suspicious_sentences]
    alone = [value for at, value in best.items() if at not in other.suspicious_sentences]
    overlap = sum(shared) / len(shared)
    return overlap + (1 - overlap) * sum(alone) / len(alone) if alone else overlap


def find_cases(pair: Pair, seeds: Sequence[Seed], gap: int, config: DetectorConfig) -> list[Case]:
    """The cases of a pair of texts: extension of the seeds, without overlaps and without short cases."""
    cases = drop_overlaps(pair, extend(pair, seeds, gap, config.min_case_cosine))
    return [case for case in cases if min(case.suspicious.length, case.source.length) >= config.min_case_characters]


def align(suspicious: str, source: str, config: DetectorConfig | None = None) -> list[Case]:
    """The passages of `suspicious` that say the same as passages of `source`."""
    config = config or DetectorConfig()
    pair = pair_up(prepare(suspicious, config), prepare(source, config))
    return find_cases(pair, find_seeds(pair, config), config.max_gap, config)
