"""The study of a training: every measured step is a model of it, scored by the ordinary step of a study.

STUDY/corpus/train.parquet, control.parquet    the measured rows: row (place in the dataset), tokens (the whole row)
STUDY/tokenizer/                               the trainer's tokenizer, by which rows are shown as text
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mematlas.errors import OptionError
from mematlas.integrations.token_rows import ChosenRows
from mematlas.io.paths import is_url
from mematlas.pipeline.steps.score import run_job
from mematlas.progress import Silent
from mematlas.scoring.config import resolve_config
from mematlas.scoring.job import job_of_models
from mematlas.study import Study
from mematlas.study.shards import write_table
from mematlas.types import Grid

if TYPE_CHECKING:
    import polars as pl


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
            graphs="off",  # they would keep the addresses of weights that training goes on to change
        )

    def record(self, model: Any, step: int, *, extend: bool) -> "dict[str, pl.DataFrame]":
        """Score the model into the study as that of a training step; returns its records of the scores table, by role.

        Args:
            extend: whether steps that the study has already stay part of it.

        Raises:
            MematlasError: see `measure`; control rows that are training rows are refused, too.
        """
        import polars as pl

        from mematlas.models.loaded import LoadedModel, causal_network, model_name, undisturbed

        name = model_name(causal_network(model))
        source = LoadedModel(model, f"{name}-step-{step:06d}", step)
        with undisturbed(source.network):
            job = job_of_models([source], self._config, extend=extend)
            study = run_job(job, Silent())
        scores = study.scan_scores(job.run.key).filter(model=source.card.label)
        records = scores.join(study.scan_rows(job.run.key).select("row", "role"), on="row").collect()
        return {role: records.filter(pl.col("role") == role) for role in records["role"].unique()}

    @property
    def study(self) -> Study:
        return Study(self.folder)


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
