"""The rows of an experiment: distinct rows of text, some for training, others never shown, and the files of a study."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from mematlas.experiments.data.corpus_folder import prepare_corpus
from mematlas.experiments.data.standard_library import Document
from mematlas.experiments.design.config import PlantingConfig, TrainingConfig
from mematlas.study import write_table


@dataclass(frozen=True, slots=True, eq=False)
class ExperimentRows:
    """tokens: [train + control, row_length], training rows first; corpus, control: files with the scored rows, without
    the number of repetitions, which differs between the arms."""

    tokens: NDArray[Any]
    train: int
    corpus: Path
    control: Path
    tokenizer: PreTrainedTokenizerBase

    @property
    def control_positions(self) -> NDArray[np.int64]:
        """Positions in `tokens` of the rows that are never shown."""
        return np.arange(self.train, len(self.tokens))


def prepare_rows(
    folder: Path,
    documents: list[Document],
    *,
    train: int,
    scored: int,
    control: int,
    row_length: int,
    vocabulary: int,
) -> ExperimentRows:
    """Draw distinct rows from the documents, and write them to `folder`/corpus and `folder`/rows.

    Rows share no passage of 24 tokens with each other, or with a training document if they are of the control.

    Args:
        scored: the first so many training rows are in the study; others are background.

    Raises:
        CorpusError: the texts are missing or too few.
    """
    planting = PlantingConfig(
        vocabulary=vocabulary,
        row_length=row_length,
        repetitions=(1,),
        rows_per_level=train,
        control_rows=control,
        overlap=min(24, row_length),
    )
    corpus = prepare_corpus(folder, documents, TrainingConfig(planting=planting))
    never_shown = pq.read_table(corpus.control)
    column = never_shown["tokens"].combine_chunks()
    tokens = np.concatenate([corpus.tokens, column.flatten().to_numpy().reshape(len(column), -1)])
    files = folder / "rows" / "train.parquet", folder / "rows" / "control.parquet"
    tables = pq.read_table(corpus.train).slice(0, scored), never_shown
    for path, table in zip(files, tables, strict=True):
        write_table(path, table.drop_columns(["repetitions"]))
    return ExperimentRows(tokens, train, *files, corpus.tokenizer)
