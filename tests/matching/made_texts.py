"""Texts of made-up words, so that what two of them have in common is what was planted."""

import random

CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"


class Words:
    """Words that never repeat, of any length."""

    def __init__(self, seed: int = 0) -> None:
        self._random, self._made = random.Random(seed), set()

    def word(self, length: int = 7) -> str:
        while True:
            made = "".join(self._random.choice((CONSONANTS, VOWELS)[at % 2]) for at in range(length))
            if made not in self._made:
                self._made.add(made)
                return made

    def words(self, count: int, length: int = 7) -> list[str]:
        return [self.word(length) for _ in range(count)]

    def sentence(self, count: int = 8) -> str:
        return sentence(self.words(count))

    def text(self, sentences: int = 4) -> str:
        return " ".join(self.sentence() for _ in range(sentences))

    def run(self, characters: int) -> str:
        """Words and the spaces between them, of so many characters in all."""
        words = self.words(4, 6)
        return " ".join([*words, self.word(characters - len(" ".join(words)) - 1)])


def sentence(words: list[str]) -> str:
    return " ".join(words).capitalize() + "."
