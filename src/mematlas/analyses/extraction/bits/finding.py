"""How many bits of its training rows a model holds, beyond a reference model that never saw them.

Source: Morris et al. 2025 (K12): mem(x) = -log2 p_ref(x) + log2 max(p(x), p_ref(x)). The reference is a control model
(`--control-models`): a twin without the rows, or the model that was fine-tuned. Formulas: `mematlas.stats.bits`.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.extraction.bits.row_bits import (
    MODEL_COLUMNS,
    REPETITION_COLUMNS,
    bits_by_model,
    bits_by_repetitions,
    row_bits_of,
)
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import by_interval, format_bounds, format_count, format_difference
from mematlas.findings.finding import Axis, Chart, Finding, Table
from mematlas.stats.estimates.intervals import standard_error

_QUESTION: Final = "how many bits of its training rows a model holds"
_RECIPE: Final = "answer = recount.{}(recount.row_bits(study))"
_BITS_AXIS: Final = Axis("bits", "bits per row beyond the reference", bounds=(0, None))


def compute(tables: Tables) -> Finding:
    """Compute the bits of every model; the claim is on the largest one."""
    if "truth" not in tables.signals or nearest_cell(tables) is None:
        return _insufficient_data(tables, "per-token signals of the true text (truth)")
    if not tables.control_models:
        return _insufficient_data(tables, "a control model that never saw the rows")
    rows = row_bits_of(tables)
    models, repetitions = bits_by_model(rows), bits_by_repetitions(rows)
    if models.is_empty():
        return _insufficient_data(tables, "rows with log-probabilities that a model was trained on")
    largest = models.sort("parameters", nulls_last=False, maintain_order=True).row(-1, named=True)
    name = "excess" if largest["excess"] is not None else "bits"
    lower, upper = largest[f"{name}_lower"], largest[f"{name}_upper"]
    error = None if lower is None else standard_error(lower, upper)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(largest),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=abs(largest["excess"]) / error if error and name == "excess" else None,
        control=_control(largest),
        tables=_tables(models, repetitions),
        charts=_charts(models, repetitions),
        caveats=_caveats(rows, largest),
        deviations=(
            "Morris et al. count all tokens; the first token of a row has no probability here, and is left out.",
            "Morris et al. take a larger model as reference; here a control model that was not trained on the rows.",
        ),
        headline=_headline(largest),
        sentence=_sentence(largest),
    )


def _insufficient_data(tables: Tables, missing: str) -> Finding:
    remedy = (
        "Score the model beside one that never saw the rows: `mematlas score MODEL --corpus PATH --control PATH "
        "--control-models BASE --signals truth --study FOLDER`."
    )
    return ANALYSIS.insufficient_data(tables, _QUESTION, missing, remedy)


def _tables(models: pl.DataFrame, repetitions: pl.DataFrame) -> tuple[Table, ...]:
    tables = [Table("bits", "Bits by model", models, MODEL_COLUMNS, _RECIPE.format("bits_by_model"))]
    if repetitions.height:
        recipe = _RECIPE.format("bits_by_repetitions")
        tables.append(
            Table("repetitions", "Bits by how often rows were shown", repetitions, REPETITION_COLUMNS, recipe)
        )
    return tuple(tables)


def _charts(models: pl.DataFrame, repetitions: pl.DataFrame) -> tuple[Chart, ...]:
    charts = [
        Chart(
            "bits", "Bits of trained rows, by model", "points", "bits", Axis("model", "model", "nominal"), _BITS_AXIS,
            None, "bits_lower", "bits_upper",
        )
    ]  # fmt: skip
    if repetitions["repetitions"].n_unique() > 1:
        charts.append(
            Chart(
                "repetitions", "Bits of trained rows, by how often they were shown", "lines", "repetitions",
                Axis("repetitions", "times shown, at least", "log"), _BITS_AXIS, Axis("model", "model", "nominal"),
                "bits_lower", "bits_upper",
            )
        )  # fmt: skip
    return tuple(charts)


def _claim(largest: dict[str, Any]) -> str:
    total = f"{largest['total']:,.0f} bits in all"
    per = "" if largest["per_parameter"] is None else f", {largest['per_parameter']:.3g} for each parameter"
    text = (
        f"Beyond {largest['reference']}, {largest['model']} holds {largest['bits']:.1f} bits "
        f"{format_bounds(largest['bits_lower'], largest['bits_upper'], '.1f')} of each of "
        f"{format_count(largest['rows'])} that it was trained on ({total}{per})"
    )
    if largest["excess"] is None:
        return f"{text}."
    return f"{text}; this is {format_difference(largest, 'excess')} more than of rows it was not trained on."


def _headline(largest: dict[str, Any]) -> str:
    if largest["excess"] is None:
        return "Bits held of training rows, without rows to compare with"
    return by_interval(
        largest["excess_lower"],
        largest["excess_upper"],
        "The model holds bits of its training rows that others lack",
        "The model holds fewer bits of training rows than of others",
        "The model holds no clear bits of its training rows",
    )


def _sentence(largest: dict[str, Any]) -> str:
    bounds = format_bounds(largest["bits_lower"], largest["bits_upper"], ".1f")
    rest = "" if largest["excess"] is None else f", {largest['excess']:+.1f} over rows it was not trained on"
    return f"{largest['model']} holds {largest['bits']:.1f} bits {bounds} per row beyond the reference{rest}."


def _control(largest: dict[str, Any]) -> str | None:
    if largest["control_bits"] is None:
        return None
    return (
        f"Of {format_count(largest['controls'])} it was not trained on it holds {largest['control_bits']:.1f} bits by "
        "the same formula. Rows count from 0 up, so that chance alone brings some."
    )


def _caveats(rows: pl.DataFrame, largest: dict[str, Any]) -> tuple[str, ...]:
    missing = int(rows.filter(model=largest["model"])["bits"].null_count())
    caveats = {
        "What the reference learnt less well in general counts as held of the row, too: read bits beside the control "
        "rows.": True,
        "The study has no rows of a control, so that it is not known what chance alone brings.": (
            largest["excess"] is None
        ),
        f"{format_count(missing)} are left out: a token lacks its log-probability.": missing > 0,
    }
    return tuple(text for text, applies in caveats.items() if applies)


ANALYSIS: Final = Analysis(
    "bits",
    "Memorized bits",
    "K12 (Morris et al.)",
    "signals of the true text (`--signals truth`) by a model and by a control model (`--control-models`)",
    compute,
    granularity="approximate",
    retrievability="discoverable",
)
