"""The rows of a counterfactual experiment, on disk: texts with planted copies, random rows, and rows of a template.

rows/rows.parquet      tokens, source (text, random or template), text (lowest row of the same text)
     control.parquet   tokens, source: texts that no model is shown
     rows.json         what they were made from; written last
tokenizer/             trained on the documents
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from mematlas.experiments.data.planting import Tokens, plant
from mematlas.experiments.data.standard_library import Document
from mematlas.experiments.data.tokenizer import train_tokenizer
from mematlas.experiments.design.config import PlantingConfig
from mematlas.experiments.design.subsets import SubsetRows
from mematlas.experiments.folders import atomic_folder, read_json
from mematlas.study import fingerprint, write_json, write_table
from mematlas.types import Ids

LAYOUT = 1
"""Increased when a change of the code gives other rows from the same inputs."""
TEXT, RANDOM, TEMPLATE = "text", "random", "template"


@dataclass(frozen=True, slots=True)
class RowsFolder:
    """The rows, read from a folder. tokens: [rows, row_length]; texts: [rows], equal numbers for copies."""

    rows: Path
    control: Path
    tokenizer: PreTrainedTokenizerFast
    tokens: Tokens
    texts: Ids


def prepare_rows(out: Path, config: SubsetRows, seed: int, documents: Callable[[], list[Document]]) -> RowsFolder:
    """The rows in `out`; they are made unless they exist already.

    Raises:
        CorpusError: the documents have too few rows that share no passage.
        StudyError: the folder cannot be written, or its manifest is damaged.
    """
    folder = out / "rows"
    inputs = fingerprint({"layout": LAYOUT, "rows": asdict(config), "seed": seed})
    manifest = read_json(folder / "rows.json")
    if manifest is None or manifest.get("inputs") != inputs:
        _make_rows(out, config, seed, documents(), inputs)
    table = pq.read_table(folder / "rows.parquet")
    tokens = table["tokens"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
    tokenizer = AutoTokenizer.from_pretrained(out / "tokenizer")
    return RowsFolder(folder / "rows.parquet", folder / "control.parquet", tokenizer, tokens, table["text"].to_numpy())


def _make_rows(out: Path, config: SubsetRows, seed: int, documents: list[Document], inputs: str) -> None:
    random = np.random.default_rng([seed, 1])
    chosen = np.sort(random.permutation(len(documents))[: config.documents])
    texts = [documents[number].text for number in chosen]
    tokenizer = train_tokenizer(texts, config.vocabulary, config.row_length)
    ids = [
        np.array(encoded.ids, dtype=np.uint16)
        for encoded in tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    ]
    planting = PlantingConfig(
        vocabulary=config.vocabulary,
        row_length=config.row_length,
        repetitions=(1,),
        rows_per_level=config.number_of_texts + bool(config.template_rows),
        control_rows=config.control_rows,
        overlap=config.row_length // 3,
    )
    planted = plant(ids, planting, seed)
    tokens, sources, text = arrange_rows(planted.train.tokens, config, len(tokenizer), random)
    with atomic_folder(out / "tokenizer") as temporary:
        tokenizer.save_pretrained(temporary)
    _write(out / "rows" / "rows.parquet", tokens, source=sources, text=text)
    _write(out / "rows" / "control.parquet", planted.control.tokens, source=[TEXT] * config.control_rows)
    digest = hashlib.sha256(tokens.tobytes()).hexdigest()
    write_json(out / "rows" / "rows.json", {"inputs": inputs, "tokens": digest, "rows": len(tokens)})


def arrange_rows(
    texts: Tokens, config: SubsetRows, vocabulary: int, random: np.random.Generator
) -> tuple[Tokens, list[str], Ids]:
    """Tokens, source and text (the lowest row of equal tokens) of all rows, copies one after another.

    Args:
        texts: [texts, row_length], different from each other; the last is the template's, if there is one.
    """
    copies = np.repeat([copies for copies, _ in config.texts], [number for _, number in config.texts])
    parts = [
        np.repeat(texts[: config.number_of_texts], copies, axis=0),
        random.integers(1, vocabulary, (config.random_rows, config.row_length)).astype(np.uint16),
        _template_rows(texts[-1], config, vocabulary, random),
    ]
    sources = [source for source, part in zip((TEXT, RANDOM, TEMPLATE), parts, strict=True) for _ in part]
    tokens = np.concatenate(parts)
    _, first, inverse = np.unique(tokens, axis=0, return_index=True, return_inverse=True)
    return tokens, sources, first[inverse.reshape(-1)].astype(np.int64)


def _template_rows(
    template: NDArray[np.uint16], config: SubsetRows, vocabulary: int, random: np.random.Generator
) -> Tokens:
    """Rows that differ in the same few places of their second half, which are far apart."""
    rows = np.repeat(template[None], config.template_rows, axis=0)
    half = config.row_length // 2
    places = (
        half + (np.arange(config.template_slots) * half) // config.template_slots + half // config.template_slots // 2
    )
    rows[:, places] = random.integers(1, vocabulary, (config.template_rows, config.template_slots))
    return rows


def _write(path: Path, tokens: Tokens, **columns: object) -> None:
    lists = pa.array(list(tokens), type=pa.list_(pa.uint16()))
    write_table(path, pa.table({"tokens": lists, **columns}))
