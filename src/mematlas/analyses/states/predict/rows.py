"""Rows for which the predictor that sees only the context is most wrong."""

from typing import Final

import polars as pl

from mematlas.analyses.frames.study_tables import Tables
from mematlas.study.schemas.predictions import PREDICTOR

_ROWS_PER_KIND: Final = 3
_HIGH, _LOW = 4, 0  # score levels


def rows_of_interest(tables: Tables, model: str) -> dict[int, str]:
    """The most wrongly predicted held-out training rows, each with the reason why it is listed.

    Rows of the highest score level with the lowest predicted probability, and rows of the lowest level with the
    highest, if the mean over tokens and seeds is on the wrong side of 1/2.
    """
    assert tables.predictions is not None
    predictions = tables.predictions.filter(model=model, tested=model, sees="context", method=PREDICTOR, role="train")
    length = tables.reference.continuation
    mean_probability = pl.col("probability").list.head(length).list.mean().fill_nan(None).mean().cast(pl.Float64)
    rows = (
        predictions.filter(pl.col("level").is_in([_LOW, _HIGH]))
        .group_by("row", "level")
        .agg(mean_probability.alias("mean"))
        .collect()
    )
    missed = rows.filter(pl.col("level") == _HIGH, pl.col("mean") < 0.5).sort("mean", "row")
    missed_recitations = tables.one_per_text(missed).head(_ROWS_PER_KIND)
    alarms = rows.filter(pl.col("level") == _LOW, pl.col("mean") >= 0.5).sort(-pl.col("mean"), "row")
    false_alarms = tables.one_per_text(alarms).head(_ROWS_PER_KIND)
    templates = {
        "recited by {} (M at least 0.8), of which its context gave a chance of {:.0f} % a token": missed_recitations,
        "not recited by {} (M < 0.2), of which its context gave a chance of {:.0f} % a token": false_alarms,
    }
    return {
        record["row"]: template.format(model, 100 * record["mean"])
        for template, frame in templates.items()
        for record in frame.iter_rows(named=True)
    }
