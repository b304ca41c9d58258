"""The planted corpus on disk: Parquet tables that mematlas reads like any other corpus, the tokenizer and the order.

tokenizer/             tokenizer.json and its configuration
corpus/train.parquet   tokens (list<uint16>), repetitions (int64), document (int64), source (string)
corpus/control.parquet the same columns; repetitions are 0
corpus/order.npy       [presentations] int64: the stream of row numbers in train.parquet
corpus/corpus.json     the manifest, written last
"""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from mematlas.experiments.data.planting import PlantedRows, Planting, Tokens, plant
from mematlas.experiments.data.standard_library import Document
from mematlas.experiments.data.tokenizer import train_tokenizer
from mematlas.experiments.design.config import TrainingConfig
from mematlas.experiments.folders import atomic_folder, read_json
from mematlas.study import fingerprint, translate_os_errors, write_atomically, write_json, write_table
from mematlas.types import Ids

LAYOUT = 1
"""Increased when a change of the code gives another corpus from the same inputs."""


@dataclass(frozen=True, slots=True)
class CorpusFolder:
    """The files of a planted corpus, and their contents. tokens: [rows, row_length]; order: [presentations]."""

    train: Path
    control: Path
    order_file: Path
    tokenizer_folder: Path
    tokenizer: PreTrainedTokenizerFast
    tokens: Tokens
    order: Ids
    fingerprint: str

    @property
    def vocabulary(self) -> int:
        return len(self.tokenizer)


def prepare_corpus(out: Path, documents: list[Document], config: TrainingConfig) -> CorpusFolder:
    """The planted corpus of these documents in `out`; it is created unless it exists already.

    Raises:
        CorpusError: there are too few documents.
        StudyError: the folder cannot be written or contains a damaged manifest.
    """
    inputs = fingerprint(
        {
            "layout": LAYOUT,
            "seed": config.seed,
            "planting": asdict(config.planting),
            "documents": [(d.source, hashlib.sha256(d.text.encode()).hexdigest()) for d in documents],
        }
    )
    manifest = read_json(out / "corpus" / "corpus.json")
    if manifest is None or manifest.get("inputs") != inputs or not _is_complete(out):
        manifest = _create(out, documents, config, inputs)
    return _open(out, manifest["fingerprint"])


def _is_complete(out: Path) -> bool:
    names = ("corpus/train.parquet", "corpus/control.parquet", "corpus/order.npy", "tokenizer/tokenizer.json")
    return all((out / name).is_file() for name in names)


def _open(out: Path, content_fingerprint: str) -> CorpusFolder:
    folder = out / "corpus"
    column = pq.read_table(folder / "train.parquet", columns=["tokens"])["tokens"].combine_chunks()
    return CorpusFolder(
        train=folder / "train.parquet",
        control=folder / "control.parquet",
        order_file=folder / "order.npy",
        tokenizer_folder=out / "tokenizer",
        tokenizer=AutoTokenizer.from_pretrained(out / "tokenizer"),
        tokens=column.flatten().to_numpy().reshape(len(column), -1),
        order=np.load(folder / "order.npy", allow_pickle=False),
        fingerprint=content_fingerprint,
    )


def _create(out: Path, documents: list[Document], config: TrainingConfig, inputs: str) -> dict[str, Any]:
    folder = out / "corpus"
    with translate_os_errors(folder):
        (folder / "corpus.json").unlink(missing_ok=True)
    plan = config.planting
    tokenizer = train_tokenizer((d.text for d in documents), plan.vocabulary, plan.row_length)
    encoded = tokenizer.backend_tokenizer.encode_batch_fast([d.text for d in documents], add_special_tokens=False)
    ids = [np.array(document.ids, dtype=np.uint16) for document in encoded]
    planting = plant(ids, plan, config.seed)
    with atomic_folder(out / "tokenizer") as temporary:
        tokenizer.save_pretrained(temporary)
    sources = [d.source for d in documents]
    _write_rows(folder / "train.parquet", planting.train, sources)
    _write_rows(folder / "control.parquet", planting.control, sources)
    write_atomically(folder / "order.npy", lambda temporary: _save_array(temporary, planting.order))
    manifest = {
        "inputs": inputs,
        "fingerprint": _content_fingerprint(planting, tokenizer),
        "documents": len(documents),
        "tokens": sum(map(len, ids)),
        "vocabulary": len(tokenizer),
        "dropped": planting.dropped,
        "seed": config.seed,
        "planting": asdict(plan),
    }
    write_json(folder / "corpus.json", manifest)
    return manifest


def _write_rows(path: Path, rows: PlantedRows, sources: list[str]) -> None:
    width = rows.tokens.shape[1]
    offsets = pa.array(np.arange(0, rows.tokens.size + 1, width), type=pa.int32())
    table = pa.table(
        {
            "tokens": pa.ListArray.from_arrays(offsets, pa.array(rows.tokens.reshape(-1))),
            "repetitions": rows.repetitions,
            "document": rows.documents,
            "source": [sources[number] for number in rows.documents],
        }
    )
    write_table(path, table)


def _save_array(path: Path, values: Ids) -> None:
    with path.open("wb") as file:
        np.save(file, values)


def _content_fingerprint(planting: Planting, tokenizer: PreTrainedTokenizerFast) -> str:
    """Fingerprint of what a model sees: rows, order and vocabulary, but not the control."""
    digest = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode())
    digest.update(planting.train.tokens.tobytes())
    digest.update(planting.order.tobytes())
    return digest.hexdigest()
