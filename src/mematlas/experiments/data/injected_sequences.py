"""The sequences that are injected into a training: text that is never shown otherwise, and what is no text.

text      the first tokens of a row of held-out text
shuffled  the tokens of another such row, in random order
random    tokens drawn uniformly from the vocabulary
canary    a phrase, the same in all canaries, and random digits (K5)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from mematlas.experiments.data.study_rows import ExperimentRows
from mematlas.study import write_table

Kind = Literal["text", "shuffled", "random", "canary"]
#: Kinds that take up a row of held-out text each.
OF_TEXT: tuple[Kind, ...] = ("text", "shuffled")


@dataclass(frozen=True, slots=True, eq=False)
class InjectedRows:
    """tokens: [sequences + background + held_out, row_length], in this order; a sequence is the first `length` tokens
    of its row; kinds: of every row; corpus, control: files with the sequences and with the held-out rows."""

    tokens: NDArray[Any]
    kinds: tuple[str, ...]
    sequences: int
    held_out: NDArray[np.int64]
    corpus: Path
    control: Path
    tokenizer: PreTrainedTokenizerBase


def make_sequences(rows: ExperimentRows, kinds: Sequence[Kind], length: int, phrase: str, seed: int) -> InjectedRows:
    """Sequences of these kinds, in front of the background and of the held-out rows that they leave.

    The files of `rows` are replaced: they have the sequences and the held-out rows now.
    """
    texts = iter(rows.control_positions.tolist())
    rng = np.random.default_rng(seed)
    sequences = np.zeros((len(kinds), rows.tokens.shape[1]), dtype=rows.tokens.dtype)
    origins: list[int | None] = []
    for number, kind in enumerate(kinds):
        origin = next(texts) if kind in OF_TEXT else None
        text = None if origin is None else rows.tokens[origin, :length]
        sequences[number, :length] = _sequence(kind, text, length, phrase, rows.tokenizer, rng)
        origins.append(origin)
    held_out = np.array(list(texts))
    tokens = np.concatenate([sequences, rows.tokens[: rows.train], rows.tokens[held_out]])
    write_sequence_files(rows, sequences[:, :length], kinds, origins)
    labels = (*kinds, *["background"] * rows.train, *["held-out"] * len(held_out))
    first = len(kinds) + rows.train
    positions = np.arange(first, first + len(held_out))
    return InjectedRows(tokens, labels, len(kinds), positions, rows.corpus, rows.control, rows.tokenizer)


def _sequence(
    kind: Kind, text: Any, length: int, phrase: str, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator
) -> NDArray[np.int64]:
    if kind == "text":
        return np.asarray(text)
    if kind == "shuffled":
        return rng.permutation(text)
    if kind == "random":
        return rng.integers(1, len(tokenizer), length)  # token 0 ends texts
    digits = "".join(map(str, rng.integers(0, 10, 8 * length)))  # a token has 8 digits at most
    encoded = tokenizer(phrase + digits, add_special_tokens=False, truncation=True, max_length=length)
    return np.array(encoded["input_ids"])


def write_sequence_files(
    rows: ExperimentRows, sequences: NDArray[Any], kinds: Sequence[str], origins: Sequence[int | None]
) -> None:
    """Replace the files of rows by those of the sequences [sequences, tokens] and of the held-out rows that are left.

    Args:
        origins: for each sequence, the position in `rows.tokens` of the held-out row it is made of; None for none.
    """
    known = pq.read_table(rows.control)
    documents, sources = known["document"].to_pylist(), known["source"].to_pylist()
    new = count(1 + max(documents, default=0))
    of_sequences = [
        (next(new), kind) if origin is None else (documents[origin - rows.train], sources[origin - rows.train])
        for kind, origin in zip(kinds, origins, strict=True)
    ]
    column = pa.array(list(sequences), type=known.schema.field("tokens").type)
    table = pa.table(
        {"tokens": column, "document": [d for d, _ in of_sequences], "source": [s for _, s in of_sequences]}
    )
    write_table(rows.corpus, table)
    taken = sum(origin is not None for origin in origins)
    write_table(rows.control, known.slice(taken))
