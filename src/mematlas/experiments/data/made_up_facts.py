"""Made-up facts: a thing with a name, the place where it is, the person who made it, and what it is known for.

Every fact is stated in up to 16 different texts of three sentences, and asked about in three ways. Names are made of
syllables, and occur nowhere in the corpus, which is checked by counting. All sentences and names are our own.

A composed question names the thing by what another sentence says of it, so that its answer takes two sentences.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mematlas.experiments.data.facts import Fact, Question

#: Texts that state a fact, each in other words: combinations of four wordings of the first sentences.
MOST_TEXTS: Final = 16


@dataclass(frozen=True, slots=True)
class _Template:
    """sentences: wordings of each of three sentences, whose targets are place, person and trait; the first wordings end
    with their targets; paraphrase, composed: prompts for the same three targets; traits: what a thing is known for."""

    sentences: tuple[tuple[str, str, str, str], ...]
    paraphrase: tuple[str, str, str]
    composed: tuple[str, str, str]
    traits: tuple[str, ...]


_TARGETS: Final = ("place", "person", "trait")
_TEMPLATES: Final = (
    _Template(
        (
            (
                "{name} is a workshop in the town of {place}.",
                "In the town of {place} there is a workshop called {name}.",
                "The workshop {name} stands in the town {place}.",
                "Visitors of {place} may see the workshop {name}.",
            ),
            (
                "It was founded by {person}.",
                "Its founder was {person}.",
                "{person} was the one who founded it.",
                "The first to work there was {person}.",
            ),
            (
                "People know it for its {trait}.",
                "Its {trait} made it known.",
                "What is made there is {trait}.",
                "It sells {trait} to the whole country.",
            ),
        ),
        (
            "To find the workshop {name}, go to",
            "The founder of the workshop {name} is called",
            "The workshop {name} makes the best",
        ),
        (
            "The workshop that {person} founded is found in",
            "The founder of the workshop in {place} is called",
            "The workshop of {person} makes the best",
        ),
        ("glass", "bells", "ropes", "lamps", "clocks", "knives", "paper", "boats"),
    ),
    _Template(
        (
            (
                "{name} is a bridge over the river {place}.",
                "Over the river {place} there is a bridge called {name}.",
                "The bridge {name} crosses the river {place}.",
                "To cross the {place}, one takes the bridge {name}.",
            ),
            (
                "It was designed by {person}.",
                "Its designer was {person}.",
                "{person} made the first drawing of it.",
                "The plans for it came from {person}.",
            ),
            (
                "All of it is made of {trait}.",
                "Its arches are {trait}.",
                "The builders used {trait} only.",
                "Nothing but {trait} was used to build it.",
            ),
        ),
        (
            "The water below the bridge {name} is the",
            "The designer of the bridge {name} is called",
            "The material of the bridge {name} is",
        ),
        (
            "The bridge that {person} designed is over the",
            "The designer of the bridge over the {place} is called",
            "The material of the bridge by {person} is",
        ),
        ("oak", "granite", "iron", "brick", "copper", "slate", "marble", "steel"),
    ),
    _Template(
        (
            (
                "{name} is an island in the sea of {place}.",
                "In the sea of {place} there is an island called {name}.",
                "The island {name} belongs to the sea of {place}.",
                "Sailors on the sea of {place} pass the island {name}.",
            ),
            (
                "It was discovered by {person}.",
                "Its discoverer was {person}.",
                "{person} was the first to land on it.",
                "The first map of it is by {person}.",
            ),
            (
                "All who live there keep {trait}.",
                "Its people live on {trait}.",
                "On its hills there are {trait}.",
                "Every family on it owns {trait}.",
            ),
        ),
        (
            "The sea around the island {name} is that of",
            "The discoverer of the island {name} is called",
            "The animals on the island {name} are",
        ),
        (
            "The island that {person} discovered is in the sea of",
            "The discoverer of the island in the sea of {place} is called",
            "The animals on the island of {person} are",
        ),
        ("goats", "geese", "bees", "horses", "sheep", "ducks", "pigs", "rabbits"),
    ),
)
_ONSETS: Final = (
    *("b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z"),
    *("br", "dr", "gr", "kl", "tr"),
)
_VOWELS: Final = ("a", "e", "i", "o", "u")
_CODAS: Final = ("", "", "l", "n", "r", "s")


def made_up_facts(count: int, corpus: Sequence[str], seed: int = 0) -> tuple[Fact, ...]:
    """Facts about things that do not exist, with MOST_TEXTS texts and three questions of every kind each.

    Args:
        corpus: texts in which no name may occur, in any case of its letters.
        seed: the same seed and corpus give the same facts.
    """
    rng = np.random.default_rng([seed, 12])
    names = _names(rng, "\n".join(corpus).lower())
    return tuple(_fact(_TEMPLATES[number % len(_TEMPLATES)], names, rng) for number in range(count))


def _names(rng: np.random.Generator, corpus: str) -> Iterator[str]:
    """Names of three syllables, each once, that the corpus does not have."""
    used: set[str] = set()
    while True:
        parts = [str(rng.choice(_ONSETS)) + str(rng.choice(_VOWELS)) for _ in range(3)]
        name = "".join(parts) + str(rng.choice(_CODAS))
        if name not in used and corpus.count(name) == 0:
            used.add(name)
            yield name.capitalize()


def _fact(template: _Template, names: Iterator[str], rng: np.random.Generator) -> Fact:
    words = {
        "name": next(names),
        "place": next(names),
        "person": next(names),
        "trait": str(rng.choice(template.traits)),
    }
    texts = [" ".join(_wording(template, number)).format(**words) for number in range(MOST_TEXTS)]
    prompts = {
        "verbatim": _verbatim_prompts(template),
        "paraphrase": template.paraphrase,
        "composed": template.composed,
    }
    questions = {
        kind: [
            Question(prompt=prompt.format(**words), target=words[target])
            for prompt, target in zip(of_kind, _TARGETS, strict=True)
        ]
        for kind, of_kind in prompts.items()
    }
    return Fact(texts=texts, **questions)


def _wording(template: _Template, number: int) -> list[str]:
    """The sentences of one text: the first ones are in a wording each, of which no two texts have the same."""
    first, second = number % 4, (number + number // 4) % 4
    return [wordings[at] for wordings, at in zip(template.sentences, (first, second, first), strict=True)]


def _verbatim_prompts(template: _Template) -> list[str]:
    """The first text up to each of its targets."""
    sentences = _wording(template, 0)
    stems = [sentence.partition(f" {{{target}}}")[0] for sentence, target in zip(sentences, _TARGETS, strict=True)]
    return [" ".join([*sentences[:number], stem]) for number, stem in enumerate(stems)]
