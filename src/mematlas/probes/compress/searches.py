"""The searches of `mematlas probe compress`: a model is asked, and each string is one shard."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import OptionError
from mematlas.models.base import Model
from mematlas.probes.compress.config import CompressConfig
from mematlas.probes.compress.search import Draws, Limits, PromptSearch
from mematlas.probes.compress.strings import String
from mematlas.probes.rows.looks import RowLooks
from mematlas.probes.rows.opening import ProbedRows, Reaction, RowProbe, react
from mematlas.scoring.engines.prompting import ContinuationScores, score_prompts
from mematlas.scoring.engines.token_gradients import TokenGradients
from mematlas.types import Ids

_TIMES_STRING = 5  # tokens of the longest prompt by default, over those of the string, as the authors' code


class AskedModel:
    """A model that is asked about one string (see `search.Asked`). gradients: None if none are needed."""

    def __init__(
        self, model: Model, probe: RowProbe, string: Ids, batch: int, gradients: TokenGradients | None
    ) -> None:
        self._model, self._probe, self._string, self._batch = model, probe, string, batch
        self._gradients = gradients
        self.vocabulary = model.vocabulary

    def score(self, prompts: Ids) -> ContinuationScores:
        return score_prompts(self._model, prompts, self._string, self._batch)

    def gradient(self, prompt: Ids) -> NDArray[np.float32]:
        assert self._gradients is not None
        return self._gradients(prompt, self._string)

    def decodes(self, prompt: Ids) -> bool:
        """By the ordinary engine, alone: what a batch only seems to give does not count."""
        tokens = np.concatenate([prompt, self._string])[None]
        row = ProbedRows(np.zeros(1, np.int64), np.zeros(1, np.bool_), tokens, len(prompt), 0)
        return bool(react(self._model, self._probe.source.card, row, 1).matches[0] == len(self._string))


class StringSearches(RowLooks):
    """Makes the shards; the model is loaded when one needs it."""

    def __init__(self, probe: RowProbe, config: CompressConfig) -> None:
        super().__init__(probe, config)
        self.config = config
        self.strings: list[String] = []

    @cached_property
    def gradients(self) -> TokenGradients | None:
        if self.config.search == "random":
            return None
        return TokenGradients(self.model, repr(self.probe.source.card.spec))

    @cached_property
    def reaction(self) -> Reaction:
        """What the model recites of the rows as they are."""
        _ = self.gradients  # refuses models without any before the first row is read
        return self.react(self.model, self.rows)

    def longest(self, string: String) -> int:
        """Tokens of the longest prompt that may be tried.

        Raises:
            OptionError: the model takes none beside the string.
        """
        asked = self.config.longest or _TIMES_STRING * len(string.tokens)
        room = self.probe.source.card.max_length
        if room is not None and room <= len(string.tokens):
            raise OptionError(
                f"A string of {len(string.tokens)} tokens leaves no prompt in the {room} that "
                f"{self.probe.source.card.label} takes; give shorter ones (--continuation, --strings)."
            )
        return asked if room is None else min(asked, room - len(string.tokens))

    def search(self, index: int) -> Mapping[str, Any]:
        """The record of the string with this number."""
        string, config = self.strings[index], self.config
        asked = AskedModel(self.model, self.probe, string.tokens, config.batch, self.gradients)
        shortest = shortest_context(asked, string.before)
        limits = Limits(config.steps, config.total_steps, config.budget, self.longest(string))
        draws = Draws(config.search, config.start, config.candidates, config.top_k, config.seed)
        search = PromptSearch(asked, string.tokens, string.before, shortest, limits, draws)
        reason = search.run()
        return self._record(index, search, reason)

    def _record(self, index: int, search: PromptSearch, reason: str) -> Mapping[str, Any]:
        string, found = self.strings[index], search.successes
        prompt = found[-1].prompt if found else None
        tokens, shortest = len(string.tokens), search.shortest
        record = {
            "model": self.probe.source.card.label,
            "string": index,
            "class": string.kind,
            "row": string.row,
            "tokens": tokens,
            "prompt_tokens": None if prompt is None else len(prompt),
            "ratio": None if prompt is None else tokens / len(prompt),
            "success": prompt is not None,
            "reason": reason,
            "start": self.config.start if len(string.before) else "random",
            "longest": search.limits.longest,
            "context_tokens": shortest,
            "bound": None if shortest is None else tokens / shortest,
            "steps": search.steps,
            "forwards": search.forwards,
            "seconds": search.seconds,
            "string_ids": string.tokens.tolist(),
            "prompt_ids": None if prompt is None else prompt.tolist(),
            "string_text": self._text(string.tokens),
            "prompt_text": None if prompt is None else self._text(prompt),
            "found_tokens": [len(success.prompt) for success in found],
            "found_steps": [success.steps for success in found],
            "found_forwards": [success.forwards for success in found],
            "found_seconds": [success.seconds for success in found],
        }
        return {name: [value] for name, value in record.items()}

    def _text(self, ids: Ids) -> str | None:
        """The text of tokens; None without a tokenizer that knows them all."""
        encoder = self.probe.encoder
        if encoder is None or encoder.decode_windows is None or ids.max() >= encoder.vocabulary:
            return None
        return encoder.decode_windows([ids.tolist()])[0]


def shortest_context(asked: AskedModel, before: Ids) -> int | None:
    """The fewest of the last true tokens after which the string is decoded; None if no number of them is enough.

    Every number is tried: that a longer context recites does not mean that a shorter one does, nor the other way round.
    """
    for count in range(1, len(before) + 1):
        context = before[len(before) - count :]
        if asked.score(context[None]).is_greedy[0] and asked.decodes(context):
            return count
    return None
