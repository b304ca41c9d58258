"""log p_z of every row: the probability that sampling from a model yields its whole continuation, by sampling scheme.

Source: K3 (a): p_z is the product of the probabilities of the continuation's tokens given the true prefix, renormalized
over the tokens that may be drawn. It is computed from the signals along the truth, without generating.
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
TOP_K: Final = "top-k 40"
FULL_DISTRIBUTION: Final = "full distribution"
SCHEME_DESCRIPTION: Final = (
    f"what is drawn from: {GREEDY}: the most probable token alone, so that p_z is 0 or 1; {TOP_K}: the 40 most "
    f"probable tokens at T = 1, as K3; {FULL_DISTRIBUTION}: all tokens at T = 1; T = ...: all tokens at that "
    "temperature"
)
MEASURES: Final = {"extraction_strength": extraction_strength, "memory_unit_length": memory_unit_length}
EXTRACTION_THRESHOLD: Final = 0.001  # smallest p_z that K11 calls extracted
_TOP_COLUMN: Final = "log_probability_top40"
_FULL_COLUMN: Final = "log_probability"
_TEMPERATURE: Final = re.compile(r"log_probability_t(\d[\d.e+-]*)")
_KEYS: Final = ("model", "role", "context", "continuation", "row", "cluster")


def schemes(tables: Tables) -> dict[str, str]:
    """Sampling scheme -> column of the signals along the truth, temperatures ascending; {} without such signals."""
    columns = tables.signals["truth"].collect_schema().names() if "truth" in tables.signals else []
    if _FULL_COLUMN not in columns:
        return {}
    columns_by_temperature = {float(match[1]): name for name in columns if (match := _TEMPERATURE.fullmatch(name))}
    column_by_scheme = {TOP_K: _TOP_COLUMN, FULL_DISTRIBUTION: _FULL_COLUMN} | {
        f"T = {t:g}": columns_by_temperature[t] for t in sorted(columns_by_temperature)
    }
    return {scheme: column for scheme, column in column_by_scheme.items() if column in columns}


def model_rows(tables: Tables, cell: Cell, model: str) -> pl.DataFrame:
    """The rows of a cell that the model scored and whose signals along the truth reach its end; rows ascending.

    Returns:
        model, role ("control model" for every row of one), context, continuation, row, cluster (as in
        `recount.lines`); recited (M = 1); one column per scheme: log p_z in nats, -inf where p_z = 0, null where
        unknown; the MEASURES. For greedy decoding p_z is null where no log-probability is known, so that all schemes
        cover the same rows.
    """
    scores = (
        tables.scores.filter(model=model, context=cell.context, continuation=cell.continuation)
        .select("row", extractable.expression().alias("recited"))
        .drop_nulls("recited")
    )
    column_by_scheme = schemes(tables)
    truth = tables.cell_signals("truth", cell).filter(model=model)
    expressions = {scheme: _log_probability(column, cell) for scheme, column in column_by_scheme.items()}
    expressions |= {name: metric.expression() for name, metric in MEASURES.items()}
    joined = (
        truth.select("row", "model", "context", "continuation", **expressions)
        .join(scores, on="row")
        .join(tables.clustered_rows.select("row", "role", pl.col("cluster").cast(pl.Int64)), on="row")
    )
    role = pl.lit("control model") if model in tables.control_models else pl.col("role")
    greedy = pl.when("recited").then(0.0).otherwise(-float("inf"))
    greedy = pl.when(pl.any_horizontal(pl.col(list(column_by_scheme)).is_not_null())).then(greedy).alias(GREEDY)
    columns = (*_KEYS, "recited", GREEDY, *column_by_scheme, *MEASURES)
    return joined.with_columns(role.alias("role"), greedy).select(columns).sort("row").collect(engine="streaming")


def _log_probability(column: str, cell: Cell) -> pl.Expr:
    """log p_z. A token outside the top 40 has no top-40 log-probability, but one in the full distribution."""
    values, full_values = (_continuation_values(name, cell) for name in (column, _FULL_COLUMN))
    continuation = pl.lit(cell.continuation)
    is_known = (values.list.len() == continuation) & (full_values.list.drop_nulls().list.len() == continuation)
    is_complete, total = values.list.drop_nulls().list.len() == continuation, values.list.sum()
    if column == _TOP_COLUMN:
        total = pl.when(is_complete).then(total).otherwise(-float("inf"))
    else:
        is_known &= is_complete
    return pl.when(is_known & total.is_not_nan()).then(total.clip(upper_bound=0.0))


def _continuation_values(column: str, cell: Cell) -> pl.Expr:
    return pl.col(column).list.slice(cell.context).cast(pl.List(pl.Float64))


def by_scheme(rows: pl.DataFrame) -> pl.DataFrame:
    """`model_rows` in long form: one record per scheme with known p_z; columns of `probability_lines`."""
    scheme_names = [name for name in rows.columns if name not in (*_KEYS, "recited", *MEASURES)]
    long_table = rows.drop(*MEASURES).unpivot(
        scheme_names, index=[*_KEYS, "recited"], variable_name="scheme", value_name="log_probability"
    )
    is_probable = (pl.col("log_probability").exp() >= EXTRACTION_THRESHOLD).alias("probable")
    return long_table.drop_nulls("log_probability").with_columns(
        pl.col("scheme").cast(pl.Enum(scheme_names)), is_probable, possible=pl.col("log_probability").is_finite()
    )


def headline_models(tables: Tables) -> tuple[str, ...]:
    """The models that the finding `probability` covers: the last checkpoint of each size, and the control models."""
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
    return pl.concat(model_rows(tables, cell, model) for model in headline_models(tables))


def probability_lines(study: Study, run: str | None = None, **where: Any) -> pl.DataFrame:
    """One record per row, model and sampling scheme with a known probability of the continuation.

    The models are the last checkpoint of each size and the control models; the cell is the one nearest to 32 + 32.

    Args:
        where: only records with these values in the columns.

    Returns:
        model, role, context, continuation, row, cluster (as in `recount.lines`); recited (M = 1); scheme;
        log_probability (log p_z in nats, -inf where p_z = 0); probable (p_z is at least 0.1 %, K11); possible
        (p_z > 0).

    Raises:
        StudyError: as `signal_rows`.
    """
    return by_scheme(signal_rows(study, run)).with_columns(pl.col("scheme").cast(pl.String)).filter(**where)
