"""A tiny masked language model with a tokenizer, random or trained for seconds on the rows it is to know."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM

#: Ids 0 to 4 are special, the others are words w5 ... w59.
VOCABULARY = 60
PAD, UNK, CLS, SEP, MASK = range(5)
_SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}


def bert(seed: int = 0, **options) -> BertForMaskedLM:
    """A BERT with random weights, 2 layers of width 32."""
    torch.manual_seed(seed)
    return BertForMaskedLM(BertConfig(**_sizes(), **options)).eval()


def roberta() -> RobertaForMaskedLM:
    """A RoBERTa with random weights; of its 34 positions the first two are unused."""
    torch.manual_seed(0)
    return RobertaForMaskedLM(RobertaConfig(**{**_sizes(), "max_position_embeddings": 34}, pad_token_id=1)).eval()


def _sizes() -> dict[str, int]:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 40,
    }


def save(network: torch.nn.Module, folder: Path, *, around: bool = True) -> Path:
    """Save the network with its tokenizer. around: whether the tokenizer puts [CLS] and [SEP] around a text."""
    words = [*_SPECIAL.values(), "[MASK]", *(f"w{number}" for number in range(5, VOCABULARY))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if around:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
        )
    network.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token="[MASK]", **_SPECIAL).save_pretrained(folder)
    return folder


def rows(count: int, length: int, seed: int = 0) -> NDArray[np.int64]:
    """Random rows of words, without special tokens."""
    return np.random.default_rng(seed).integers(5, VOCABULARY, (count, length))


def train(network: BertForMaskedLM, known: NDArray[np.int64], steps: int = 300) -> BertForMaskedLM:
    """Train the network until it names hidden tokens of the rows `known`."""
    generator = torch.Generator().manual_seed(0)
    text = torch.nn.functional.pad(
        torch.nn.functional.pad(torch.from_numpy(known), (1, 0), value=CLS), (0, 1), value=SEP
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3, weight_decay=0)
    network.config.hidden_dropout_prob = network.config.attention_probs_dropout_prob = 0.0
    for _ in range(steps):  # in evaluation mode: without dropout
        hidden = torch.rand(text.shape, generator=generator) < 0.25
        hidden[:, 0] = hidden[:, -1] = False
        loss = network(input_ids=text.masked_fill(hidden, MASK), labels=text.masked_fill(~hidden, -100)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network
