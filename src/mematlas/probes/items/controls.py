"""What a model is asked for comparison: items that do not exist, and guesses that need no model."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from mematlas.probes.items.task_file import Item

_TRIES: Final = 50  # attempts for every made-up text that is wanted
_ORDER: Final = 2  # letters from which the next one follows; our choice
_ALPHABETS: Final = ("0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def made_up_inputs(items: Sequence[Item], count: int, seed: int) -> list[str]:
    """Inputs that sound like those of the items and are none of them; fewer than `count` if not so many are found.

    Letters follow two letters as often as in the items' inputs (a Markov chain, our choice).
    """
    random = np.random.default_rng([seed, 2])
    following: defaultdict[str, list[str]] = defaultdict(list)
    for item in items:
        text = "\0" * _ORDER + item.input + "\0"
        for place in range(_ORDER, len(text)):
            following[text[place - _ORDER : place]].append(text[place])
    known, found = {item.input.casefold() for item in items}, dict[str, None]()
    longest = max((len(item.input) for item in items), default=0)
    for _ in range(_TRIES * count):
        if len(found) == count:
            break
        text = "\0" * _ORDER
        while len(text) < _ORDER + longest + 2 and (len(text) == _ORDER or text[-1] != "\0"):
            choices = following[text[-_ORDER:]]
            text += choices[int(random.integers(len(choices)))]
        made = text.strip("\0").strip()
        if made and text[-1] == "\0" and made.casefold() not in known:
            found[made] = None
    return list(found)


def made_up_outputs(items: Sequence[Item], seed: int) -> list[str | None]:
    """For each item an answer of the same form that is the answer of none: digits for digits, letters for letters.

    None where all answers of the form are taken, as far as a few draws find.
    """
    random, known = np.random.default_rng([seed, 3]), {item.output for item in items}
    found: list[str | None] = []
    for item in items:
        drawn = (_of_the_form(item.output, random) for _ in range(_TRIES))
        found.append(next((text for text in drawn if text not in known), None))
    return found


def _of_the_form(text: str, random: np.random.Generator) -> str:
    return "".join(
        next((alphabet[int(random.integers(len(alphabet)))] for alphabet in _ALPHABETS if letter in alphabet), letter)
        for letter in text
    )


def majority_output(items: Sequence[Item]) -> tuple[str, int]:
    """The most frequent answer of the items, and of how many it is; of equally frequent ones the first."""
    return Counter(item.output for item in items).most_common(1)[0]


def initials_guess(item: Item) -> bool:
    """Whether the answer can be read off the input: its first letters, or the first letters of its words, in any case.

    A baseline that knows nothing: AF of Afghanistan is no recall.
    """
    letters = "".join(letter for letter in item.input if letter.isalnum()).casefold()
    words = "".join(word[0] for word in item.input.split() if word[0].isalnum()).casefold()
    output = item.output.casefold()
    return output in (letters[: len(output)], words[: len(output)])
