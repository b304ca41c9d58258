"""Precision, recall and F1 of every forecast of which rows a model memorizes, by a smaller model or earlier checkpoint.

Source: K1; see finding.py. The labels (M = 1) are Boolean, so everything follows from the number of rows with each
label and with both.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS, Share, share_columns
from mematlas.analyses.frames.score_lines import relative_compute
from mematlas.analyses.frames.study_tables import Tables

FORECAST_COLUMNS: Final = {
    "earlier": "the model that forecasts",
    "later": "the model that is forecast",
    "kind": "smaller model, earlier checkpoint, or listed before (sizes unknown)",
    "compute": "compute of the earlier model / of the later one; null where sizes are unknown",
    "rows": "rows scored by all models; null where only recited rows are known",
    "memorized_earlier": "rows the earlier model memorizes (M = 1)",
    "memorized_later": "rows the later model memorizes",
    "memorized_both": "rows both memorize",
    "precision": "memorized_both / memorized_earlier: P(later memorizes | earlier memorizes)",
    "precision_lower": "lower end of its Wilson 95 % interval",
    "precision_upper": "upper end of it",
    "recall": "memorized_both / memorized_later: P(earlier memorizes | later memorizes)",
    "recall_lower": "lower end of its Wilson 95 % interval",
    "recall_upper": "upper end of it",
    "f1": "harmonic mean of precision and recall",
    "f1_lower": "lower end of its 95 % interval, from the Wilson interval of both / either",
    "f1_upper": "upper end of it",
    "base_rate": "memorized_later / rows: the precision of a forecast that knows nothing",
    "base_rate_lower": "lower end of its Wilson 95 % interval",
    "base_rate_upper": "upper end of it",
    **{
        f"{name}_{column}": f"of {name}: {SAMPLE_COLUMNS[column]}" if name == "precision" else f"of {name}"
        for name in ("precision", "recall", "f1", "base_rate")
        for column in ("clusters", "design_effect")
    },
}


@dataclass(frozen=True, slots=True)
class Labels:
    """Training rows of the reference cell; values[rows, models]: the matches if M is graded, else whether recited.

    clusters: [rows]; None where all rows are independent.
    """

    models: tuple[str, ...]
    rows: NDArray[np.int64]
    values: NDArray[np.float64]
    recited: NDArray[np.bool_]
    clusters: NDArray[np.int64] | None


def training_labels(tables: Tables) -> Labels:
    """The labels of the models of the family that scored training rows at the reference cell."""
    cell = tables.reference
    counts = tables.counts().filter(role="train", context=cell.context, continuation=cell.continuation)
    models = tuple(model for model in tables.family if model in set(counts["model"]))
    value = "matches" if tables.graded else "recited"
    wide = tables.side_by_side(models, cell, value) if models else pl.DataFrame({"row": []}, schema={"row": pl.Int64})
    values = wide.select(models).cast(pl.Float64).to_numpy() if models else np.empty((0, 0))
    recited = values == (cell.continuation if tables.graded else 1)
    clusters = tables.with_cluster(wide.select("row"))["cluster"].to_numpy() if tables.cluster_key else None
    return Labels(models, wide["row"].to_numpy(), values, recited, clusters)


def _pairs(tables: Tables, models: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """(earlier, later, kind) for every model and each model that can forecast it."""
    sizes_known = all(tables.parameters(model) is not None for model in tables.by_size)
    chains = [(tables.by_size, "smaller model" if sizes_known else "listed before")]
    chains += [(series, "earlier checkpoint") for series in tables.by_step]
    pairs = {
        (earlier, later): kind
        for chain, kind in chains
        for position, later in enumerate(chain)
        for earlier in chain[:position]
        if earlier in models and later in models
    }
    return [(*pair, kind) for pair, kind in pairs.items()]


def forecast_table(tables: Tables, labels: Labels) -> pl.DataFrame:
    """The forecasts of every model by each that can forecast it; columns FORECAST_COLUMNS, or none without any."""
    pairs = _pairs(tables, labels.models)
    frame = pl.DataFrame(pairs, schema=dict.fromkeys(("earlier", "later", "kind"), pl.String), orient="row")
    size = tables.models.select("model", "parameters", "training_step")
    frame = frame.join(size, left_on="earlier", right_on="model", how="left", maintain_order="left")
    frame = frame.join(size, left_on="later", right_on="model", how="left", maintain_order="left", suffix="_2")
    frame = frame.select("earlier", "later", "kind", relative_compute())
    if not pairs:
        return pl.DataFrame()
    counts = (
        frame[number].join(_pair_counts(tables, labels, earlier, later), how="cross")
        for number, (earlier, later, _) in enumerate(pairs)
    )
    if labels.clusters is None:
        return with_forecasts(pl.concat(counts)).select(*FORECAST_COLUMNS)
    # one pair at a time: counts of a million clusters for every pair would not fit in memory
    return pl.concat(map(with_forecasts, counts)).select(*FORECAST_COLUMNS)


def _pair_counts(tables: Tables, labels: Labels, earlier: str, later: str) -> pl.DataFrame:
    """The counts that `with_forecasts` needs, of each cluster where rows come in clusters."""
    columns = (labels.recited[:, labels.models.index(model)] for model in (earlier, later))
    by_earlier, by_later = (pl.Series(recited, dtype=pl.Boolean) for recited in columns)
    frame = pl.DataFrame({"earlier": by_earlier, "later": by_later, "both": by_earlier & by_later})
    sums = [pl.col(name).sum().cast(pl.Int64).alias(f"memorized_{name}") for name in frame.columns]
    rows = (pl.len().cast(pl.Int64) if tables.complete else pl.lit(None, pl.Int64)).alias("rows")
    if labels.clusters is None or not frame.height:
        return frame.select(rows, *sums)
    return frame.with_columns(cluster=labels.clusters).group_by("cluster").agg(rows, *sums)


def with_forecasts(counts: pl.DataFrame) -> pl.DataFrame:
    """Add precision, recall, F1 and, where `rows` is known, base_rate, with 95 % intervals; see FORECAST_COLUMNS.

    F1 has the bounds that its value has at those of the overlap, both / either (our choice; K1 gives no intervals).

    Args:
        counts: memorized_earlier, memorized_later, memorized_both; rows, where these are known; with a column cluster
            the counts of one cluster a record, which are summed, and the intervals are clustered.
    """
    if "rows" not in counts.columns:
        counts = counts.with_columns(pl.lit(None, pl.Int64).alias("rows"))
    earlier, later, both = (pl.col(f"memorized_{name}").cast(pl.Int64) for name in ("earlier", "later", "both"))
    counts = counts.with_columns((earlier + later - both).alias("memorized_either"))
    shares = [
        Share(hits, count, name, f"{name}_clusters", f"{name}_design_effect")
        for name, hits, count in (
            ("precision", "memorized_both", "memorized_earlier"),
            ("recall", "memorized_both", "memorized_later"),
            ("f1", "memorized_both", "memorized_either"),
            ("base_rate", "memorized_later", "rows"),
        )
    ]
    overlap = pl.col("f1", "f1_lower", "f1_upper")  # so far shares of `either`
    return share_columns(counts, shares).drop("memorized_either").with_columns(overlap * 2 / (overlap + 1))
