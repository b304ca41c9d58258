"""A model whose weights are loaded, as items ask it: greedy answers, samples, and the chances of given answers."""

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from mematlas.corpus.reading.places import place_values
from mematlas.errors import ModelError
from mematlas.models.base import Model, ModelCard
from mematlas.probes.items.answering import AnswerScores, Text
from mematlas.scoring.engines.prompting import greedy_continuations, sampled_continuations, score_continuations
from mematlas.types import Encoder, Ids


class LocalModel:
    """A loaded model with its tokenizer, as a `TextModel`.

    Args:
        card: of the model, for its length and the tokens that end a text.
    """

    def __init__(self, model: Model, card: ModelCard, encoder: Encoder) -> None:
        self._model, self._card, self._encoder = model, card, encoder
        self._start = card.bos if card.bos is not None else next(iter(card.eos), None)

    def complete(
        self, prompts: Sequence[str], *, max_tokens: int, temperature: float = 0.0, seed: int = 0, n: int = 1
    ) -> list[list[Text]]:
        """See `TextModel`; answers do not depend on the other prompts. Greedy answers are written once.

        Raises:
            ModelError: a prompt is longer than the model reads.
        """
        assert self._encoder.decode_windows is not None
        ids = [self._checked(np.array(tokens, np.int64), max_tokens) for tokens in self._encoder.encode(list(prompts))]
        if temperature == 0:
            written = self._decode(greedy_continuations(self._model, ids, max_tokens, self._card.eos))
            return [[Text(text)] * n for text in written]
        seeds = [(seed, sample, crc32(prompt.encode())) for prompt in prompts for sample in range(n)]
        several = [each for each in ids for _ in range(n)]
        sampled = sampled_continuations(self._model, several, max_tokens, temperature, seeds, self._card.eos)
        texts = [Text(text) for text in self._decode(sampled)]
        return [texts[first : first + n] for first in range(0, len(texts), n)]

    def score(self, prompt: str, answers: Sequence[str]) -> AnswerScores:
        """How probable each answer is, written right after the prompt.

        Raises:
            ModelError: prompt and answer are longer than the model reads.
        """
        place = place_values(self._encoder, prompt, answers, None, self._start)
        self._checked(place.prompt, max(map(len, place.values)))
        scores = score_continuations(self._model, place.prompt, place.values)
        return AnswerScores(
            np.concatenate([place.prompt, place.values[0]]),
            len(place.prompt),
            scores.log_probability.tolist(),
            scores.is_greedy.tolist(),
        )

    def token_count(self, text: str) -> int:
        """Number of tokens of a text by itself."""
        return len(self._encoder.encode([text])[0])

    def _decode(self, written: Sequence[Ids]) -> list[str]:
        assert self._encoder.decode_windows is not None
        return self._encoder.decode_windows([ids.tolist() for ids in written])

    def _checked(self, ids: Ids, more: int) -> Ids:
        """The prompt, if it fits with so many tokens more; one without tokens is that which starts a text."""
        longest = self._card.max_length
        if longest is not None and len(ids) + more > longest:
            raise ModelError(
                f"A prompt of {len(ids)} tokens and its answer of up to {more} are longer than {self._card.label} "
                f"reads ({longest}); shorten the prompts, or ask for fewer tokens."
            )
        if len(ids):
            return ids
        if self._start is None:
            raise ModelError(
                f"{self._card.label} names no token that starts or ends a text; give prompts that have words."
            )
        return np.array([self._start], np.int64)
