"""Scores of membership inference of every row: loss, zlib, Min-K%, Min-K%++, a reference model, and a blind baseline.

Sources: K5, K6; formulas in stats/membership.py and stats/bag_of_words.py. From teacher-forced signals over the whole
window of a cell (context and continuation); the first token, which nothing precedes, has none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from mematlas.analyses.frames.copies_as_repetitions import by_copies
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.study_tables import Cell, Tables, read_tables
from mematlas.analyses.positions.token_windows import padded_lists
from mematlas.errors import StudyError
from mematlas.stats.classification.bag_of_words import blind_log_odds
from mematlas.stats.classification.membership import lowest_mean, mean_log_probability, token_z_scores, zlib_ratio
from mematlas.study import Study

PERCENTS: Final = tuple(range(10, 101, 10))  # K6: the sweep of K
PERCENT: Final = 20  # K6: the K that is spoken of
MIN_K: Final = "Min-K%"
MIN_K_PLUS_PLUS: Final = "Min-K%++"
LOSS: Final = "loss"
ZLIB: Final = "zlib ratio"
REFERENCE: Final = "reference model"
BLIND: Final = "bag of words"
_SIGNALS: Final = ("log_probability", "mean_log_probability", "variance_log_probability")
_PIECE: Final = 50_000  # our choice: rows whose signals are held at once
_BLIND_ROWS: Final = 50_000  # our choice: rows that the bag of words is fitted to, drawn where there are more


@dataclass(frozen=True, slots=True)
class Score:
    """A column of `membership_rows`. k: percent of the tokens, None where all count; swept: not spoken of."""

    column: str
    name: str
    k: int | None = None

    @property
    def swept(self) -> bool:
        return self.k not in (None, PERCENT)


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
    "member": pl.Boolean,
    "repetitions": pl.Int64,
    "incomplete": pl.Boolean,
    **{score.column: pl.Float64 for score in SCORES},
}


def membership_rows(study: Study, run: str | None = None) -> pl.DataFrame:
    """The scores of membership inference of every row by every model, at the cell nearest to 32 + 32.

    Returns:
        model, parameters, latest (last checkpoint of its size, or a control model), role ("train": a model of the
        family, "control model": one that never saw the corpus), row, member (a training row; else a row of the control
        corpus), repetitions (or exact copies in the corpus where none are recorded), incomplete (a token other than the
        first lacks its log-probability), and the columns of SCORES, each higher for a member, null where not known.

    Raises:
        StudyError: the run is not finished, has no signals of the kind truth, or no row was scored.
    """
    tables = read_tables(study, run)
    cell = nearest_cell(tables)
    if cell is None or "truth" not in tables.signals:
        raise StudyError("The study has no scored rows with signals; score with `--signals truth`.")
    return pl.concat([pl.DataFrame(schema=_SCHEMA), *scored_rows(tables, cell)])


def scored_rows(tables: Tables, cell: Cell) -> Iterator[pl.DataFrame]:
    """As `membership_rows`, one table a model, in the order given; a model at a time is held."""
    given = by_copies(tables) or tables
    rows = _rows(given, cell)
    reference = reference_model(tables)
    other = _of_model(given, reference, cell, rows) if reference and len(tables.models) > 1 else None
    for model in tables.models["model"]:
        own = _of_model(given, model, cell, rows) if other is None or model != reference else other
        yield _beside(own, None if model == reference else other).select(*_SCHEMA)


def reference_model(tables: Tables) -> str | None:
    """The model whose log-probability is subtracted: the smallest control model, else the smallest of the family; the
    first given where sizes are unknown; None without models."""
    if not tables.control_models:
        return next(iter(tables.by_size), None)
    controls = tables.models.filter(pl.col("model").is_in(tables.control_models))
    return next(iter(controls.sort("parameters", nulls_last=True, maintain_order=True)["model"]))


def _beside(own: pl.DataFrame, other: pl.DataFrame | None) -> pl.DataFrame:
    """`own` with the difference to the mean log-probability of another model."""
    if other is None:
        return own.with_columns(pl.lit(None, pl.Float64).alias("reference"))
    their = other.select("row", pl.col("loss").alias("their"))
    found = own.join(their, on="row", how="left", maintain_order="left")
    return found.with_columns((pl.col("loss") - pl.col("their")).alias("reference"))


def _rows(tables: Tables, cell: Cell) -> pl.DataFrame:
    """What is known of the rows without a model: row, member, repetitions, compressed_bytes, blind; rows ascending.

    Training rows that were shown no time are members of nothing and left out.
    """
    rows = tables.rows.filter((pl.col("role") == "control") | (pl.col("repetitions").fill_null(1) > 0))
    kept = ("row", "member", "repetitions", "document", "source")
    found = rows.with_columns(member=pl.col("role") == "train").select(kept).collect().sort("row")
    sizes = pl.DataFrame(schema={"row": pl.Int64, "compressed_bytes": pl.Int32})
    if "texts" in tables.features:
        here = tables.features["texts"].filter(context=cell.context, continuation=cell.continuation)
        sizes = here.select("row", "compressed_bytes").collect()
    found = found.join(sizes, on="row", how="left", maintain_order="left")
    return found.with_columns(_blind(tables, found, cell)).drop("document", "source")


def _blind(tables: Tables, rows: pl.DataFrame, cell: Cell) -> pl.Series:
    """Log-odds that each row is a member, by the tokens of its window alone; null where they are not known."""
    if "tokens" not in tables.features or not rows.height:
        return pl.Series("blind", [None] * rows.height, dtype=pl.Float64)
    drawn = np.sort(np.random.default_rng(0).permutation(rows.height)[:_BLIND_ROWS])
    # rows of unknown document are each their own
    alone, together = -1 - pl.col("row"), pl.struct("document", "source").rank("dense").cast(pl.Int64)
    group = pl.when(pl.col("document").is_not_null()).then(together).otherwise(alone)
    used = rows[drawn].select("row", "member", group=group)
    start = 0 if tables.question.get("align", "start") == "start" else max(tables.contexts) - cell.context
    width = cell.context + cell.continuation
    words = pl.col("tokens").list.slice(start, width).list.unique()
    tokens = tables.features["tokens"].select("row", words).filter(pl.col("tokens").list.len() > 0)
    used = used.join(tokens.collect(), on="row").sort("row")
    long = used.with_row_index("place").select("place", "tokens").explode("tokens")
    odds = blind_log_odds(long["place"], long["tokens"], used["member"], used["group"], seed=0)
    found = used.select("row", pl.Series("blind", odds, dtype=pl.Float64).fill_nan(None))
    return rows.select("row").join(found, on="row", how="left", maintain_order="left")["blind"]


def _of_model(tables: Tables, model: str, cell: Cell, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that have signals of a model, with all scores that need no other model; rows ascending."""
    signals = tables.signals_of("truth", cell).filter(model=model).select("row", *_SIGNALS)
    width, pieces = cell.context + cell.continuation, []
    for start in range(0, rows.height, _PIECE):
        ids = rows["row"][start : start + _PIECE]
        found = signals.filter(pl.col("row").is_between(ids[0], ids[-1])).collect(engine="streaming").sort("row")
        pieces.append(rows.join(_scores(found, width), on="row", maintain_order="left"))
    empty = rows.clear().join(_scores(signals.head(0).collect(), width), on="row")
    found = pl.concat([empty, *pieces])
    zlib = zlib_ratio(found["loss"].fill_null(np.nan), found["compressed_bytes"].cast(pl.Float64).fill_null(np.nan))
    return found.with_columns(
        pl.Series("zlib_ratio", zlib, dtype=pl.Float64).fill_nan(None),
        model=pl.lit(model),
        parameters=pl.lit(tables.parameters(model), pl.Int64),
        latest=pl.lit(model in (*tables.by_size, *tables.control_models)),
        role=pl.lit("control model" if model in tables.control_models else "train"),
    )


def _scores(signals: pl.DataFrame, width: int) -> pl.DataFrame:
    """row, incomplete and the scores of log-probabilities alone."""
    own, means, variances = (padded_lists(signals.lazy(), name, 0, width) for name in _SIGNALS)
    z = token_z_scores(own, means, variances)
    columns = {"loss": mean_log_probability(own)}
    for percent in PERCENTS:
        columns[f"min_k_{percent}"] = lowest_mean(own, percent / 100)
        columns[f"min_k_plus_plus_{percent}"] = lowest_mean(z, percent / 100)
    found = [pl.Series(name, values, dtype=pl.Float64).fill_nan(None) for name, values in columns.items()]
    return signals.select("row", pl.Series("incomplete", ~np.isfinite(own[:, 1:]).all(1), dtype=pl.Boolean), *found)
