"""The rows of a study beside the scores of one model at one cell, as columns of equal length and order.

A column is read when it is first needed, and only for the models and cells that are looked at: 10 million rows take 26
bytes each, and 12 more for each model and cell. A row goes by its position: its number in the table of rows.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from mematlas.errors import StudyError
from mematlas.errors.remedies import command_line
from mematlas.io.local_copies import fetch_all
from mematlas.metrics.levels import LEVELS, RECITED_LEVELS, level
from mematlas.study import Study
from mematlas.study.schemas.predictions import PREDICTOR
from mematlas.study.shards import finished_shards
from mematlas.types import Grid, Ids, Layout

#: Column -> its type.
Types = Mapping[Any, Any]

KINDS: Final = ("repeating", "incrementing", "other")
ROLES: Final = ("train", "control")
_SCORED: Final[Types] = {"matches": pl.Int32, "verbatim": pl.Int32, "margin": pl.Float32}
_MODELS_KEPT: Final = 4  # columns of scores kept in memory


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at: one model at one cell, in tokens; compare: a second model, whose M minus the first's is
    `change`."""

    model: str
    context: int
    continuation: int
    compare: str | None = None


class Lines:
    """The rows and scores of a study's run, the latest by default. Threads may share it.

    Raises:
        StudyError: there is no such run, or none of its shards is finished.
    """

    def __init__(self, study: Study, run: str | None = None) -> None:
        self.study, self.run = study, study.run(run)
        self.settings = self.run.settings
        self._lock = threading.RLock()
        self._columns: dict[tuple[object, ...], pl.DataFrame] = {}
        self._names: dict[Path, list[str]] = {}
        with self._readable(self.study.folder / "rows"):
            self.rows = self._read_rows()

    # --------------------------------------------------------------------------------------------------- the study

    @cached_property
    def grid(self) -> Grid:
        settings = self.settings
        named = "masked" if "masking" in settings else settings.get("align", "start")
        align: Layout = next(layout for layout in get_args(Layout) if layout == named)
        return Grid(tuple(settings["context"]), tuple(settings["continuation"]), align)

    @cached_property
    def models(self) -> list[dict[str, Any]]:
        """model, parameters (None where unknown or 0) and training_step of each model, in the requested order."""
        table = self.study.models(self.run.key)
        control = self.settings.get("control_models", ())
        return [
            {
                "label": model,
                "parameters": parameters or None,
                "training_step": step,
                "is_control": model in control,
            }
            for model, parameters, step in table.select("model", "parameters", "training_step").iter_rows()
        ]

    @property
    def sources(self) -> pl.Series:
        """The names of all sources, sorted."""
        dtype = self.rows["source"].dtype
        assert isinstance(dtype, pl.Enum)
        return dtype.categories

    @property
    def is_graded(self) -> bool:
        """Whether M itself is known, and not only whether M = 1."""
        return self.settings.get("depth", "graded") == "graded" and self.is_complete

    @property
    def is_complete(self) -> bool:
        """False where only recited rows were published: a row without a record was not recited."""
        return bool(self.settings.get("complete", True))

    @property
    def levels(self) -> tuple[str, ...]:
        return LEVELS if self.is_graded else RECITED_LEVELS

    @cached_property
    def feature_kinds(self) -> list[str]:
        return self.study.feature_kinds(self.run.key)

    @cached_property
    def has_predictions(self) -> bool:
        return self.study.has_predictions(self.run.key)

    def features_folder(self, kind: str) -> Path:
        return self.study.features_folder(self.run.key) / kind

    def scores_folder(self, model: str) -> Path:
        return self.study.folder / "scores" / self.run.key / self.run.models[model]

    def signals_folder(self, kind: str, model: str) -> Path:
        return self.study.folder / "signals" / self.run.key / kind / self.run.models[model]

    # ------------------------------------------------------------------------------------------------- whole columns

    def columns(self, view: View, names: Sequence[str]) -> pl.DataFrame:
        """These columns of all rows, in the order of positions; see `mematlas.explorer.fields` for what they are."""
        found = {name: self._column(view, name) for name in names}
        return pl.DataFrame([series.alias(name) for name, series in found.items()])

    def _column(self, view: View, name: str) -> pl.Series:
        if name in self.rows.columns:
            return self.rows[name]
        cell = (view.context, view.continuation)
        if name in ("copies", "kind"):
            return self._cached((name, *cell), lambda: self._read_feature(name, view))[name]
        if name == "risk":
            return self._cached((name, view.model, *cell), lambda: self._read_risk(view))[name]
        scores = self.scores(view.model, view)
        if name == "change":
            assert view.compare is not None
            other = self.scores(view.compare, view)["matches"]
            return (other - scores["matches"]).cast(pl.Float32) / view.continuation
        if name == "level":
            return scores.select(level=self.level_of(view.continuation))["level"]
        if name == "recited":
            return scores.select(recited=self._recited(view.continuation))["recited"]
        return scores[name]

    def scores(self, model: str, view: View) -> pl.DataFrame:
        """matches, verbatim and margin of all rows at the view's cell; null where there is no record."""
        key = ("scores", model, view.context, view.continuation)
        return self._cached(key, lambda: self._read_scores(model, view))

    def level_of(self, continuation: int) -> pl.Expr:
        """The name of the level, from the columns matches and verbatim; null where the row was not scored."""
        number = level("matches", continuation) if self.is_graded else self._recited(continuation).cast(pl.Int8)
        return number.replace_strict(
            list(range(len(self.levels))), list(self.levels), return_dtype=pl.Enum(self.levels), default=None
        )

    def _recited(self, continuation: int) -> pl.Expr:
        recited = pl.coalesce(pl.col("matches") == continuation, pl.col("verbatim") == continuation)
        return recited if self.is_complete else recited.fill_null(False)

    # ------------------------------------------------------------------------------------------- records of some rows

    def read(self, folder: Path, positions: Ids, row_shards: bool = False) -> pl.DataFrame:
        """The records of these rows in a folder of shards, of which only those that hold them are read.

        Args:
            positions: of the rows; row_shards: whether the folder is divided as the table of rows is, so that the
                shards of an unfinished run are found, too.
        """
        names = self._shard_names(folder)
        ids = self.rows["row"].gather(positions).unique()
        if not names or not len(ids):
            return pl.DataFrame(schema={"row": pl.Int64})
        count = int(names[0].rpartition("-")[2])
        numbers = np.unique(self._row_shards[positions] if row_shards else self._shard_of(positions, count))
        chosen = [name for name in names if int(name.split("-")[1]) in set(numbers.tolist())]
        with self._readable(folder):
            files = fetch_all([folder / f"{name}.parquet" for name in chosen or names[:1]])
            return pl.concat([records_of(file, ids) for file in files], how="diagonal")

    def _shard_of(self, positions: Ids, count: int) -> Ids:
        """The number of the shard, of `count` of nearly equal size, in which each row is."""
        edges = np.arange(1, count + 1) * self.rows.height // count
        return np.searchsorted(edges, positions, side="right")

    def positions_of(self, row: int) -> Ids:
        """The positions of the rows with this id: one, or none."""
        return (self.rows["row"] == row).arg_true().to_numpy().astype(np.int64)

    # -------------------------------------------------------------------------------------------------------- reading

    @contextmanager
    def _readable(self, folder: Path) -> Iterator[None]:
        """Turn the errors of a damaged or missing file into one that names the remedy."""
        try:
            yield
        except (OSError, pa.ArrowException, pl.exceptions.PolarsError) as error:
            raise StudyError(
                f"A file in {folder} is damaged or missing ({str(error).partition(chr(10))[0]}); "
                f"`{command_line('verify', self.study.folder)}` says which, and how to restore it."
            ) from None

    def _cached(self, key: tuple[object, ...], compute: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """Columns that are kept; those of scores that were used longest ago are given up."""
        with self._lock:
            frame = self._columns.pop(key, None)
            if frame is None:
                with self._readable(self.study.folder):
                    frame = compute()
            self._columns[key] = frame
            scores = [kept for kept in self._columns if kept[0] == "scores"]
            for kept in scores[:-_MODELS_KEPT]:
                del self._columns[kept]
            return frame

    def _shard_names(self, folder: Path) -> list[str]:
        with self._lock:
            if folder not in self._names:
                self._names[folder] = finished_shards(folder)
            return self._names[folder]

    def _scan(self, folder: Path, names: Sequence[str]) -> pl.LazyFrame:
        paths = fetch_all([folder / f"{name}.parquet" for name in names])
        return pl.scan_parquet(paths, missing_columns="insert", extra_columns="ignore")

    def _read_rows(self) -> pl.DataFrame:
        """The table of rows, in types that take less memory."""
        folder = self.study.folder / "rows" / self.run.rows_key
        names = self._shard_names(folder)
        if not names:
            raise StudyError(
                f"{self.study.folder} has no finished shard yet; run the same `mematlas score` command again."
            )
        table = self._scan(folder, names)
        sources = table.select("source").unique().collect(engine="streaming")["source"].drop_nulls().sort()
        types: Types = {"role": pl.Enum(ROLES), "source": pl.Enum(sources)}  # which sort as their texts do
        frame = table.select("row", "role", "repetitions", "document", "source").cast(types)
        rows = frame.collect(engine="streaming").rechunk()
        smaller = [rows[name].shrink_dtype() for name in ("repetitions", "document")]
        return rows.with_columns(smaller)

    @cached_property
    def _row_shards(self) -> Ids:
        """The number of the shard of each row."""
        folder = self.study.folder / "rows" / self.run.rows_key
        names = self._shard_names(folder)
        paths = fetch_all([folder / f"{name}.parquet" for name in names])
        lengths = [pq.read_metadata(path).num_rows for path in paths]
        return np.repeat([int(name.split("-")[1]) for name in names], lengths)

    def _read_scores(self, model: str, view: View) -> pl.DataFrame:
        folder = self.scores_folder(model)
        names = self._shard_names(folder)
        if not names:
            nothing = pl.DataFrame(schema={"row": pl.Int64, **_SCORED})
            return self._align(nothing)
        frame = self._scan(folder, names).filter(context=view.context, continuation=view.continuation)
        return self._align(frame.select("row", *_SCORED).cast(_SCORED).collect(engine="streaming"))

    def _read_feature(self, name: str, view: View) -> pl.DataFrame:
        table = "copies" if name == "copies" else "texts"
        folder = self.features_folder(table)
        frame = self._scan(folder, self._shard_names(folder))
        frame = frame.filter(context=view.context, continuation=view.continuation)
        return self._align(frame.select("row", self.feature(name)).collect(engine="streaming"))

    def feature(self, name: str) -> pl.Expr:
        """`copies` or `kind`, from the columns of the features' table of that name."""
        if name == "copies":
            scope = (self.study.feature_facts(self.run.key) or {}).get("scope", "rows")
            return pl.col(f"window_{scope}").alias("copies")
        repeating, incrementing, other = (pl.lit(kind, pl.Enum(KINDS)) for kind in KINDS)
        is_known = pl.col("repeating").is_not_null()
        kind = pl.when("repeating").then(repeating).when("incrementing").then(incrementing).when(is_known).then(other)
        return kind.alias("kind")

    def _read_risk(self, view: View) -> pl.DataFrame:
        predicted = self.predictions(view.model).select(
            "row", risk=pl.col("probability").list.head(view.continuation).list.mean()
        )
        return self._align(predicted.group_by("row").agg(pl.col("risk").mean().cast(pl.Float32)).collect())

    def predictions(self, model: str) -> pl.LazyFrame:
        """What a model's own predictors say of held-out rows before anything is generated, a record for each seed."""
        predictions = self.study.scan_predictions(self.run.key)
        return predictions.filter(model=model, tested=model, sees="context", method=PREDICTOR)

    def _align(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The columns of `frame`, which has one record per row or none, in the order of positions."""
        if frame["row"].equals(self.rows["row"]):
            return frame.drop("row").rechunk()
        records = frame.unique("row", keep="first", maintain_order=True)
        return self.rows.select("row").join(records, on="row", how="left", maintain_order="left").drop("row")


def records_of(file: Path, ids: pl.Series) -> pl.DataFrame:
    """The records of these rows in a Parquet file, of which only the groups of rows that may hold one are read."""
    parquet = pq.ParquetFile(file)
    column = parquet.schema.names.index("row")
    groups = []
    for number in range(parquet.num_row_groups):
        statistics = parquet.metadata.row_group(number).column(column).statistics
        if statistics is None or not statistics.has_min_max or ids.is_between(statistics.min, statistics.max).any():
            groups.append(number)
    table = pl.from_arrow(parquet.read_row_groups(groups))
    assert isinstance(table, pl.DataFrame)
    return table.filter(pl.col("row").is_in(ids.implode()))
