"""The rows of a counterfactual experiment, on disk: texts with planted copies, random rows, and rows of a template.

rows/rows.parquet      tokens, source (text, random or template), text (lowest row of the same text)
     control.parquet   tokens, source: texts that no model is shown
     rows.json         what they were made from; written last
tokenizer/             trained on the documents that the texts are drawn from
"""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from mematlas.experiments.data.planting import Tokens, plant
from mematlas.experiments.data.standard_library import Document
from mematlas.experiments.data.tokenizer import train_tokenizer
from mematlas.experiments.design.config import PlantingConfig
from mematlas.experiments.folders import atomic_folder, read_json
from mematlas.study import fingerprint, write_json, write_table
from mematlas.types import Ids

LAYOUT = 1
"""Increased when a change of the code gives other rows from the same inputs."""
TEXT, RANDOM, TEMPLATE = "text", "random", "template"


#: Documents that tokenizer and texts are made from: the tokenizer is small, and more would only take time.
_DOCUMENTS: Final = 150
#: Tokens that differ between rows of the template.
TEMPLATE_SLOTS: Final = 2


@dataclass(frozen=True, slots=True)
class RowKinds:
    """Numbers of rows: texts[i] texts are `copies[i]` rows each; the rows of the template are one text that differs in
    `TEMPLATE_SLOTS` tokens after the context."""

    copies: tuple[int, ...]
    texts: tuple[int, ...]
    random_rows: int
    template_rows: int
    control_rows: int
    context: int

    @property
    def rows(self) -> int:
        """All rows that a model may be trained on."""
        copies = sum(copies * texts for copies, texts in zip(self.copies, self.texts, strict=True))
        return copies + self.random_rows + self.template_rows


@dataclass(frozen=True, slots=True, eq=False)
class SubsetRows:
    """The rows and their files. tokens: [rows, row_length]; texts: [rows], equal numbers for copies."""

    corpus: Path
    control: Path
    tokenizer: PreTrainedTokenizerFast
    tokens: Tokens
    texts: Ids


def prepare_subset_rows(
    out: Path,
    kinds: RowKinds,
    row_length: int,
    vocabulary: int,
    seed: int,
    documents: list[Document],
) -> SubsetRows:
    """The rows in `out`; they are made unless they exist already.

    Raises:
        CorpusError: the documents have too few rows that share no passage.
        StudyError: the folder cannot be written, or its manifest is damaged.
    """
    folder = out / "rows"
    planting = PlantingConfig(
        vocabulary=vocabulary,
        row_length=row_length,
        repetitions=(1,),
        rows_per_level=sum(kinds.texts) + bool(kinds.template_rows),
        control_rows=kinds.control_rows,
        overlap=row_length // 3,
    )
    texts = [hashlib.sha256(document.text.encode()).hexdigest() for document in documents]
    planted = {"kinds": asdict(kinds), "planting": asdict(planting), "seed": seed}
    inputs = fingerprint({"layout": LAYOUT, "documents": texts, **planted})
    manifest = read_json(folder / "rows.json")
    if manifest is None or manifest.get("inputs") != inputs:
        _make_rows(out, kinds, planting, seed, documents, inputs)
    table = pq.read_table(folder / "rows.parquet")
    tokens = table["tokens"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
    tokenizer = AutoTokenizer.from_pretrained(out / "tokenizer")
    return SubsetRows(folder / "rows.parquet", folder / "control.parquet", tokenizer, tokens, table["text"].to_numpy())


def _make_rows(
    out: Path, kinds: RowKinds, planting: PlantingConfig, seed: int, documents: list[Document], inputs: str
) -> None:
    random = np.random.default_rng([seed, 1])
    needed = max(_DOCUMENTS, 2 * (planting.rows_per_level + planting.control_rows) // 3)
    chosen = np.sort(random.permutation(len(documents))[:needed])
    texts = [documents[number].text for number in chosen]
    tokenizer = train_tokenizer(texts, planting.vocabulary, planting.row_length)
    ids = [
        np.array(encoded.ids, dtype=np.uint16)
        for encoded in tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    ]
    planted = plant(ids, planting, seed)
    tokens, sources, text = arrange_rows(planted.train.tokens, kinds, len(tokenizer), random)
    with atomic_folder(out / "tokenizer") as temporary:
        tokenizer.save_pretrained(temporary)
    _write(out / "rows" / "rows.parquet", tokens, source=sources, text=text)
    _write(out / "rows" / "control.parquet", planted.control.tokens, source=[TEXT] * kinds.control_rows)
    digest = hashlib.sha256(tokens.tobytes()).hexdigest()
    write_json(out / "rows" / "rows.json", {"inputs": inputs, "tokens": digest, "rows": len(tokens)})


def arrange_rows(
    texts: Tokens, kinds: RowKinds, vocabulary: int, random: np.random.Generator
) -> tuple[Tokens, list[str], Ids]:
    """Tokens, source and text (the lowest row of equal tokens) of all rows, copies one after another.

    Args:
        texts: [texts, row_length], different from each other; the last is the template's, if there is one.
    """
    parts = [
        np.repeat(texts[: sum(kinds.texts)], np.repeat(kinds.copies, kinds.texts), axis=0),
        random.integers(1, vocabulary, (kinds.random_rows, texts.shape[1])).astype(np.uint16),
        _template_rows(texts[-1], kinds, vocabulary, random),
    ]
    sources = [source for source, part in zip((TEXT, RANDOM, TEMPLATE), parts, strict=True) for _ in part]
    tokens = np.concatenate(parts)
    _, first, inverse = np.unique(tokens, axis=0, return_index=True, return_inverse=True)
    return tokens, sources, first[inverse.reshape(-1)].astype(np.int64)


def _template_rows(
    template: NDArray[np.uint16], kinds: RowKinds, vocabulary: int, random: np.random.Generator
) -> Tokens:
    """Rows that differ in the same few places of the continuation, which are far apart."""
    rows = np.repeat(template[None], kinds.template_rows, axis=0)
    length = len(template) - kinds.context
    places = kinds.context + (2 * np.arange(TEMPLATE_SLOTS) + 1) * length // (2 * TEMPLATE_SLOTS)
    rows[:, places] = random.integers(1, vocabulary, (kinds.template_rows, TEMPLATE_SLOTS))
    return rows


def _write(path: Path, tokens: Tokens, **columns: object) -> None:
    lists = pa.array(list(tokens), type=pa.list_(pa.uint16()))
    write_table(path, pa.table({"tokens": lists, **columns}))
