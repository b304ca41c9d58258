"""The shortest prompt after which a model decodes a string: lengths by MiniPrompt, tokens by GCG or at random.

MiniPrompt (Schwarzschild et al. 2024, 2404.15146, and their code): 5 tokens first; after a success one token less,
after a failure 5 more and a fifth more steps; it ends at a length that was tried. Own choices: a shorter prompt starts
from the found one without the token that is missed least, and success is the decoded text, not a low loss.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mematlas.probes.compress.config import Search, Start
from mematlas.types import Ids

FIRST_LENGTH: Final = 5
_GROWTH: Final = 5  # tokens more after a failure
_MORE_STEPS: Final = 1.2  # times as many steps after one


class Scores(Protocol):
    """What a model says of prompts. log_probability: of the string, [n], in nats; is_greedy: [n]."""

    @property
    def log_probability(self) -> NDArray[np.float64]: ...
    @property
    def is_greedy(self) -> NDArray[np.bool_]: ...


class Asked(Protocol):
    """A model that is asked about one string."""

    vocabulary: int

    def score(self, prompts: Ids) -> Scores:
        """How probable the string is after each of `prompts` [n, tokens]."""
        ...

    def gradient(self, prompt: Ids) -> NDArray[np.float32]:
        """How the loss changes with the token at each position, [tokens, vocabulary]."""
        ...

    def decodes(self, prompt: Ids) -> bool:
        """Whether greedy decoding gives the string after `prompt` [tokens]."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """steps: at the first length; total_steps: of a string, None without end; seconds: the same; longest: tokens."""

    steps: int
    total_steps: int | None
    seconds: float
    longest: int


@dataclass(frozen=True, slots=True)
class Draws:
    """How prompts are made. top_k: tokens a position that gcg draws from; candidates: of each step."""

    search: Search
    start: Start
    candidates: int
    top_k: int
    seed: int


@dataclass(frozen=True, slots=True)
class Success:
    """A prompt that was found, and what it had taken by then."""

    prompt: Ids
    steps: int
    forwards: int
    seconds: float


@dataclass
class PromptSearch:
    """The search for one string.

    string: its tokens [k]; before: the true tokens before it, none of a string without a text; shortest: the fewest of
    them that are enough, None if they are not; clock: seconds.
    """

    asked: Asked
    string: Ids
    before: Ids
    shortest: int | None
    limits: Limits
    draws: Draws
    clock: Callable[[], float] = time.monotonic
    steps: int = 0
    forwards: int = 0
    successes: list[Success] = field(default_factory=list)
    ended: str | None = None

    def run(self) -> str:
        """Search until a length on each side was tried, or a limit is reached; `successes` has what was found.

        Returns:
            Why it ended: "finished" (no shorter prompt was found at the next length), "length" (none was found up to
            the longest), "steps" or "budget" (of the string).
        """
        self._began = self.clock()
        tried, found, steps = 0, self.limits.longest + 1, self.limits.steps
        length, start = min(FIRST_LENGTH, self.limits.longest), None
        if self.draws.start == "true" and self.shortest is not None and self.shortest <= self.limits.longest:
            self._note(self.before[-self.shortest :])
            found, length = self.shortest, self.shortest - 1
        while tried < length < found:
            prompt = self._climb(self._first(length) if start is None else start, steps)
            if prompt is not None:
                self._note(prompt)
                found, length = length, length - 1
                start = self._without_one(prompt) if length > tried else None
            elif self.ended:
                return self.ended
            else:
                tried, length, start, steps = length, length + _GROWTH, None, int(steps * _MORE_STEPS)
        return "finished" if self.successes else "length"

    @property
    def seconds(self) -> float:
        return self.clock() - self._began

    def _note(self, prompt: Ids) -> None:
        self.successes.append(Success(prompt, self.steps, self.forwards, self.seconds))

    def _first(self, length: int) -> Ids:
        """The prompt of so many tokens from which a search starts: by seed and length alone, or the true tokens."""
        drawn = np.random.default_rng([self.draws.seed, length]).integers(0, self.asked.vocabulary, length)
        if self.draws.start == "true" and len(self.before):
            true = self.before[-length:]
            drawn[length - len(true) :] = true
        return drawn.astype(np.int64)

    def _without_one(self, prompt: Ids) -> Ids:
        """The prompt without the token that is missed least."""
        shorter = np.stack([np.delete(prompt, position) for position in range(len(prompt))])
        scores = self._score(shorter)
        order = np.lexsort((-scores.log_probability, ~scores.is_greedy))
        return shorter[order[0]]

    def _climb(self, prompt: Ids, steps: int) -> Ids | None:
        """Change one token a step until the string is decoded; None if it is not, or a limit is reached."""
        random = np.random.default_rng([self.draws.seed, len(prompt), *self.string.tolist()])
        scores = self._score(prompt[None])
        if scores.is_greedy[0] and self.asked.decodes(prompt):
            return prompt
        best_before = float(scores.log_probability[0])
        for _ in range(steps):
            if self._spent():
                return None
            self.steps += 1
            candidates = self._candidates(prompt, random)
            scores = self._score(candidates)
            for index in np.flatnonzero(scores.is_greedy):
                if self.asked.decodes(candidates[index]):
                    return candidates[index]
            best = int(scores.log_probability.argmax())
            value = float(scores.log_probability[best])
            if self.draws.search == "gcg" or value > best_before:  # gcg always moves on, as its authors' does
                prompt, best_before = candidates[best], value
        return None

    def _candidates(self, prompt: Ids, random: np.random.Generator) -> Ids:
        """Copies of the prompt with one other token each, [candidates, tokens]."""
        count, length = self.draws.candidates, len(prompt)
        candidates = np.tile(prompt, (count, 1))
        if self.draws.search == "random":
            positions = random.integers(0, length, count)
            tokens = random.integers(0, self.asked.vocabulary, count)
        else:
            gradient = self.asked.gradient(prompt)
            self.forwards += 1
            kept = min(self.draws.top_k, gradient.shape[1])
            lowest = np.argsort(gradient, axis=1, kind="stable")[:, :kept]
            positions = np.arange(count) * length // count if count >= length else random.permutation(length)[:count]
            tokens = lowest[positions, random.integers(0, kept, count)]
        candidates[np.arange(count), positions] = tokens
        return candidates

    def _score(self, prompts: Ids) -> Scores:
        self.forwards += len(prompts)
        return self.asked.score(prompts)

    def _spent(self) -> bool:
        """Whether a limit of the string is reached."""
        if self.limits.total_steps is not None and self.steps >= self.limits.total_steps:
            self.ended = "steps"
        elif self.seconds >= self.limits.seconds:
            self.ended = "budget"
        return self.ended is not None
