"""Whole studies without any effect, analysed as a user's: whether each verdict and each test speaks.

Two models and two contexts score rows of documents. Every model and context has luck of its own with whole documents,
but no model is better and no context brings out more.
"""

from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.analyses.family.transitions import finding as transitions
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.scores import context
from mematlas.analyses.scores.size import finding as size
from mematlas.findings.finding import Finding
from simulations.designs import Design, luck
from simulations.estimates import LENGTH, matches

CONTEXTS: Final = (16, 32)
MODELS: Final = ("a", "b")
SHARE: Final = 0.3  # of rows recited


def simulated_study(random: np.random.Generator, design: Design) -> Tables:
    """A study of both models and contexts in memory, with 30 % of rows recited."""
    frames = [
        pl.DataFrame(
            {
                "model": model,
                "row": range(design.rows),
                "context": shown,
                "continuation": LENGTH,
                "matches": matches(luck(random, design, 1)[:, 0], SHARE).astype(np.int64),
                "margin": 1.0,
                "reason": None,
            },
            schema_overrides=dict.fromkeys(("context", "continuation", "matches"), pl.Int32) | {"reason": pl.String},
        )
        for model in MODELS
        for shown in CONTEXTS
    ]
    whole = pl.when(pl.col("matches") == LENGTH).then(LENGTH).otherwise(0).cast(pl.Int32)
    rows = pl.DataFrame(
        {
            "row": range(design.rows),
            "role": "train",
            "repetitions": None,
            "document": design.labels,
            "source": "corpus",
        },
        schema_overrides={"repetitions": pl.Int64, "document": pl.Int64},
    )
    models = pl.DataFrame(
        {"model": MODELS, "parameters": [10, 100], "training_step": None, "tokenizer": "t"},
        schema_overrides={"training_step": pl.Int64},
    )
    settings: dict[str, Any] = {"context": [*CONTEXTS], "continuation": [LENGTH], "depth": "graded", "align": "start"}
    scores = pl.concat(frames).with_columns(whole.alias("verbatim"))
    return Tables(scores.lazy(), rows.lazy(), models, settings)


def verdicts(study: Tables) -> dict[str, bool | None]:
    """Whether each verdict speaks and each p is below 0.05; None where there is none."""
    found = {"verdict, context": trend_speaks(context.compute(study), "recited-rows-grow-with-context")}
    finding = size.compute(study)
    found["verdict, size"] = trend_speaks(finding, "recited-rows-grow-with-size")
    found["verdict, fastest growth"] = trend_speaks(finding, "fully-memorized-rows-grow-fastest")
    for record in transitions.compute(study).table("symmetry").iter_rows(named=True):
        name = f"{record['test'].partition(',')[0]}, whole studies"
        found[name] = None if record["p"] is None else record["p"] < 0.05
    return found


def trend_speaks(finding: Finding, trend: str) -> bool:
    return next(each.verdict for each in finding.trends if each.trend == trend) != "cannot tell"
