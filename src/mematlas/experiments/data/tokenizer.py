"""A byte-level BPE tokenizer (Sennrich et al. 2016; bytes as in GPT-2), trained for the small families."""

import copy
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
"""The only special token of causal models. Its id is 0, as in GPT-NeoX."""
MASK = "<|mask|>"
"""What masked models read in the place of a hidden token."""


def train_tokenizer(texts: Iterable[str], vocabulary: int, longest_input: int) -> PreTrainedTokenizerFast:
    """A tokenizer of at most `vocabulary` entries; the same texts in the same order give the same tokenizer.

    Args:
        texts: the texts from which merges are learned.
        vocabulary: number of entries, including the 256 bytes and the end-of-text token.
        longest_input: maximum number of tokens that the models accept, recorded in the tokenizer.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        model_max_length=longest_input,
        clean_up_tokenization_spaces=False,
    )


def with_mask_token(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """A copy of the tokenizer with one token more, the last: the mask token of masked models."""
    masked = copy.deepcopy(tokenizer)
    masked.add_special_tokens({"mask_token": MASK})
    return masked


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer that a family was trained with, saved in `folder`."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))
