"""Words of a prompt replaced by similar ones: the semantic perturbation of P3, by a map that the user gives.

A word may cover several tokens, and share its first or last one with other characters. The tokens that it covers are
replaced by those of their text with the new word; all others stay as they are.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from mematlas.errors import OptionError
from mematlas.types import Encoder, Ids

_PART_OF_A_CHARACTER = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True, eq=False)
class Synonyms:
    """Lower-case words and what may replace each, and the tokenizer of the prompts."""

    words: Mapping[str, tuple[str, ...]]
    encoder: Encoder

    def found_in(self, prompt: Ids) -> list["Place"]:
        """The words of a prompt that can be replaced, in order; no two share a token."""
        assert self.encoder.decode is not None
        texts = self.encoder.decode([int(token) for token in prompt])
        ends = list(accumulate(len(text) for text in texts))
        starts = [0, *ends[:-1]]
        places: list[Place] = []
        for match in self._pattern().finditer("".join(texts)):
            first = next(i for i, end in enumerate(ends) if end > match.start())
            last = next(i for i, end in enumerate(ends) if end >= match.end())
            covered = "".join(texts[first : last + 1])
            if _PART_OF_A_CHARACTER in covered or (places and places[-1].stop > first):
                continue
            before, after = covered[: match.start() - starts[first]], covered[match.end() - starts[first] :]
            parts = (self._tokens(before, _as_written(match[0], word), after) for word in self.words[match[0].lower()])
            options = tuple(tokens for tokens in parts if tokens is not None)
            if options:
                places.append(Place(first, last + 1, options))
        return places

    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.words, key=len, reverse=True)
        return re.compile(rf"\b({'|'.join(map(re.escape, longest_first))})\b", re.IGNORECASE)

    def _tokens(self, before: str, word: str, after: str) -> tuple[int, ...] | None:
        """The tokens of a text; None if the tokenizer, at the beginning of a text, writes it in another way."""
        text = f"{before}{word}{after}"
        tokens = self.encoder.encode([text])[0]
        assert self.encoder.decode is not None
        return tuple(tokens) if "".join(self.encoder.decode(tokens)) == text else None


@dataclass(frozen=True, slots=True)
class Place:
    """Tokens start .. stop - 1 of a prompt, which hold a word, and the tokens that may stand there instead."""

    start: int
    stop: int
    options: tuple[tuple[int, ...], ...]


def _as_written(old: str, new: str) -> str:
    """The new word with a capital letter if the old one has one."""
    return new[:1].upper() + new[1:] if old[:1].isupper() else new


def replaced_prompts(
    prompt: Ids, places: list[Place], draws: int, random: np.random.Generator
) -> Iterator[tuple[int, Ids]]:
    """Prompts with words replaced, each with their number: one word at `draws` places, and all words `draws` times."""
    chosen = sorted(random.permutation(len(places))[:draws].tolist())
    seen = set()
    candidates = [*([places[number]] for number in chosen), *([places] * draws if len(places) > 1 else [])]
    for number, group in enumerate(candidates):
        changed = prompt
        for place in reversed(group):  # from the end, so that earlier positions stay
            tokens = np.array(place.options[number % len(place.options)], dtype=np.int64)
            changed = np.concatenate([changed[: place.start], tokens, changed[place.stop :]])
        if changed.tobytes() not in seen:
            seen.add(changed.tobytes())
            yield len(group), changed


def read_synonyms(path: Path, encoder: Encoder | None) -> Synonyms:
    """The map in a JSON file: word -> a word, or a list of words.

    Raises:
        OptionError: it cannot be read, is no such map, or there is no tokenizer to read prompts with.
    """
    if encoder is None or encoder.decode is None:
        raise OptionError(f"--synonyms {path} replaces words, which needs a tokenizer; name one with --tokenizer.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"--synonyms {path} cannot be read ({error}); name a JSON file.") from None
    return Synonyms(dict(_checked(path, content)), encoder)


def _checked(path: Path, content: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    for word, given in content.items() if isinstance(content, dict) and content else [("", None)]:
        words = [given] if isinstance(given, str) else given
        if not word or not isinstance(words, list) or not words or not all(isinstance(w, str) and w for w in words):
            raise OptionError(
                f'--synonyms {path} is no map of words; write {{"big": ["large", "huge"]}}: each word with what may '
                "replace it."
            )
        yield word.lower(), tuple(words)
