"""How many bits of every row a model holds beyond a reference model that never saw the rows (K12, Morris et al.)."""

from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.analyses.extraction.membership.blind_check import member_rows
from mematlas.analyses.extraction.membership.discrimination import repetition_buckets
from mematlas.analyses.extraction.membership.row_scores import reference_model_label
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.study_tables import Cell, Tables, read_tables
from mematlas.analyses.positions.token_windows import padded_lists
from mematlas.errors import StudyError
from mematlas.stats.bits import code_difference, unintended_bits
from mematlas.stats.estimates.averages import means
from mematlas.stats.estimates.contrasts import stratified_difference
from mematlas.study import Study

_SCHEMA: Final = {
    "model": pl.String,
    "parameters": pl.Int64,
    "reference": pl.String,
    "row": pl.Int64,
    "cluster": pl.Int64,
    "member": pl.Boolean,
    "repetitions": pl.Int64,
    "tokens": pl.Int64,
    "bits": pl.Float64,
    "difference": pl.Float64,
}
_MODEL: Final = {
    "model": "label of the model",
    "parameters": "number of weights",
    "reference": "the control model whose code is the measure",
}
_BITS: Final = {
    "rows": "rows that the model was trained on, with log-probabilities of all tokens but the first",
    "bits": "mean of max(0, log2 p - log2 p of the reference), bits per row",
    "bits_lower": "lower end of its 95 % interval (Student's t over documents or rows)",
    "bits_upper": "upper end of the same",
}
MODEL_COLUMNS: Final = {
    **_MODEL,
    **_BITS,
    "controls": "rows that the model was not trained on",
    "control_bits": "mean bits of these: what chance alone brings, as no row counts below 0",
    "excess": "bits - control_bits",
    "excess_lower": "lower end of its 95 % interval (Welch's t over documents or rows)",
    "excess_upper": "upper end of the same",
    "difference": "mean of log2 p - log2 p of the reference over trained rows, which may be below 0",
    "tokens": "tokens of a row that count",
    "total": "sum of bits over these rows: at least so many does the model hold",
    "per_parameter": "total / number of weights, bits",
}
REPETITION_COLUMNS: Final = {
    **_MODEL,
    "repetitions": "fewest times that these rows were shown: buckets double from 1",
    "most": "most times that a row of the bucket is shown",
    **_BITS,
}


def row_bits(study: Study, run: str | None = None) -> pl.DataFrame:
    """The bits of every row in every model that is no control model, at the cell nearest to 32 + 32.

    Returns:
        model, parameters, reference (the control model that went on from the same base model, or else the smallest),
        row, cluster (rows of one document have one number), member (whether the model was trained on the row),
        repetitions (how often, null where not known), tokens, bits, difference (both null where a token lacks its
        log-probability in either).

    Raises:
        StudyError: the run is not finished, has no signals of the kind truth, no control model, or no scored row.
    """
    return row_bits_of(read_tables(study, run))


def row_bits_of(tables: Tables) -> pl.DataFrame:
    """As `row_bits`, from a study's tables."""
    cell = nearest_cell(tables)
    if cell is None or "truth" not in tables.signals or not tables.control_models:
        raise StudyError(
            "Bits need signals and a model that never saw the rows: score with `--signals truth --control-models BASE`."
        )
    rows = member_rows(tables)
    codes = {model: _log_probabilities(tables, model, cell) for model in tables.models["model"]}
    parts = [pl.DataFrame(schema=_SCHEMA)]
    for model in tables.family:
        reference = reference_of(tables, model)
        theirs = codes[reference].rename({"log_probability": "of_reference"})
        known = rows.join(codes[model], on="row").join(theirs, on="row").sort("row")
        values = known["log_probability"].to_numpy(), known["of_reference"].to_numpy()
        named = _with_exposures(known, tables, model).with_columns(
            pl.Series("bits", unintended_bits(*values)).fill_nan(None),
            pl.Series("difference", code_difference(*values)).fill_nan(None),
            model=pl.lit(model),
            parameters=pl.lit(tables.parameters(model), pl.Int64),
            reference=pl.lit(reference),
            tokens=pl.lit(cell.context + cell.continuation - 1, pl.Int64),
        )
        parts.append(named.select(*_SCHEMA))
    return pl.concat(parts)


