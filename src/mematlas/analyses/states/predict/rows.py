"""Rows on which the predictor that sees the context alone is most wrong."""

from typing import Final

import polars as pl

from mematlas.analyses.frames.study_tables import Tables
from mematlas.study.schemas.predictions import PREDICTOR

_MOST: Final = 3  # of each kind
_HIGH, _LOW = 4, 0  # score levels


def rows_of_interest(tables: Tables, model: str) -> dict[int, str]:
    """Held-out training rows of the highest score level whose tokens it calls least likely to be recited, and of the
    lowest whose tokens it calls most likely, with a word why; only where the mean over tokens and seeds is wrong."""
    assert tables.predictions is not None
    own = tables.predictions.filter(model=model, tested=model, sees="context", method=PREDICTOR, role="train")
    length = tables.reference.continuation
    mean = pl.col("probability").list.head(length).list.mean().fill_nan(None).mean().cast(pl.Float64)
    rows = own.filter(pl.col("level").is_in([_LOW, _HIGH])).group_by("row", "level").agg(mean.alias("mean")).collect()
    safe = rows.filter(pl.col("level") == _HIGH, pl.col("mean") < 0.5).sort("mean", "row").head(_MOST)
    flagged = rows.filter(pl.col("level") == _LOW, pl.col("mean") >= 0.5).sort(-pl.col("mean"), "row").head(_MOST)
    said = {
        "recited by {} (M at least 0.8), of which its context gave a chance of {:.0f} % a token": safe,
        "not recited by {} (M < 0.2), of which its context gave a chance of {:.0f} % a token": flagged,
    }
    return {
        line["row"]: words.format(model, 100 * line["mean"])
        for words, frame in said.items()
        for line in frame.iter_rows(named=True)
    }
