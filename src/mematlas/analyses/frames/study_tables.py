"""A study's tables as analyses read them: lazy frames, with shared aggregates computed once.

Ten million score records are never in memory at once: every analysis starts from counts (the number of rows for each
model, role, cell and number of matches) or from the rows of one cell side by side, one column per model.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from mematlas.analyses.frames.model_table import Family, read_models
from mematlas.analyses.frames.same_rows import Across, all_rows_are_scored, join_models, keep_same_rows
from mematlas.analyses.frames.score_blocks import ROLES, Positions, ScoreBlocks, in_large_parts, score_blocks
from mematlas.metrics.extractable import extractable
from mematlas.study import HiddenStates, Study, cut_signals
from mematlas.study.clusters import cluster_rows
from mematlas.study.distinct_texts import copied_rows, count_texts
from mematlas.types import Grid, reference_cell

_KEYS: Final = ("model", "role", "context", "continuation")


@dataclass(frozen=True, slots=True)
class Cell:
    """A pair of context and continuation, in tokens."""

    context: int
    continuation: int

    def __str__(self) -> str:
        return f"{self.context} + {self.continuation}"


@dataclass(frozen=True)
class Tables(Family):
    """The tables of one run.

    scores: model, row, context, continuation, matches, verbatim, ...; rows: row, role, repetitions, document, source;
    models: one record per model in the order given: model, parameters (null where unknown or 0), training_step,
    tokenizer, and trained_length where some model accepts more tokens than it was trained for; settings: those of the
    run ("context", "continuation", "depth", "align" ...).
    control_models: labels of models that never saw the corpus; their rows are a control and not part of the family.
    features: row features by kind (`mematlas.study.schemas.features`), {} without row features;
    facts: what the features were computed from ("scope" of the counts, "tokens" of the corpus ...).
    signals: per-token records by kind ("truth", "free"; `mematlas.study.schemas.scores`), {} where there are none.
    states: by kind ("truth", "free"), a function from a model's label to the hidden states of its sample of rows, which
    are read at the call; {} where none were stored; predictions: the predictors' output for held-out rows
    (`study.schemas.predictions`), None without any; exposures: which models were trained on which rows
    (`study.schemas.exposures`), None where it is not known.
    complete: whether every row of the corpus' selection has a record; False where only recited rows were published, so
    that rows without a record have M < 1 and nothing else is known about them.
    probes: what was measured while the models were trained (`study.schemas.probes`), None where nothing was.
    shared: the share of their pieces that rows of one cluster have in common (`mematlas.study.clusters.join_copies`).
    """

    scores: pl.LazyFrame
    rows: pl.LazyFrame
    models: pl.DataFrame
    settings: dict[str, Any]
    control_models: tuple[str, ...] = ()
    complete: bool = True
    probes: pl.LazyFrame | None = None
    features: dict[str, pl.LazyFrame] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    signals: dict[str, pl.LazyFrame] = field(default_factory=dict)
    states: dict[str, Callable[[str], HiddenStates]] = field(default_factory=dict)
    predictions: pl.LazyFrame | None = None
    exposures: pl.LazyFrame | None = None
    shared: float = 0.0
    _cache: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # a stand-in without weights has no size: 0 cannot be drawn on a log axis
        sizes = pl.when(pl.col("parameters") > 0).then("parameters").alias("parameters")
        object.__setattr__(self, "models", self.models.with_columns(sizes))

    # ------------------------------------------------------------------------------------------------ the settings

    @property
    def question(self) -> dict[str, Any]:
        """The former name of `settings`."""
        return self.settings

    @property
    def contexts(self) -> tuple[int, ...]:
        return tuple(self.settings["context"])

    @property
    def continuations(self) -> tuple[int, ...]:
        return tuple(self.settings["continuation"])

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(Cell(context, length) for context in self.contexts for length in self.continuations)

    @property
    def reference(self) -> Cell:
        """The cell that claims report; see `mematlas.types.reference_cell`."""
        return Cell(*reference_cell(self.contexts, self.continuations))

    @property
    def graded(self) -> bool:
        """Whether M itself is known, and not only whether M = 1."""
        return self.settings.get("depth", "graded") == "graded" and self.complete

    @property
    def beyond_trained_length(self) -> dict[str, int]:
        """The models that read longer rows than they were trained for, with the length they were trained for."""
        if "trained_length" not in self.models.columns:
            return {}
        grid = Grid(self.contexts, self.continuations, self.settings.get("align", "start"))
        width = grid.width + bool(self.settings.get("bos"))
        beyond = self.models.filter(pl.col("trained_length") < width)
        return dict(zip(beyond["model"], beyond["trained_length"], strict=True))

    # ------------------------------------------------------------------------------------------------ the numbers

    @property
    def has_control(self) -> bool:
        """Whether rows of a control corpus were scored."""
        return self._count_control_rows() > 0

    def _count_control_rows(self) -> int:
        return self._cached("control", lambda: self.rows.filter(role="control").select(pl.len()).collect().item())

    @property
    def clusters(self) -> pl.DataFrame | None:
        """The cluster of every row (row, cluster), see `mematlas.study.clusters`; None where all are independent."""
        tokens, near = self.features.get("tokens"), self.features.get("near")
        return self._cached("clusters", lambda: cluster_rows(self.rows, tokens, self.shared, near))

    @property
    def cluster_key(self) -> tuple[str, ...]:
        """("cluster",) where rows come in clusters, else (): a further column of `counts` to group by."""
        return () if self.clusters is None else ("cluster",)

    @property
    def clustered_rows(self) -> pl.LazyFrame:
        """`rows` with the column cluster; where all rows are independent, each is a cluster of its own."""
        if self.clusters is None:
            return self.rows.with_columns(cluster="row")
        return self.rows.join(self.clusters.lazy(), on="row", how="left", maintain_order="left")

    @property
    def copied_rows(self) -> pl.DataFrame | None:
        """Rows whose text others have, too (row, context, continuation, text), see `mematlas.study.distinct_texts`.

        None where no row is a copy, or where the tokens are not known.
        """
        tokens = self.features.get("tokens")
        return self._cached("copied rows", lambda: copied_rows(self.rows, tokens, self.settings))

    def one_per_text(self, frame: pl.DataFrame, cell: Cell | None = None) -> pl.DataFrame:
        """`frame` (row, ...) without rows whose text an earlier one has, in a cell (that of the claims by default)."""
        return frame.filter(self.texts(frame["row"], cell)["text"].is_first_distinct())

    def texts(self, rows: pl.Series, cell: Cell | None = None) -> pl.DataFrame:
        """The text of each row in a cell (that of the claims by default), in the order of `rows`.

        Returns:
            row, text (the lowest id of the rows with the same text), rows_of_text (their number; null where the tokens
            of rows are not known).
        """
        frame, where = pl.DataFrame({"row": rows}), cell or self.reference
        if self.copied_rows is None:
            known = pl.lit(1 if "tokens" in self.features else None, pl.Int64)
            return frame.with_columns(text="row", rows_of_text=known)
        copies = self.copied_rows.filter(context=where.context, continuation=where.continuation)
        copies = copies.select("row", "text", pl.len().over("text").cast(pl.Int64).alias("rows_of_text"))
        joined = frame.join(copies, on="row", how="left", maintain_order="left")
        return joined.with_columns(pl.coalesce("text", "row").alias("text"), pl.col("rows_of_text").fill_null(1))

    def with_cluster(self, frame: pl.DataFrame) -> pl.DataFrame:
        """`frame` (row, ...) with the cluster of each row, where rows come in clusters; else as it is."""
        clusters = self.clusters
        if clusters is None:
            return frame
        if frame.height < clusters.height / 2:
            return frame.join(clusters, on="row", how="left", maintain_order="left")
        positions = self._cached("positions", lambda: Positions(clusters["row"].to_numpy()))
        places = pl.Series(positions.of(frame["row"].to_numpy()))
        return frame.with_columns(clusters["cluster"].gather(places.replace(-1, None)))

    def sum_by_cluster(self, frame: pl.DataFrame, *sums: pl.Expr) -> pl.DataFrame:
        """Aggregates of `frame` (row, ...): one record per cluster, with its number, or a single one of all rows."""
        if self.clusters is None:
            return frame.select(*sums)
        return self.with_cluster(frame).group_by("cluster", maintain_order=True).agg(*sums)

    def counts(self, *by: str) -> pl.DataFrame:
        """Numbers of rows: columns model, role, context, continuation, those of `by` (columns of rows/, or cluster),
        matches, recited, rows.

        matches is null where only `recited` (M = 1) is known; rows without a score are left out.

        All rows of a model of `control_models` have the role "control model".
        """
        return self._cached(("counts", by), lambda: self._count("matches", by))

    @property
    def text_counts(self) -> pl.DataFrame | None:
        """Numbers of distinct texts and of their rows, scored and recited, where rows are copies of each other.

        Columns: model, role, context, continuation (and cluster, where rows come in clusters: that of a text's first
        row), texts, recited_texts, rows, recited. None where no row is a copy, or where the tokens are not known.
        """
        return self._cached("text counts", self._count_texts)

    def _count_texts(self) -> pl.DataFrame | None:
        if self.copied_rows is None:
            return None
        return count_texts(self.scored_rows(*self.cluster_key), self.copied_rows, _KEYS, self.cluster_key)

    def counts_of_same_rows(self, across: Across, *by: str) -> pl.DataFrame:
        """As `counts`, of rows that their model scored at every context (continuation); see `same_rows`."""
        if self._all_rows_are_scored:
            return self.counts(*by)
        return self._cached(("same rows", across, by), lambda: self._count("matches", by, across))

    @property
    def _all_rows_are_scored(self) -> bool:
        """Whether every model scored all rows in each cell, so that all cells have the same rows."""
        return self._cached("all rows", lambda: all_rows_are_scored(self.rows, self.counts()))

    def verbatim_counts(self, *by: str) -> pl.DataFrame:
        """Numbers of rows by tokens recited before the first miss: as `counts`, with verbatim instead of matches."""
        return self._cached(("verbatim", by), lambda: self._count("verbatim", by))

    def _count(self, value: str, by: tuple[str, ...], across: Across | None = None) -> pl.DataFrame:
        scored = self.scored_rows(*by)
        records = scored if across is None else keep_same_rows(scored, across)
        return (
            records.group_by(*_KEYS, *by, value, "recited")
            .agg(pl.len().cast(pl.Int64).alias("rows"))
            .collect(engine="streaming")
            .sort(*_KEYS, *by, value, "recited", nulls_last=True)
        )

    def sums(self, *aggregates: pl.Expr, **options: Any) -> pl.DataFrame:
        """Aggregates of the scored rows of every model, role and cell, and of each cluster where rows come in these.

        Args:
            aggregates: expressions on the columns of `counts`, or `verbatim_counts`, whose column rows is the number of
                rows that a record represents.
            options: those of `sums_in_parts`.
        """
        return self.reduced_sums(lambda part: part, *aggregates, **options)

    def reduced_sums(
        self, reduce: Callable[[pl.DataFrame], pl.DataFrame], *aggregates: pl.Expr, **options: Any
    ) -> pl.DataFrame:
        """`reduce` of `sums`, of the records of some models and cells after others, so that those of all clusters are
        never in memory together where they are many."""
        reduced = [reduce(part) for part in in_large_parts(self.sums_in_parts(*aggregates, **options))]
        return pl.concat(reduced).with_columns(pl.col("model", "role").cast(pl.String))

    def sums_in_parts(
        self,
        *aggregates: pl.Expr,
        value: str = "matches",
        where: pl.Expr | None = None,
        by: tuple[str, ...] = (),
        across: Across | None = None,
    ) -> Iterator[pl.DataFrame]:
        """The records of `sums` in parts, each with all records of its models and cells, at least one part.

        Args:
            where: the records to aggregate; None: all; by: columns of rows/ to group by, too.
            across: only rows that their model scored at every context (continuation); see `same_rows`.
        """
        keys = (*_KEYS, *by, *self.cluster_key)
        all_same = across is None or self._all_rows_are_scored
        if self.clusters is not None and all_same and {*by} <= {"repetitions"} and self.blocks is not None:
            yield from self.blocks.sums(aggregates, where, by)
            return
        if self.clusters is None:
            counts = self.counts(*by) if across is None else self.counts_of_same_rows(across, *by)
            frame = (counts if value == "matches" else self.verbatim_counts(*by)).lazy()
        else:
            scored = self.scored_rows(*by, "cluster").with_columns(rows=pl.lit(1, pl.Int64))
            frame = scored if across is None or all_same else keep_same_rows(scored, across)
        frame = frame.with_columns(**self.coded_keys)
        frame = frame if where is None else frame.filter(where)
        sums = frame.group_by(keys).agg(*aggregates).collect(engine="streaming")
        if not self.cluster_key:  # the order of millions of clusters says nothing
            sums = sums.sort(pl.col("model", "role").cast(pl.String), *keys[2:])
        yield sums

    @property
    def blocks(self) -> ScoreBlocks | None:
        """The scores as short columns, see `score_blocks`; None where lines of scores are as good."""
        arguments = self.models["model"], len(self.cells), self.control_models
        return self._cached("blocks", lambda: score_blocks(self.clustered_rows, self.scores, *arguments))

    @property
    def coded_keys(self) -> dict[str, pl.Expr]:
        """Model and role as numbers with names, by which millions of lines are grouped in half the time."""
        types = {"model": pl.Enum(self.models["model"]), "role": ROLES}
        return {name: pl.col(name).cast(dtype) for name, dtype in types.items()}

    def scored_rows(self, *by: str) -> pl.LazyFrame:
        """One record per row that could be scored: model, row, context, continuation, matches, verbatim, recited, role
        and the columns of `by`; role and `by` as in `counts`."""
        rows = (self.clustered_rows if "cluster" in by else self.rows).select("row", "role", *by)
        role = pl.when(pl.col("model").is_in(self.control_models)).then(pl.lit("control model")).otherwise("role")
        return self._scored().join(rows, on="row", how="inner").with_columns(role.alias("role"))

    def missing(self) -> pl.DataFrame:
        """Rows that could not be scored: model, context, continuation, reason, rows."""
        return self._cached(
            "missing",
            lambda: (
                self.scores.filter(pl.col("matches").is_null() & pl.col("verbatim").is_null())
                .group_by("model", "context", "continuation", "reason")
                .agg(pl.len().cast(pl.Int64).alias("rows"))
                .collect(engine="streaming")
                .sort("model", "context", "continuation")
            ),
        )

    def _scored(self) -> pl.LazyFrame:
        """The score records of rows that could be scored, with `recited`: M = 1."""
        recited = extractable.expression().alias("recited")
        columns = ("model", "row", "context", "continuation", "matches", "verbatim")
        return self.scores.select(*columns, recited).filter(pl.col("recited").is_not_null())

    def side_by_side(self, models: tuple[str, ...], cell: Cell, value: str = "matches") -> pl.DataFrame:
        """Training rows of one cell with one column per model: row, then `value` ("matches", "verbatim" or "recited").

        Only rows scored by all of `models` are kept; where only recited rows were published (`complete` is False),
        `value` must be "recited", and a row that another model recites is False.
        """
        family = tuple(model for model in self.models["model"] if model in {*self.family, *models})
        if len(models) < len(family) and self._scored_by_all(family, cell, value):
            return self.side_by_side(family, cell, value).select("row", *models)
        return self._cached((models, cell, value), lambda: self._join_models(models, cell, value))

    def _scored_by_all(self, models: tuple[str, ...], cell: Cell, value: str) -> bool:
        """Whether all models scored all training rows of a cell, so that rows of some are those of all."""
        if not self._all_rows_are_scored or value == "verbatim":
            return False
        where = {"role": "train", "context": cell.context, "continuation": cell.continuation}
        counts = self.counts().filter(pl.col("model").is_in(models), **where)
        return counts["model"].n_unique() == len(models) and not counts[value].null_count()

    def cell_signals(self, kind: str, cell: Cell) -> pl.LazyFrame:
        """The signals of one cell, one record per model and row; see `Study.signals`."""
        align = self.settings.get("align", "start")
        return cut_signals(self.signals[kind], kind, align, cell.context, cell.continuation)

    def _join_models(self, models: tuple[str, ...], cell: Cell, value: str) -> pl.DataFrame:
        if self.clusters is not None and self.blocks is not None:
            wide = self.blocks.side_by_side(models, (cell.context, cell.continuation), value)
        else:
            scored = self._scored().filter(context=cell.context, continuation=cell.continuation)
            wide = join_models(self.rows.filter(role="train"), scored, models, value)
        if not self.complete and value == "recited":
            return wide.with_columns(pl.col(model).fill_null(False) for model in models)
        return wide.drop_nulls(list(models))

    def _cached(self, key: object, compute: Callable[[], Any]) -> Any:
        if key not in self._cache:
            self._cache[key] = compute()
        return self._cache[key]


def read_tables(study: Study, run: str | None = None, *, partial: bool = False) -> Tables:
    """The tables of a study's run, the latest by default; large tables are only scanned, not read.

    Raises:
        StudyError: the run is not finished and `partial` is false, or nothing of it is.
    """
    settings = study.run(run).settings
    signals = [kind for kind in settings.get("signals", ()) if kind != "hidden"]
    return Tables(
        study.scan_scores(run, partial=partial),
        study.scan_rows(run),
        read_models(study, run),
        settings,
        tuple(settings.get("control_models", ())),
        settings.get("complete", True),
        study.scan_probes() if study.has_probes() else None,
        {kind: study.scan_features(kind, run) for kind in study.feature_kinds(run)},
        study.feature_facts(run) or {},
        {kind: study.scan_signals(kind, run, partial=partial) for kind in signals},
        {kind: functools.partial(study.states, kind=kind, run=run) for kind in study.state_kinds(run)},
        study.scan_predictions(run) if study.has_predictions(run) else None,
        study.scan_exposures() if study.has_exposures() else None,
    )
