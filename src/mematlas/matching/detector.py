"""Which outputs of a model copy, paraphrase or summarise which documents (P7: Zeng et al., 2310.06714)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from mematlas.matching.alignment import Case, Pair, PreparedText, Seed, find_cases, find_seeds, pair_up, prepare
from mematlas.matching.common_runs import CommonRun, common_runs
from mematlas.matching.config import DetectorConfig
from mematlas.matching.paraphrase import ParaphraseModel
from mematlas.matching.retrieval import BM25Retriever, Retriever
from mematlas.matching.sentences import splitter_name
from mematlas.matching.words import BARRIER, Span, union_length

Kind = Literal["verbatim", "idea", "paraphrase"]
Confidence = Literal["high", "low"]
_PREPARED_CHARACTERS = 5_000_000  # of documents kept in memory after they were split, about 60 bytes each
#: From the strongest class to none.
LABELS = ("verbatim", "idea", "paraphrase, high", "paraphrase, low", "paraphrase, not graded", "none")


@dataclass(frozen=True, slots=True)
class Match:
    """Characters of an output that stem from characters of a document.

    cosine, dice: of the passages; None for a common run of words. paraphrase_p: the highest probability of a pair of
    their sentences; None if the class is another or there is no paraphrase model.
    """

    kind: Kind
    document: int
    suspicious: Span
    source: Span
    cosine: float | None = None
    dice: float | None = None
    paraphrase_p: float | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found in one output.

    kind, document: of the candidate that decides; None if the output resembles none. confidence: of a paraphrase; None
    for other classes, and where no paraphrase model graded it. matches: of all candidates. candidates: documents
    retrieved, best first. own_retrieved: whether the output's own document is one of them; None if it has none.
    prompt_copies: characters of the output that repeat its prompt, which were compared with no document.
    """

    kind: Kind | None
    confidence: Confidence | None
    document: int | None
    matches: tuple[Match, ...]
    candidates: tuple[int, ...]
    own_retrieved: bool | None
    prompt_copies: tuple[Span, ...]

    @property
    def label(self) -> str:
        """One of LABELS."""
        if self.kind is None:
            return "none"
        return f"paraphrase, {self.confidence or 'not graded'}" if self.kind == "paraphrase" else self.kind

    @property
    def copied_characters(self) -> int:
        """The number of characters of the output that are part of a verbatim copy."""
        return union_length(match.suspicious for match in self.matches if match.kind == "verbatim")


@dataclass(frozen=True, slots=True)
class Detections:
    """The detections of all outputs, in their order, and how they were made: documents is the size of the index."""

    outputs: list[Detection]
    config: DetectorConfig
    splitter: str
    documents: int
    graded: bool


