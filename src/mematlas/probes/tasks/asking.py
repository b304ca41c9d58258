"""What a model says of the outputs of a task: the probability of each span, and its own answer."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from mematlas.errors import ModelError
from mematlas.metrics.similarity import text_bleu
from mematlas.models.base import Model, ModelCard
from mematlas.probes.items.local_model import LocalModel
from mematlas.probes.tasks.examples import Example
from mematlas.probes.tasks.ngrams import Gram, clean, word_count
from mematlas.probes.tasks.token_spans import encode_located, tokens_of
from mematlas.scoring.engines.prompting import token_log_probabilities
from mematlas.types import Encoder

_EXTRA_TOKENS: Final = 3  # after the right answer, so that it is seen where a word ends


def span_scores(
    model: Model, card: ModelCard, encoder: Encoder, example: Example, spans: Sequence[tuple[int, Gram]]
) -> list[dict[str, Any]]:
    """Log-probability of spans (n, n-gram of the output), as `tables.SCORES`.

    A span is scored where it stands first in the output, after the prompt and the output before it, up to its last
    token and no further. All tokens are read at once, each after the true ones before it.

    Raises:
        ModelError: the text is longer than the model reads.
    """
    tokens, starts, ends = encode_located(encoder, example.text)
    if card.max_length is not None and len(tokens) > card.max_length:
        raise ModelError(
            f"Prompt and output of the example {example.item.id!r} have {len(tokens)} tokens, and {card.label} reads "
            f"{card.max_length}; shorten or leave out the example."
        )
    logs = np.append(np.nan, token_log_probabilities(model, tokens))
    found = []
    for n, gram in spans:
        own = tokens_of(starts, ends, example.start + gram.start, example.start + gram.end)
        total = float(logs[own].sum())
        found.append({"example": example.item.id, "n": n, "sy": gram.text, "tokens": len(own), "log_p_llm": total})
    return found


def answers(model: LocalModel, examples: Sequence[Example]) -> list[dict[str, Any]]:
    """Greedy answers to the prompts, as `tables.ANSWERS`.

    An answer is right if its first line begins with the words of the output, without case and punctuation: a base model
    goes on after the answer.
    """
    longest = max((model.token_count(example.gap + example.item.output) for example in examples), default=0)
    written = model.complete([example.before for example in examples], max_tokens=longest + _EXTRA_TOKENS)
    lines = [next((line.strip() for line in text.text.splitlines() if line.strip()), "") for (text,) in written]
    bleu = text_bleu(lines, [example.item.output for example in examples])
    return [
        {
            "example": example.item.id,
            "text": text.text,
            "right": begins_with(line, example.item.output),
            "bleu": float(score),
        }
        for example, (text,), line, score in zip(examples, written, lines, bleu, strict=True)
    ]


def begins_with(answer: str, output: str) -> bool:
    """Whether the first words of an answer are those of the output; never of an output without words."""
    count = word_count(output)
    return count > 0 and clean(answer).split(" ")[:count] == clean(output).split(" ")
