"""A byte-level BPE tokenizer, made on the spot: a character that it did not learn is one token per byte."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from mematlas.models.huggingface import tokenizer_encoder
from mematlas.types import Encoder

#: Long enough that windows of 64 tokens fit in; most of their characters have three bytes and as many tokens.
CHINESE = "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。床前明月光，疑是地上霜。举头望明月，低头思故乡。"
HINDI = "सब मनुष्य गरिमा और अधिकारों के मामले में जन्म से स्वतंत्र और समान हैं। उन्हें बुद्धि और अन्तरात्मा की देन है।"


def byte_level_encoder(folder: Path, learned: tuple[str, ...] = ("the cat sat on the mat",)) -> Encoder:
    """The encoder of a tokenizer in `folder` whose merges are learned from a few texts."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(learned, BpeTrainer(vocab_size=300, initial_alphabet=alphabet))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer_encoder(str(folder), tokenizer.get_vocab_size())
