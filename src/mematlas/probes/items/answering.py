"""Models as items ask them: texts in, texts out; and, of a model that is loaded, the chances of given answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mematlas.types import Ids


class Written(Protocol):
    """An answer of a model."""

    @property
    def text(self) -> str: ...


class TextModel(Protocol):
    """A model that continues or answers texts: one behind an API, or `local_model.LocalModel`."""

    def complete(
        self, prompts: Sequence[str], *, max_tokens: int, temperature: float = 0.0, seed: int = 0, n: int = 1
    ) -> Sequence[Sequence[Written]]:
        """For each prompt its n answers, in order.

        Args:
            max_tokens: most tokens of an answer; temperature: 0 is greedy decoding; seed: of the samples.
        """
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """A text that a local model wrote."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class AnswerScores:
    """What a model says of some answers after one prompt.

    tokens: [prompt and first answer]; context: tokens of the prompt; log_probability: [answers] in nats, of all tokens
    together; is_greedy: [answers], whether every token is the most probable one after those before it.
    """

    tokens: Ids
    context: int
    log_probability: Sequence[float]
    is_greedy: Sequence[bool]


@runtime_checkable
class ScoringModel(TextModel, Protocol):
    """A text model that also says how probable given answers are: `local_model.LocalModel`."""

    def score(self, prompt: str, answers: Sequence[str]) -> AnswerScores:
        """How probable each answer is, written right after the prompt."""
        ...

    def token_count(self, text: str) -> int:
        """Number of tokens of a text by itself."""
        ...