class Detector:
    """Compares texts, one by one, with the same sources.

    Args:
        sources: documents; retriever: by default BM25 over them; paraphrase: None leaves paraphrases without a grade.

    Raises:
        CorpusError: there are no sources.
    """

    def __init__(
        self,
        sources: Sequence[str],
        config: DetectorConfig | None = None,
        paraphrase: ParaphraseModel | None = None,
        retriever: Retriever | None = None,
    ) -> None:
        self.config = config or DetectorConfig()
        self.splitter = splitter_name(self.config.splitter)
        self._retriever = retriever or BM25Retriever(sources)
        self._paraphrase = paraphrase
        self._sources = sources
        length = max(1, sum(map(len, sources)) // max(1, len(sources)))
        self._source = lru_cache(max(1, _PREPARED_CHARACTERS // length))(self._prepare)

    def _prepare(self, document: int) -> PreparedText:
        return prepare(self._sources[document], self.config)

    def detect(self, text: str, prompt: str | None = None, own: int | None = None) -> Detection:
        """What `text` has of the sources.

        Args:
            prompt: what the model was given; its copies in `text` are reported apart. None: nothing is left out.
            own: number of the document that the prompt was cut from.
        """
        copies = self._prompt_copies(text, prompt) if prompt else ()
        suspicious = prepare(text, self.config, copies)
        query = " ".join(word for word in suspicious.words.texts if word != BARRIER) if copies else text
        candidates = tuple(self._retriever.top(query, self.config.candidates))
        found = [matches for document in candidates if (matches := self._matches(suspicious, document))]
        graded = [(self._confidence(matches), matches) for matches in found]
        if graded and self.config.mode == "corrected":
            graded.sort(key=lambda item: _rank(item[1][0].kind, item[0]))
        confidence, deciding = graded[0] if graded else (None, None)
        return Detection(
            kind=deciding[0].kind if deciding else None,
            confidence=confidence,
            document=deciding[0].document if deciding else None,
            matches=tuple(match for matches in found for match in matches),
            candidates=candidates,
            own_retrieved=None if own is None else own in candidates,
            prompt_copies=tuple(copies),
        )

    def _prompt_copies(self, text: str, prompt: str) -> list[Span]:
        return [run.first for run in self._runs(prepare(text, self.config), prepare(prompt, self.config))]

    def _runs(self, suspicious: PreparedText, source: PreparedText, case: Case | None = None) -> list[CommonRun]:
        """Common runs of words that are long enough to be a verbatim copy."""
        is_faithful = self.config.mode == "faithful"
        at_least = self.config.min_characters + is_faithful
        if case is None:
            return common_runs(
                suspicious.words, source.words, at_least, both=not is_faithful, positions=source.positions
            )
        words = suspicious.words.within(case.suspicious), source.words.within(case.source)
        return common_runs(*words, at_least, both=not is_faithful)

    def _matches(self, suspicious: PreparedText, document: int) -> list[Match]:
        """The matches of one candidate, all of one class; none if the texts have nothing in common."""
        source = self._source(document)
        pair = pair_up(suspicious, source)
        seeds = find_seeds(pair, self.config)
        cases = find_cases(pair, seeds, self.config.max_gap, self.config) if seeds else []
        if self.config.mode == "faithful":
            runs = [run for case in cases for run in self._runs(suspicious, source, case)]
        else:
            runs = self._runs(suspicious, source)
        if runs:
            return [Match("verbatim", document, run.first, run.second) for run in runs]
        if ideas := self._ideas(pair, seeds):
            return [_match("idea", document, case) for case in ideas]
        return [_match("paraphrase", document, case, self._probability(pair, case)) for case in cases]

    def _ideas(self, pair: Pair, seeds: Sequence[Seed]) -> list[Case]:
        """The cases of a summary: those of a wide gap, if the source's side is several times as long."""
        cases = find_cases(pair, seeds, self.config.idea_gap, self.config) if seeds else []
        source = sum(case.source.length for case in cases)
        return cases if source >= self.config.min_idea_ratio * sum(case.suspicious.length for case in cases) else []

    def _probability(self, pair: Pair, case: Case) -> float | None:
        """The highest probability that a sentence of the case is a paraphrase; equal ones count 0 (faithful) or 1."""
        if self._paraphrase is None:
            return None
        sentences = [
            [text.text[slice(*text.sentences[at])].strip() for at in numbers]
            for text, numbers in ((pair.source, case.source_sentences), (pair.suspicious, case.suspicious_sentences))
        ]
        pairs = [(one, other) for one in sentences[0] for other in sentences[1]]
        different = [(one, other) for one, other in pairs if one.lower() != other.lower()]
        if len(different) < len(pairs) and self.config.mode == "corrected":
            return 1.0
        return max(map(float, self._paraphrase(different)), default=0.0) if different else 0.0

    def _confidence(self, matches: list[Match]) -> Confidence | None:
        grades = [match.paraphrase_p for match in matches if match.paraphrase_p is not None]
        if not grades:
            return None
        return "high" if max(grades) > self.config.min_paraphrase else "low"


def _match(kind: Kind, document: int, case: Case, probability: float | None = None) -> Match:
    return Match(kind, document, case.suspicious, case.source, case.cosine, case.dice, probability)


def _rank(kind: Kind, confidence: Confidence | None) -> int:
    return LABELS.index(f"paraphrase, {confidence or 'not graded'}" if kind == "paraphrase" else kind)


def detect(
    suspicious: Sequence[str],
    sources: Sequence[str],
    config: DetectorConfig | None = None,
    *,
    prompts: Sequence[str] | None = None,
    own: Sequence[int | None] | None = None,
    paraphrase: ParaphraseModel | None = None,
    retriever: Retriever | None = None,
) -> Detections:
    """What each of the `suspicious` texts has of the `sources`; see `Detector` and `Detector.detect`.

    Raises:
        CorpusError: there are no sources.
        ValueError: prompts or own has another length than suspicious.
    """
    detector = Detector(sources, config, paraphrase, retriever)
    prompts = [""] * len(suspicious) if prompts is None else prompts
    own = [None] * len(suspicious) if own is None else own
    outputs = [detector.detect(*output) for output in zip(suspicious, prompts, own, strict=True)]
    return Detections(outputs, detector.config, detector.splitter, len(sources), paraphrase is not None)
