"""Shares of classes over distinct prompts; how often texts that have nothing to do with each other are flagged."""

import pydoc_data.topics
import random

import pytest

from mematlas.matching.config import DetectorConfig
from mematlas.matching.detector import Detection, detect
from mematlas.matching.shares import class_shares
from mematlas.matching.words import Span
from mematlas.stats.estimates.intervals import wilson


def detection(kind=None, confidence=None, own=None, copies=()):
    return Detection(kind, confidence, None, (), (), own, copies)


def test_repeated_prompts_count_once_with_their_strongest_class():
    outputs = [
        detection("paraphrase", "low", own=True),
        detection("verbatim", own=True),
        detection(own=False),
        detection("idea", own=False, copies=(Span(0, 60),)),
        detection(own=None),
    ]
    shares = class_shares(outputs, ["a", "a", "b", "c", "d"])
    assert shares.prompts == 4
    counted = {label: share.estimate for label, share in shares.shares.items() if share.estimate}
    assert counted == {"verbatim": 0.25, "idea": 0.25, "none": 0.5}
    assert shares.flagged == wilson(2, 4)
    assert (shares.not_retrieved, shares.with_own, shares.prompt_copied) == (2, 3, 1)
    assert class_shares(outputs).prompts == 5
    assert class_shares(outputs).shares["paraphrase, low"] == wilson(1, 5)


def test_no_outputs_have_no_share():
    shares = class_shares([])
    assert (shares.prompts, shares.flagged.estimate) == (0, None)


def test_every_output_needs_its_prompt():
    with pytest.raises(ValueError, match="zip"):
        class_shares([detection()], ["a", "b"])


def passages(length=500):
    """Passages of English prose and code, of so many characters: Python's own documentation, without its tables."""
    texts = [pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics)]
    return list(dict.fromkeys(text[at : at + length] for text in texts for at in range(0, len(text) - length, length)))


class Shifted:
    """A retriever that gives each passage the one that was shuffled to it."""

    def __init__(self, partners):
        self.partners = partners

    def top(self, text, count):
        return [self.partners[text]]


@pytest.mark.parametrize("mode", ["faithful", "corrected"])
def test_at_most_one_percent_of_shuffled_pairs_is_flagged(mode):
    texts = random.Random(0).sample(passages(), 400)
    config = DetectorConfig(mode=mode)
    partners = dict(zip(texts, [*range(1, 400), 0], strict=True))
    flagged = class_shares(detect(texts, texts, config, retriever=Shifted(partners)).outputs).flagged
    assert flagged.estimate <= 0.01
    own = {text: at for at, text in enumerate(texts)}
    assert class_shares(detect(texts, texts, config, retriever=Shifted(own)).outputs).flagged.estimate >= 0.95
