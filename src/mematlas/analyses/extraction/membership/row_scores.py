"""Membership inference scores of every row: loss, zlib, Min-K%, Min-K%++, a reference model, and a blind baseline.

Sources: K5, K6; formulas in stats/classification/membership.py and bag_of_words.py. Computed from teacher-forced
signals over the whole window of a cell (context and continuation); the first token has no signal.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from mematlas.analyses.extraction.membership.blind_check import blind_scores, member_rows
from mematlas.analyses.frames.copies_as_repetitions import with_copies_as_repetitions
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.study_tables import Cell, Tables, read_tables
from mematlas.analyses.positions.token_windows import padded_lists
from mematlas.errors import StudyError
from mematlas.stats.classification.membership import mean_log_probability, min_k_mean, token_z_scores, zlib_ratio
from mematlas.study import Study

PERCENTS: Final = tuple(range(10, 101, 10))  # K6: the sweep of K
HEADLINE_PERCENT: Final = 20  # K6: the K that claims cite
MIN_K: Final = "Min-K%"
MIN_K_PLUS_PLUS: Final = "Min-K%++"
LOSS: Final = "loss"
ZLIB: Final = "zlib ratio"
REFERENCE: Final = "reference model"
BLIND: Final = "bag of words"
_SIGNALS: Final = ("log_probability", "mean_log_probability", "variance_log_probability")
_BATCH_ROWS: Final = 50_000  # our choice: rows whose signals are in memory at once


@dataclass(frozen=True, slots=True)
class Score:
    """A column of `membership_rows`; k: percent of the tokens that count, None for all."""

    column: str
    name: str
    k: int | None = None

    @property
    def swept_only(self) -> bool:
        """Whether the score is only part of the sweep over K."""
        return self.k not in (None, HEADLINE_PERCENT)


SCORES: Final = (
    Score("loss", LOSS),
    Score("zlib_ratio", ZLIB),
    *(Score(f"min_k_{k}", MIN_K, k) for k in PERCENTS),
    *(Score(f"min_k_plus_plus_{k}", MIN_K_PLUS_PLUS, k) for k in PERCENTS),
    Score("blind", BLIND),
    Score("reference", REFERENCE),
)
_SCHEMA: Final = {
    "model": pl.String,
    "parameters": pl.Int64,
    "latest": pl.Boolean,
    "role": pl.String,
    "row": pl.Int64,
    "cluster": pl.Int64,
    "member": pl.Boolean,
    "repetitions": pl.Int64,
    "incomplete": pl.Boolean,
    **{score.column: pl.Float64 for score in SCORES},
}


def membership_rows(study: Study, run: str | None = None) -> pl.DataFrame:
    """The scores of membership inference of every row by every model, at the cell nearest to 32 + 32.

    Returns:
        model, parameters, latest (last checkpoint of its size, or a control model), role ("train": a model of the
        family, "control model": one that never saw the corpus), row, cluster (rows of one document, copies and
        near-copies have one number), member (a training row; else a row of the control corpus), repetitions (or exact
        copies in the corpus where none are recorded), incomplete (a token other than the first lacks its
        log-probability), and the columns of SCORES, each higher for a member, null where not known.

    Raises:
        StudyError: the run is not finished, has no signals of the kind truth, or no row was scored.
    """
    return membership_rows_of(read_tables(study, run))


def membership_rows_of(tables: Tables) -> pl.DataFrame:
    """As `membership_rows`, from a study's tables."""
    cell = nearest_cell(tables)
    if cell is None or "truth" not in tables.signals:
        raise StudyError("The study has no scored rows with signals; score with `--signals truth`.")
    return pl.concat([pl.DataFrame(schema=_SCHEMA), *membership_scores(tables, cell)])


def membership_scores(tables: Tables, cell: Cell) -> Iterator[pl.DataFrame]:
    """Like `membership_rows`, one data frame per model, in the order given; only one is in memory at a time."""
    tables_with_copies = with_copies_as_repetitions(tables) or tables
    rows = _row_table(tables_with_copies, cell)
    reference = reference_model_label(tables)
    reference_scores = (
        _model_scores(tables_with_copies, reference, cell, rows) if reference and len(tables.models) > 1 else None
    )
    for model in tables.models["model"]:
        model_scores = (
            _model_scores(tables_with_copies, model, cell, rows)
            if reference_scores is None or model != reference
            else reference_scores
        )
        yield _with_reference(model_scores, None if model == reference else reference_scores).select(*_SCHEMA)


