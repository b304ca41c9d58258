"""Hugging Face masked language models (BERT, RoBERTa ...): the states of hidden tokens, and the tokens around rows.

    row                    z_0   z_1    z_2   ...   z_{n-1}
    read by the model      CLS   z_0   MASK   z_2   ...   z_{n-1}   SEP      z_1 is hidden; its state gives the answer

What the tokenizer puts around a text (CLS and SEP here, nothing for some) is put around every row, as in training.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForMaskedLM

from mematlas.errors import ModelError
from mematlas.models.base import LoadOptions, ModelCard, first_line
from mematlas.models.causality import check_bidirectional
from mematlas.models.huggingface import find_tokenizer, load_tokenizer
from mematlas.models.loading import load_network
from mematlas.models.output_head.exact import exact_head


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """mask: id that stands for a hidden token; before, after: ids around a row; special: all ids that are no text."""

    mask: int
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    special: tuple[int, ...] = ()


class MaskedModel:
    """A loaded masked language model, split into its body (states) and its head (logits).

    max_length: the most tokens that it reads at once, with those around a row; None if unknown.
    """

    def __init__(self, network: Any, card: ModelCard, tokens: SpecialTokens, device: torch.device) -> None:
        self.network, self.tokens, self.device = network, tokens, device
        self.vocabulary = card.vocabulary
        self.max_length = _max_length(network, card)
        self._head = exact_head(network, self.vocabulary, device)

    @torch.inference_mode()
    def states(self, rows: Tensor, hidden: Tensor) -> Tensor:
        """The states of hidden tokens [rows * m, width], row by row; the logits if the network cannot be split.

        Args:
            rows: token ids [rows, length]; hidden: positions [rows, m] of the tokens to hide.
        """
        rows, hidden = rows.to(self.device), hidden.to(self.device)
        read = rows_as_read(rows, hidden, self.tokens)
        arguments = {"input_ids": read, "attention_mask": torch.ones_like(read)}
        if self._head is None:
            states = self.network(**arguments).logits
        else:
            states = self.network.base_model(**arguments).last_hidden_state
        places = (hidden + len(self.tokens.before))[..., None].expand(-1, -1, states.shape[-1])
        selected: Tensor = states.gather(1, places.to(states.device)).flatten(0, 1)
        return selected

    @torch.inference_mode()
    def head(self, states: Tensor) -> Tensor:
        """Logits [n, vocabulary] in float32, from states [n, width]."""
        return (states if self._head is None else self._head.logits(states)).float()


def rows_as_read(rows: Tensor, hidden: Tensor, tokens: SpecialTokens) -> Tensor:
    """What a model reads of rows [rows, length] of which the positions `hidden` [rows, m] are hidden."""
    before, after = (
        torch.tensor(ids, dtype=torch.int64, device=rows.device).expand(len(rows), -1)
        for ids in (tokens.before, tokens.after)
    )
    return torch.cat([before, rows.scatter(1, hidden, tokens.mask), after], dim=1)


@torch.inference_mode()
def load_masked(folder: str, card: ModelCard, options: LoadOptions, tokenizer: str | None = None) -> MaskedModel:
    """Load a masked language model from `folder` for scoring.

    Args:
        tokenizer: folder or name of the tokenizer with the mask token, instead of the one in `folder`.

    Raises:
        ModelError: transformers cannot load it, a weight is missing, it reads no later tokens, or its mask token is
            unknown.
    """
    network, device = load_network(AutoModelForMaskedLM, "masked", folder, card, options)
    tokens = read_special_tokens(tokenizer or folder, card)
    check_bidirectional(network, card.vocabulary, device, card.spec, card.max_length)
    return MaskedModel(network, card, tokens, device)


def read_special_tokens(name: str, card: ModelCard) -> SpecialTokens:
    """What the tokenizer in the folder or hub repository `name` says of the mask token, and what it puts around a text.

    Raises:
        ModelError: there is no tokenizer, or it has no mask token within the model's vocabulary.
    """
    try:
        tokenizer = load_tokenizer(str(find_tokenizer(name)[0]))
    except ModuleNotFoundError:
        raise
    except Exception as error:  # the tokenizers library raises no narrower type
        raise ModelError(
            f"{card.spec!r} has no tokenizer that can be loaded ({first_line(error)}), so its mask token is unknown; "
            "put the tokenizer into the model's folder, or name one with --tokenizer."
        ) from error
    mask = tokenizer.mask_token_id
    if mask is None or mask >= card.vocabulary:
        raise ModelError(
            f"The tokenizer of {card.spec!r} has no mask token within the model's vocabulary of {card.vocabulary}; a "
            "causal model is scored without --objective masked, another tokenizer is named with --tokenizer."
        )
    return special_tokens(tokenizer)


def special_tokens(tokenizer: Any) -> SpecialTokens:
    """The special tokens of a tokenizer of transformers that has a mask token."""
    mask = tokenizer.mask_token_id
    framed = tokenizer(tokenizer.mask_token, add_special_tokens=True, verbose=False)["input_ids"]
    place = framed.index(mask)
    special = tuple(sorted({*tokenizer.all_special_ids, mask}))
    return SpecialTokens(mask, tuple(framed[:place]), tuple(framed[place + 1 :]), special)


def _max_length(network: Any, card: ModelCard) -> int | None:
    """The card's length, less the positions that RoBERTa and its kin leave unused in front."""
    if card.max_length is None:
        return None
    embeddings = getattr(getattr(network.base_model, "embeddings", None), "position_embeddings", None)
    unused = getattr(embeddings, "padding_idx", None)
    return card.max_length - (0 if unused is None else unused + 1)
