"""The study of a training: every measured step is a model of it, written as the scoring step of a study writes one.

STUDY/corpus/train.parquet, control.parquet    the measured rows: row (place in the dataset), tokens (the whole row)
STUDY/tokenizer/                               the trainer's tokenizer, by which rows are shown as text
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mematlas.errors import OptionError
from mematlas.integrations.measuring import ScoredSets
from mematlas.integrations.token_rows import ChosenRows
from mematlas.io.paths import is_url
from mematlas.pipeline.steps.score import run_job
from mematlas.progress import Silent
from mematlas.scoring.config import resolve_config
from mematlas.scoring.job import job_of_models
from mematlas.scoring.options import DOUBTFUL_MARGIN
from mematlas.scoring.worker import shard_target, write_rows_table
from mematlas.study import write_model
from mematlas.study.shards import write_table
from mematlas.types import Grid

if TYPE_CHECKING:
    from mematlas.models.loaded import LoadedModel


class TrainingStudy:
    """Writes the rows at once and then every measured step; what is written stays if the training is killed.

    Args:
        folder: of the study; the same rows continue it, as a training does that is resumed from a checkpoint.
        sets: the measured rows by role, train and control.
        tokenizer: with `save_pretrained`, None without one.

    Raises:
        OptionError: the folder is a URL, or has the rows of another training.
    """

    def __init__(
        self, folder: str | Path, sets: dict[str, ChosenRows], grid: Grid, batch: int, tokenizer: Any = None
    ) -> None:
        if is_url(folder):
            raise OptionError(f"study={str(folder)!r} is a URL; give a folder on this machine.")
        self.folder = Path(folder)
        paths = {role: _write_rows(self.folder / "corpus" / f"{role}.parquet", rows) for role, rows in sets.items()}
        if hasattr(tokenizer, "save_pretrained"):
            tokenizer.save_pretrained(self.folder / "tokenizer")
        self._config = resolve_config(
            corpus=paths["train"],
            control=paths.get("control"),
            study=self.folder,
            context=list(grid.contexts),
            continuation=list(grid.continuations),
            batch=batch,
            format="parquet",
            tokenizer=self.folder / "tokenizer" if hasattr(tokenizer, "save_pretrained") else None,
            shards=1,
        )

    def record(self, source: "LoadedModel", scored: ScoredSets, *, extend: bool) -> None:
        """Write what a model recited as a model of the study.

        Args:
            source: the model, with a label of its own; extend: whether models that the study has already stay in it.

        Raises:
            MematlasError: the study cannot be written, or its control are training rows.
        """
        from mematlas.scoring.settle import SettleCounts, doubtful_rows
        from mematlas.scoring.shards import write_results

        config = self._config.model_copy(update={"dtype": source.dtype})
        job = job_of_models([source], config, extend=extend)
        _, ids = job.plan.read(0, scored.options.grid.width)
        write_model(self.folder, job.run.models[source.card.label], {"model": source.card.label, **asdict(source.card)})
        write_rows_table(job, 0)
        target = shard_target(job, source.card.label, {})
        doubtful = SettleCounts(len(doubtful_rows(scored.results, DOUBTFUL_MARGIN[source.dtype])))
        write_results(target, (0, 1), ids, scored.results, doubtful, scored.batch)
        run_job(job, Silent())  # which finds everything scored, and writes the manifest


def _write_rows(path: Path, rows: ChosenRows) -> Path:
    """Write the rows as a corpus unless the same ones are there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {"row": pa.array(rows.index, pa.int64()), "tokens": pa.array(rows.tokens, pa.list_(pa.int32()))},
    )
    if not path.exists():
        write_table(path, table)
    elif not pq.read_table(path).select(table.column_names).equals(table):
        raise OptionError(
            f"The study {path.parents[1]} has other rows than this training ({path}); name another folder with study=, "
            "or delete that one."
        )
    return path