def reference_model_label(tables: Tables) -> str | None:
    """Label of the model whose log-probability is subtracted.

    The smallest control model, or else the smallest of the family; the first given where sizes are unknown; None
    without models.
    """
    if not tables.control_models:
        return next(iter(tables.by_size), None)
    controls = tables.models.filter(pl.col("model").is_in(tables.control_models))
    return next(iter(controls.sort("parameters", nulls_last=True, maintain_order=True)["model"]))


def _with_reference(scores: pl.DataFrame, reference_scores: pl.DataFrame | None) -> pl.DataFrame:
    """`scores` with the difference from the mean log-probability of the reference model."""
    if reference_scores is None:
        return scores.with_columns(pl.lit(None, pl.Float64).alias("reference"))
    reference_loss = reference_scores.select("row", pl.col("loss").alias("their"))
    joined = scores.join(reference_loss, on="row", how="left", maintain_order="left")
    return joined.with_columns((pl.col("loss") - pl.col("their")).alias("reference"))


def _row_table(tables: Tables, cell: Cell) -> pl.DataFrame:
    """The model-independent columns: those of `member_rows`, compressed_bytes, blind; rows ascending."""
    row_table = member_rows(tables)
    sizes = pl.DataFrame(schema={"row": pl.Int64, "compressed_bytes": pl.Int32})
    if "texts" in tables.features:
        texts = tables.features["texts"].filter(context=cell.context, continuation=cell.continuation)
        sizes = texts.select("row", "compressed_bytes").collect()
    row_table = row_table.join(sizes, on="row", how="left", maintain_order="left")
    return row_table.with_columns(blind_scores(tables, row_table, cell).alias("blind"))


def _model_scores(tables: Tables, model: str, cell: Cell, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that have signals of a model, with all scores except that of the reference model; rows ascending."""
    signals = tables.cell_signals("truth", cell).filter(model=model).select("row", *_SIGNALS)
    width, batches = cell.context + cell.continuation, []
    for start in range(0, rows.height, _BATCH_ROWS):
        ids = rows["row"][start : start + _BATCH_ROWS]
        scores = signals.filter(pl.col("row").is_between(ids[0], ids[-1])).collect(engine="streaming").sort("row")
        batches.append(rows.join(_log_probability_scores(scores, width), on="row", maintain_order="left"))
    no_rows = rows.clear().join(_log_probability_scores(signals.head(0).collect(), width), on="row")
    scores = pl.concat([no_rows, *batches])
    zlib = zlib_ratio(scores["loss"].fill_null(np.nan), scores["compressed_bytes"].cast(pl.Float64).fill_null(np.nan))
    return scores.with_columns(
        pl.Series("zlib_ratio", zlib, dtype=pl.Float64).fill_nan(None),
        model=pl.lit(model),
        parameters=pl.lit(tables.parameters(model), pl.Int64),
        latest=pl.lit(model in (*tables.by_size, *tables.control_models)),
        role=pl.lit("control model" if model in tables.control_models else "train"),
    )


def _log_probability_scores(signals: pl.DataFrame, width: int) -> pl.DataFrame:
    """row, incomplete and the scores that need only log-probabilities."""
    log_probabilities, means, variances = (padded_lists(signals.lazy(), name, 0, width) for name in _SIGNALS)
    z_scores = token_z_scores(log_probabilities, means, variances)
    columns = {"loss": mean_log_probability(log_probabilities)}
    for percent in PERCENTS:
        columns[f"min_k_{percent}"] = min_k_mean(log_probabilities, percent / 100)
        columns[f"min_k_plus_plus_{percent}"] = min_k_mean(z_scores, percent / 100)
    score_columns = [pl.Series(name, values, dtype=pl.Float64).fill_nan(None) for name, values in columns.items()]
    return signals.select(
        "row", pl.Series("incomplete", ~np.isfinite(log_probabilities[:, 1:]).all(1), dtype=pl.Boolean), *score_columns
    )
