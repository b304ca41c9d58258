"""A corpus of sentences in which names have their right codes in some of eight documents, and a model of it."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from mematlas.corpus.opening import open_corpus
from mematlas.index.building import IndexOptions, build_index
from mematlas.models.huggingface import tokenizer_encoder
from mematlas.types import Encoder
from tests.tiny_networks import neox, save_network

NAMES = 24
DOCUMENTS = 8  # of each name
TEMPLATE = "Code of {input} is {output}"


def name(number: int) -> str:
    return "kptsm"[number % 5] + "ao"[number % 2] + "lnrv"[number // 2 % 4] + "iu"[number // 8 % 2] + "xyz"[number // 8]


def code(number: int) -> str:
    return f"q{chr(97 + number % 26)}{number // 2 % 10}"


def right_times(number: int) -> int:
    """In how many documents of a name its right code stands."""
    return 1 + number % DOCUMENTS


def sentences() -> list[str]:
    random = np.random.default_rng(3)
    made = []
    for number in range(NAMES):
        others = [code(other) for other in range(NAMES) if other != number]
        for repeat in range(DOCUMENTS):
            right = repeat < right_times(number)
            made.append(f"Code of {name(number)} is {code(number) if right else random.choice(others)}")
    return made


def text_encoder(folder: Path, texts: list[str], size: int = 900) -> Encoder:
    """A byte-level tokenizer in `folder` for which every word of the texts is a token."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(texts, BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')  # adds no token
    return tokenizer_encoder(str(folder), tokenizer.get_vocab_size())


def write_index(folder: Path, texts: list[str], encoder: Encoder, tokenizer: Path) -> Path:
    """An index of texts, each a document."""
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"tokens": encoder.encode(texts)}).write_parquet(folder / "corpus.parquet")
    corpus = open_corpus(folder / "corpus.parquet")
    facts = {"tokenizer": str(tokenizer), "tokenizer_fingerprint": encoder.fingerprint}
    build_index(corpus, folder / "index", IndexOptions("c", encoder.vocabulary, workers=1, **facts))
    return folder / "index"


def write_task(path: Path) -> Path:
    lines = [json.dumps({"id": f"e{n}", "input": name(n), "output": code(n)}) + "\n" for n in range(NAMES)]
    path.write_text("".join(lines))
    return path


def write_world(folder: Path, steps: int = 150) -> Path:
    """Corpus, index, task, a trained model and an untrained one."""
    texts = sentences()
    encoder = text_encoder(folder / "trained", texts)
    text_encoder(folder / "untrained", texts)
    write_index(folder, texts, encoder, folder / "trained")
    write_task(folder / "task.jsonl")
    rows = torch.tensor(encoder.encode(texts))
    network = neox(encoder.vocabulary, hidden_size=48, intermediate_size=96)
    save_network(network, folder / "untrained")
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(steps):
        network(input_ids=rows, labels=rows).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    save_network(network.eval(), folder / "trained")
    return folder
