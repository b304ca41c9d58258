"""A study's tables as analyses see them: lazy, with what they all need made once.

Ten million score lines are never held at once: everything starts from counts (how many rows of a model, role and cell
have so many matches) or from one cell's rows side by side, one column a model.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import polars as pl

from mematlas.metrics.extractable import extractable
from mematlas.study import HiddenStates, Study, cut_signals

_KEYS: Final = ("model", "role", "context", "continuation")


@dataclass(frozen=True, slots=True)
class Cell:
    """A pair of context and continuation, in tokens."""

    context: int
    continuation: int

    def __str__(self) -> str:
        return f"{self.context} + {self.continuation}"


@dataclass(frozen=True)
class Tables:
    """The tables of one run.

    scores: model, row, context, continuation, matches, verbatim, ...; rows: row, role, repetitions, document, source;
    models: one line a model in the order given: model, parameters (null where unknown or 0), training_step, tokenizer;
    question: what was asked.
    control_models: labels of models that never saw the corpus; their rows are a control, not members of the family.
    features: row features by kind (`mematlas.study.schemas.features`), {} where none were made;
    facts: what they were made from ("scope" of the counts, "tokens" of the corpus ...).
    signals: per-token records by kind ("truth", "free"; `mematlas.study.schemas.scores`), {} where there are none.
    states: hidden states of a sample of rows by kind ("truth", "free"), of a model each, read when called for; {} where
    none were kept; predictions: what predictors said of held-out rows (`study.schemas.predictions`), None without any.
    complete: every row of the corpus' selection has a line; False where only recited rows were published, so that rows
    without a line have M < 1 and nothing else is known of them.
    """

    scores: pl.LazyFrame
    rows: pl.LazyFrame
    models: pl.DataFrame
    question: dict[str, Any]
    control_models: tuple[str, ...] = ()
    complete: bool = True
    features: dict[str, pl.LazyFrame] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    signals: dict[str, pl.LazyFrame] = field(default_factory=dict)
    states: dict[str, Callable[[str], HiddenStates]] = field(default_factory=dict)
    predictions: pl.LazyFrame | None = None
    _kept: dict[object, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        # a stand-in without weights has no size: 0 would be its place on no log axis
        sizes = pl.when(pl.col("parameters") > 0).then("parameters").alias("parameters")
        object.__setattr__(self, "models", self.models.with_columns(sizes))

    # ------------------------------------------------------------------------------------------------ what was asked

    @property
    def contexts(self) -> tuple[int, ...]:
        return tuple(self.question["context"])

    @property
    def continuations(self) -> tuple[int, ...]:
        return tuple(self.question["continuation"])

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(Cell(context, length) for context in self.contexts for length in self.continuations)

    @property
    def reference(self) -> Cell:
        """The cell that claims speak of: 32 + 32, as P1 and K1, or the nearest there is."""
        return min(self.cells, key=lambda cell: (abs(cell.context - 32), abs(cell.continuation - 32)))

    @property
    def graded(self) -> bool:
        """Whether M is known beside M = 1."""
        return self.question.get("depth", "graded") == "graded" and self.complete

    # ------------------------------------------------------------------------------------------------ the family

    @property
    def family(self) -> tuple[str, ...]:
        """All models but the controls, as given."""
        return tuple(model for model in self.models["model"] if model not in self.control_models)

    @property
    def by_size(self) -> tuple[str, ...]:
        """One model a size, ascending: the latest checkpoint of each; as given where sizes are unknown."""
        known = self._members().filter(pl.col("parameters").is_not_null())
        if known.height < len(self.family):
            return self.family
        latest = known.sort("training_step", nulls_last=True, maintain_order=True).group_by("parameters").last()
        return tuple(latest.sort("parameters")["model"])

    @property
    def by_step(self) -> tuple[tuple[str, ...], ...]:
        """The checkpoints of each size that has several, ascending in training step."""
        known = self._members().filter(pl.col("parameters").is_not_null() & pl.col("training_step").is_not_null())
        series = []
        for _, members in known.sort("parameters", "training_step").group_by("parameters", maintain_order=True):
            if members["training_step"].n_unique() > 1:
                series.append(tuple(members["model"]))
        return tuple(series)

    def _members(self) -> pl.DataFrame:
        return self.models.filter(pl.col("model").is_in(self.family))

    @property
    def tokenizers(self) -> tuple[str, ...]:
        """Fingerprints of the family's tokenizers, as far as known."""
        return tuple(self._members()["tokenizer"].drop_nulls().unique().sort())

    def parameters(self, model: str) -> int | None:
        return self.models.filter(model=model)["parameters"][0]

    def training_step(self, model: str) -> int | None:
        return self.models.filter(model=model)["training_step"][0]

    # ------------------------------------------------------------------------------------------------ the numbers

    @property
    def has_control(self) -> bool:
        """Whether rows of a control corpus were scored."""
        return self._control_rows() > 0

    def _control_rows(self) -> int:
        return self._once("control", lambda: self.rows.filter(role="control").select(pl.len()).collect().item())

    def counts(self, *by: str) -> pl.DataFrame:
        """How many rows: columns model, role, context, continuation, any of `by` (columns of rows/), matches, recited,
        rows. matches is null where only `recited` (M = 1) is known; rows that could not be scored are left out.

        A model of `control_models` has role "control model", whatever the row.
        """
        return self._once(("counts", by), lambda: self._count("matches", by))

    def verbatim_counts(self, *by: str) -> pl.DataFrame:
        """How many rows recite so many tokens before the first miss: as `counts`, with verbatim instead of matches."""
        return self._once(("verbatim", by), lambda: self._count("verbatim", by))

    def _count(self, value: str, by: tuple[str, ...]) -> pl.DataFrame:
        rows = self.rows.select("row", "role", *by)
        role = pl.when(pl.col("model").is_in(self.control_models)).then(pl.lit("control model")).otherwise("role")
        return (
            self._scored()
            .join(rows, on="row", how="inner")
            .with_columns(role.alias("role"))
            .group_by(*_KEYS, *by, value, "recited")
            .agg(pl.len().cast(pl.Int64).alias("rows"))
            .collect(engine="streaming")
            .sort(*_KEYS, *by, value, "recited", nulls_last=True)
        )

    def missing(self) -> pl.DataFrame:
        """Rows that could not be scored: model, context, continuation, reason, rows."""
        return self._once(
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
        """Score lines of which anything is known, with `recited`: M = 1."""
        recited = extractable.expression().alias("recited")
        names = ("model", "row", "context", "continuation", "matches", "verbatim")
        return self.scores.select(*names, recited).filter(pl.col("recited").is_not_null())

    def side_by_side(self, models: tuple[str, ...], cell: Cell, value: str = "matches") -> pl.DataFrame:
        """Training rows of one cell with one column a model: row, then `value` ("matches", "verbatim", "recited") each.

        Only rows scored by all of `models` are kept; where only recited rows were published (`complete` is False),
        `value` must be "recited", and a row that another model recites is False.
        """
        return self._once((models, cell, value), lambda: self._wide(models, cell, value))

    def signals_of(self, kind: str, cell: Cell) -> pl.LazyFrame:
        """Signals cut to a cell, one line a (model, row); see `Study.signals`."""
        align = self.question.get("align", "start")
        return cut_signals(self.signals[kind], kind, align, cell.context, cell.continuation)

    def _wide(self, models: tuple[str, ...], cell: Cell, value: str) -> pl.DataFrame:
        here = (
            self._scored()
            .filter(context=cell.context, continuation=cell.continuation)
            .filter(pl.col(value).is_not_null())
        )
        train = self.rows.filter(role="train").select("row")
        wide = train.join(
            here.filter(model=models[0]).select("row", pl.col(value).alias(models[0])), on="row", how="left"
        )
        for model in models[1:]:
            wide = wide.join(here.filter(model=model).select("row", pl.col(value).alias(model)), on="row", how="left")
        found = wide.collect(engine="streaming").sort("row")
        if not self.complete and value == "recited":
            return found.with_columns(pl.col(model).fill_null(False) for model in models)
        return found.drop_nulls(list(models))

    def _once(self, key: object, make: Any) -> Any:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def read_tables(study: Study, run: str | None = None) -> Tables:
    """The tables of a study's run, the latest by default; nothing large is read yet.

    Raises:
        StudyError: the run is not finished.
    """
    question = study.run(run).question
    signals = [kind for kind in question.get("signals", ()) if kind != "hidden"]
    return Tables(
        study.scan_scores(run),
        study.scan_rows(run),
        study.models(run),
        question,
        tuple(question.get("control_models", ())),
        question.get("complete", True),
        {kind: study.scan_features(kind, run) for kind in study.feature_kinds(run)},
        study.feature_facts(run) or {},
        {kind: study.scan_signals(kind, run) for kind in signals},
        {kind: partial(study.states, kind=kind, run=run) for kind in study.state_kinds(run)},
        study.scan_predictions(run) if study.has_predictions(run) else None,
    )
