"""All thresholds of the detector, and the two ways to apply them."""

from dataclasses import dataclass
from typing import Final, Literal

from mematlas.errors import OptionError, abbreviate
from mematlas.matching.sentences import Splitter

Mode = Literal["faithful", "corrected"]
_SHARES: Final = ("min_seed_cosine", "min_seed_dice", "min_case_cosine", "min_paraphrase")
_COUNTS: Final = ("candidates", "min_sentence_words", "min_case_characters", "min_characters")


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """Thresholds of P7's detector; the defaults are the authors' (2310.06714, `settings.xml`).

    mode: "faithful" is as the authors' code: a verbatim copy is a common run of words of strictly more than
        `min_characters` characters of the output inside a case that seeds found, the first candidate with a case
        decides, equal sentences are no paraphrases. "corrected" (our choice): a run of at least `min_characters`
        characters in both texts, anywhere in the pair; the strongest class of all candidates decides; equal sentences
        are paraphrases.
    candidates: documents retrieved for each output.
    min_sentence_words: shorter sentences are joined with the next one.
    min_seed_cosine, min_seed_dice: two sentences are a seed if both are exceeded.
    max_gap: sentences between two seeds of one case.
    min_case_cosine: to be exceeded by the sentences of a case put together.
    min_case_characters: shorter cases, on either side, are dropped.
    idea_gap: as max_gap, when the output is compared as a summary; min_idea_ratio: how many times longer the source's
        side of the cases must then be.
    min_paraphrase: probability to be exceeded by a pair of sentences, for a paraphrase of high confidence.
    splitter: of sentences, see `mematlas.matching.sentences`.

    Raises:
        OptionError: a value breaks a rule.
    """

    mode: Mode = "corrected"
    candidates: int = 10
    min_sentence_words: int = 3
    min_seed_cosine: float = 0.30
    min_seed_dice: float = 0.33
    max_gap: int = 4
    min_case_cosine: float = 0.34
    min_case_characters: int = 50
    min_characters: int = 50
    idea_gap: int = 24
    min_idea_ratio: float = 3.0
    min_paraphrase: float = 0.5
    splitter: Splitter = "auto"

    def __post_init__(self) -> None:
        for name in _SHARES:
            self._check(name, 0 <= getattr(self, name) < 1, "at least 0 and below 1")
        for name in _COUNTS:
            self._check(name, getattr(self, name) >= 1, "at least 1")
        self._check("max_gap", self.max_gap >= 0, "at least 0")
        self._check("idea_gap", self.idea_gap >= self.max_gap, f"at least max_gap, which is {self.max_gap}")
        self._check("min_idea_ratio", self.min_idea_ratio >= 1, "at least 1")
        self._check("mode", self.mode in ("faithful", "corrected"), "faithful or corrected")
        self._check("splitter", self.splitter in ("auto", "blingfire", "regex"), "auto, blingfire or regex")

    def _check(self, name: str, is_kept: bool, rule: str) -> None:
        if not is_kept:
            given = abbreviate(getattr(self, name))
            raise OptionError(f"{name} must be {rule} (given: {given}); leave it out to take the authors' value.")