def reference_of(tables: Tables, model: str) -> str:
    """The control model that is compared with: the twin of the same group (GROUP--CONTROL), or else the smallest."""
    group, branch, _ = model.partition("--")
    twin = next((name for name in tables.control_models if branch and name.startswith(f"{group}--")), None)
    found = twin or reference_model_label(tables)
    assert found is not None, "there is a control model"
    return found


def bits_by_model(rows: pl.DataFrame) -> pl.DataFrame:
    """Mean bits of trained rows and of others, by model; columns MODEL_COLUMNS. rows: from `row_bits`."""
    records = []
    for model in rows["model"].unique(maintain_order=True):
        known = rows.filter(model=model).drop_nulls("bits")
        members, others = known.filter("member"), known.filter(~pl.col("member"))
        if members.is_empty():
            continue
        contrast = stratified_difference(known.select("bits").to_numpy(), known["member"], clusters=_clusters(known))
        parameters, total = members["parameters"][0], float(members["bits"].sum())
        control = float(others["bits"].sum()) / others.height if others.height else None
        bits = float(members["bits"].sum()) / members.height
        excess = None if control is None else bits - control
        has_bounds = excess is not None and np.isfinite(contrast.lower[0])
        records.append(
            {
                **_names(members),
                **_mean_bits(members),
                "controls": others.height,
                "control_bits": control,
                "excess": excess,
                "excess_lower": float(contrast.lower[0]) if has_bounds else None,
                "excess_upper": float(contrast.upper[0]) if has_bounds else None,
                "difference": float(members["difference"].sum()) / members.height,
                "tokens": members["tokens"][0],
                "total": total,
                "per_parameter": total / parameters if parameters else None,
            }
        )
    return _frame(records, MODEL_COLUMNS)


def bits_by_repetitions(rows: pl.DataFrame) -> pl.DataFrame:
    """Mean bits by how often rows were shown; columns REPETITION_COLUMNS. rows: from `row_bits`."""
    records = []
    for model in rows["model"].unique(maintain_order=True):
        known = rows.filter(model=model).drop_nulls("bits").filter(pl.col("repetitions").fill_null(1) > 0)
        for bucket, members in repetition_buckets(known):
            records.append({**_names(members), **bucket, **_mean_bits(members)})
    return _frame(records, REPETITION_COLUMNS)


def _names(rows: pl.DataFrame) -> dict[str, Any]:
    return {name: rows[name][0] for name in _MODEL}


def _mean_bits(rows: pl.DataFrame) -> dict[str, Any]:
    """The columns of _BITS."""
    found = means(rows.select("bits").to_numpy(), clusters=_clusters(rows))
    has_bounds = bool(np.isfinite(found.lower[0]))
    return {
        "rows": rows.height,
        "bits": float(found.estimate[0]),
        "bits_lower": max(0.0, float(found.lower[0])) if has_bounds else None,
        "bits_upper": float(found.upper[0]) if has_bounds else None,
    }


def _clusters(rows: pl.DataFrame) -> pl.Series | None:
    return None if rows["cluster"].is_unique().all() else rows["cluster"]


def _log_probabilities(tables: Tables, model: str, cell: Cell) -> pl.DataFrame:
    """row, log_probability: of its window without the first token, nats; NaN where that of a token is not known."""
    width = cell.context + cell.continuation
    signals = tables.cell_signals("truth", cell).filter(model=model).select("row", "log_probability")
    known = signals.collect(engine="streaming").sort("row")
    tokens = padded_lists(known.lazy(), "log_probability", 0, width)[:, 1:]
    return known.select("row", pl.Series("log_probability", tokens.sum(axis=1), dtype=pl.Float64))


def _with_exposures(rows: pl.DataFrame, tables: Tables, model: str) -> pl.DataFrame:
    """`rows` with what this model was trained on, where that is recorded."""
    if tables.exposures is None:
        return rows
    times = tables.exposures.filter(model=model).select("row", "times").collect()
    if times.is_empty():
        return rows
    joined = rows.join(times, on="row", how="left", maintain_order="left").with_columns(pl.col("times").fill_null(0))
    return joined.with_columns(member=pl.col("times") > 0, repetitions="times").drop("times")


def _frame(records: list[dict[str, Any]], columns: dict[str, str]) -> pl.DataFrame:
    counts = ("parameters", "rows", "controls", "tokens", "repetitions", "most")
    types = {
        name: pl.String if name in ("model", "reference") else pl.Int64 if name in counts else pl.Float64
        for name in columns
    }
    return pl.DataFrame(records, schema=types, orient="row")
