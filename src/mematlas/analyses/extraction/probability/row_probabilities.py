"""log p_z of every row: how probable its whole continuation is to a model that is sampled from, by sampling scheme.

Source: K3 (a): p_z is the product of the probabilities of the continuation's tokens after the true ones, renormalised
over the tokens that may be drawn; read from the signals along the truth, without generating.
"""

import re
from typing import Any, Final

import polars as pl

from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.study_tables import Cell, Tables, read_tables
from mematlas.errors import StudyError
from mematlas.metrics.extractable import extractable
from mematlas.metrics.extraction_strength import extraction_strength
from mematlas.metrics.memory_unit_length import memory_unit_length
from mematlas.study import Study

GREEDY: Final = "greedy"
TOP: Final = "top-k 40"
FULL: Final = "full distribution"
SCHEME: Final = (
    f"what is drawn from: {GREEDY}: the most probable token alone, so that p_z is 0 or 1; {TOP}: the 40 most probable "
    f"tokens at T = 1, as K3; {FULL}: all tokens at T = 1; T = ...: all tokens at that temperature"
)
MEASURES: Final = {"extraction_strength": extraction_strength, "memory_unit_length": memory_unit_length}
THRESHOLD: Final = 0.001  # p_z from which on K11 calls a text extracted
_TOP_COLUMN: Final = "log_probability_top40"
_FULL_COLUMN: Final = "log_probability"
_TEMPERATURE: Final = re.compile(r"log_probability_t(\d[\d.e+-]*)")
_KEYS: Final = ("model", "role", "context", "continuation", "row")


def schemes(tables: Tables) -> dict[str, str]:
    """Sampling scheme -> column of the signals along the truth, temperatures ascending; {} without such signals."""
    columns = tables.signals["truth"].collect_schema().names() if "truth" in tables.signals else []
    if _FULL_COLUMN not in columns:
        return {}
    warm = {float(found[1]): name for name in columns if (found := _TEMPERATURE.fullmatch(name))}
    named = {TOP: _TOP_COLUMN, FULL: _FULL_COLUMN} | {f"T = {t:g}": warm[t] for t in sorted(warm)}
    return {scheme: column for scheme, column in named.items() if column in columns}


def model_rows(tables: Tables, cell: Cell, model: str) -> pl.DataFrame:
    """The rows of a cell that the model scored and whose signals along the truth reach its end; rows ascending.

    Returns:
        model, role ("control model" on all rows of one), context, continuation, row; recited (M = 1); one column a
        scheme: log p_z in nats, -inf where p_z = 0, null where it is not known; the MEASURES. Of greedy decoding p_z is
        left null where no log-probability is known, so that all schemes speak of the same rows.
    """
    scored = (
        tables.scores.filter(model=model, context=cell.context, continuation=cell.continuation)
        .select("row", extractable.expression().alias("recited"))
        .drop_nulls("recited")
    )
    named = schemes(tables)
    truth = tables.signals_of("truth", cell).filter(model=model)
    numbers = {scheme: _log_probability(column, cell) for scheme, column in named.items()}
    numbers |= {name: metric.expression() for name, metric in MEASURES.items()}
    found = (
        truth.select("row", "model", "context", "continuation", **numbers)
        .join(scored, on="row")
        .join(tables.rows.select("row", "role"), on="row")
    )
    role = pl.lit("control model") if model in tables.control_models else pl.col("role")
    greedy = pl.when("recited").then(0.0).otherwise(-float("inf"))
    greedy = pl.when(pl.any_horizontal(pl.col(list(named)).is_not_null())).then(greedy).alias(GREEDY)
    order = (*_KEYS, "recited", GREEDY, *named, *MEASURES)
    return found.with_columns(role.alias("role"), greedy).select(order).sort("row").collect(engine="streaming")


def _log_probability(column: str, cell: Cell) -> pl.Expr:
    """log p_z. A token outside the 40 has no top-40 log-probability, though one in the full distribution."""
    drawn, every = (_continuation(name, cell) for name in (column, _FULL_COLUMN))
    length = pl.lit(cell.continuation)
    known = (drawn.list.len() == length) & (every.list.drop_nulls().list.len() == length)
    whole, total = drawn.list.drop_nulls().list.len() == length, drawn.list.sum()
    if column == _TOP_COLUMN:
        total = pl.when(whole).then(total).otherwise(-float("inf"))
    else:
        known &= whole
    return pl.when(known & total.is_not_nan()).then(total.clip(upper_bound=0.0))


def _continuation(column: str, cell: Cell) -> pl.Expr:
    return pl.col(column).list.slice(cell.context).cast(pl.List(pl.Float64))


def by_scheme(rows: pl.DataFrame) -> pl.DataFrame:
    """`model_rows` with one line a scheme in which p_z is known; columns as `probability_lines`."""
    named = [name for name in rows.columns if name not in (*_KEYS, "recited", *MEASURES)]
    long = rows.drop(*MEASURES).unpivot(
        named, index=[*_KEYS, "recited"], variable_name="scheme", value_name="log_probability"
    )
    probable = (pl.col("log_probability").exp() >= THRESHOLD).alias("probable")
    return long.drop_nulls("log_probability").with_columns(
        pl.col("scheme").cast(pl.Enum(named)), probable, possible=pl.col("log_probability").is_finite()
    )


def models_of(tables: Tables) -> tuple[str, ...]:
    """The models that findings on probabilities speak of: the last checkpoint of each size, and the controls."""
    return (*tables.by_size, *tables.control_models)


def signal_rows(study: Study, run: str | None = None) -> pl.DataFrame:
    """`model_rows` of the last checkpoint of each size and of the control models, at the cell nearest to 32 + 32.

    Raises:
        StudyError: the run is not finished, no row was scored, or no signals along the truth were recorded.
    """
    study.scan_signals("truth", run)
    tables = read_tables(study, run)
    cell = nearest_cell(tables)
    if cell is None:
        raise StudyError("The study has no scored training rows.")
    return pl.concat(model_rows(tables, cell, model) for model in models_of(tables))


def probability_lines(study: Study, run: str | None = None, **where: Any) -> pl.DataFrame:
    """One line a row, model and sampling scheme in which the probability of its continuation is known.

    Of the last checkpoint of each size and the control models, at the cell nearest to 32 + 32.

    Args:
        where: only lines with these values of the columns.

    Returns:
        model, role, context, continuation, row; recited (M = 1); scheme; log_probability (log p_z in nats, -inf where
        p_z = 0); probable (p_z is at least the THRESHOLD of K11); possible (p_z > 0).

    Raises:
        StudyError: as `signal_rows`.
    """
    return by_scheme(signal_rows(study, run)).with_columns(pl.col("scheme").cast(pl.String)).filter(**where)
