"""A planted table of made-up names and codes, each stated so many times in a corpus: facts of known popularity.

FOLDER/items.csv           id, input (the name), output (its code), shown (sentences that state it)
       tokenizer/          byte-level BPE, learned from the sentences
       train.parquet       rows of sentences, each with the end-of-text token after it; none goes from row to row
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from mematlas.experiments.data.tokenizer import train_tokenizer
from mematlas.experiments.folders import atomic_folder
from mematlas.io.paths import write_atomically

#: The first states three in four facts of a name, the second the others.
SENTENCES: Final = ("The code of {input} is {output}.", "{input} has the code {output}.")
_EVERY: Final = 4  # each so many-th sentence on a name is of the second form
_SYLLABLES: Final = ("ba", "den", "fi", "gor", "hul", "ka", "lem", "mo", "nar", "pel", "ri", "sto", "tu", "ven", "wim")


@dataclass(frozen=True, slots=True)
class CodeTableConfig:
    """The table. repetitions: how often the facts of each level are stated; per_level: facts of each; 8 x 50 = 400.

    vocabulary: of the tokenizer; row_length: tokens a row; seed: of names, codes and order.
    """

    repetitions: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32, 64)
    per_level: int = 50
    vocabulary: int = 800
    row_length: int = 96
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class CodeTable:
    """The table in its folder. tokens: [rows, row_length], what is trained on; tokenizer: of it."""

    folder: Path
    tokens: NDArray[np.int64]
    tokenizer: PreTrainedTokenizerFast

    @property
    def items(self) -> Path:
        return self.folder / "items.csv"

    @property
    def corpus(self) -> Path:
        return self.folder / "train.parquet"

    @property
    def tokenizer_folder(self) -> Path:
        return self.folder / "tokenizer"


def write_code_table(folder: Path, config: CodeTableConfig) -> CodeTable:
    """Write the table, its corpus and tokenizer to `folder`; the same configuration gives the same files.

    Raises:
        StudyError: the folder cannot be written.
    """
    random = np.random.default_rng([config.seed, 40])
    count = config.per_level * len(config.repetitions)
    names, codes = _names(count, random), _codes(count, random)
    shown = np.repeat(config.repetitions, config.per_level)[random.permutation(count)]
    sentences = [
        SENTENCES[number % _EVERY == _EVERY - 1].replace("{input}", name).replace("{output}", code)
        for name, code, times in zip(names, codes, shown.tolist(), strict=True)
        for number in range(times)
    ]
    sentences = [sentences[place] for place in random.permutation(len(sentences))]
    tokenizer = train_tokenizer(sorted(sentences), config.vocabulary, config.row_length)
    tokens = _rows(tokenizer(sentences)["input_ids"], config.row_length, tokenizer.eos_token_id)
    with atomic_folder(folder / "tokenizer") as temporary:
        tokenizer.save_pretrained(temporary)
    frame = pl.DataFrame({"id": range(count), "input": names, "output": codes, "shown": shown})
    write_atomically(folder / "items.csv", frame.write_csv)
    rows = pl.DataFrame({"tokens": tokens.astype(np.uint16).tolist()}, schema={"tokens": pl.List(pl.UInt16)})
    write_atomically(folder / "train.parquet", rows.write_parquet)
    return CodeTable(folder, tokens, tokenizer)


def _names(count: int, random: np.random.Generator) -> list[str]:
    """Different names of two made-up words."""
    found: dict[str, None] = {}
    while len(found) < count:
        words = ["".join(random.choice(_SYLLABLES, size)) for size in random.integers(2, 4, 2)]
        found[" ".join(word.capitalize() for word in words)] = None
    return list(found)


def _codes(count: int, random: np.random.Generator) -> list[str]:
    """Different codes of two letters and two digits, which have nothing to do with the names."""
    found: dict[str, None] = {}
    while len(found) < count:
        letters = "".join(chr(65 + letter) for letter in random.integers(0, 26, 2).tolist())
        found[f"{letters}{int(random.integers(0, 100)):02}"] = None
    return list(found)


def _rows(sentences: Sequence[Sequence[int]], length: int, end: int) -> NDArray[np.int64]:
    """Sentences in their order in rows, each with `end` after it; the rest of a row is filled with `end`."""
    rows: list[list[int]] = [[]]
    for ids in sentences:
        if len(rows[-1]) + len(ids) + 1 > length:
            rows.append([])
        rows[-1] += [*ids, end]
    return np.array([row[:length] + [end] * (length - len(row)) for row in rows], np.int64)
