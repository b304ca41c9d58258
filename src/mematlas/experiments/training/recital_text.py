"""The length that P3's own code measures: on text instead of token ids.

Source: the authors' script of P3, with its properties: the generated and the true text are compared as words of ASCII
letters and digits, from the front; the number of common characters cuts the raw true text, which is tokenized again, so
that a length is never below 1; the last start of every prompt is left out; answers that stand in their prompt are
dropped. `recital.py` measures the same on token ids, exactly. This needs a generation for every prompt.
"""

import re
from itertools import takewhile
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from mematlas.experiments.training.recital import LONGEST_COPY, Recital
from mematlas.models.base import Model
from mematlas.models.causal import CausalModel
from mematlas.scoring.engines.prompting import greedy_continuations

_WORD: Final = re.compile(r"[A-Za-z0-9]+")
_BEGINNING: Final = 32
"""An output whose first characters, so many, stand in the prompt is a copy."""


def measure_text(
    network: Any, tokens: NDArray[Any], recital: Recital, tokenizer: PreTrainedTokenizerBase, device: torch.device
) -> NDArray[np.float64]:
    """The longest piece of each of `tokens` [sequences, at least recital.length], in tokens of its text."""
    vocabulary = network.get_input_embeddings().weight.shape[0]
    return recite_text(CausalModel(network, vocabulary, device), tokens, recital, tokenizer)


def recite_text(
    model: Model, tokens: NDArray[Any], recital: Recital, tokenizer: PreTrainedTokenizerBase
) -> NDArray[np.float64]:
    """As `measure_text`, with any causal model; 0 if no prompt is left."""
    cells = [(start, k) for start, k in recital.cells if start + k + recital.cap < recital.length]
    longest = np.zeros(len(tokens))
    for number, sequence in enumerate(np.asarray(tokens[:, : recital.length], dtype=np.int64)):
        prompts = [sequence[start : start + k] for start, k in cells]
        outputs = greedy_continuations(model, prompts, recital.cap)
        for (start, k), prompt, output in zip(cells, prompts, outputs, strict=True):
            true = sequence[start + k : start + k + recital.cap]
            asked, given, wanted = (str(tokenizer.decode(ids.tolist())) for ids in (prompt, output, true))
            longest[number] = max(longest[number], text_length(asked, given, wanted, tokenizer))
    return longest


def text_length(prompt: str, output: str, true: str, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens of the true text that the output begins with; 0 for a copy of what stands in the prompt."""
    pairs = zip(_words(output), _words(true), strict=False)
    common = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    length = len(tokenizer(true[: len(common) + 1], add_special_tokens=False)["input_ids"])
    is_copy = common in prompt or output[:_BEGINNING] in prompt
    return 0 if length > LONGEST_COPY and is_copy else length


def _words(text: str) -> str:
    return " ".join(_WORD.findall(text))
