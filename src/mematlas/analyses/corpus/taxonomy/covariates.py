"""Covariates of the rows of one cell, known without any model, and whether a model recites them.

Source: K2's features. Token frequencies are the corpus counts of the window's tokens (1-grams).
"""

from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.analyses.frames.copies import CATEGORIES, category, known_scopes, window_features
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS, with_shares
from mematlas.analyses.frames.study_tables import Cell, Tables, read_tables
from mematlas.stats.estimates.averages import FEWEST_COUNTS, means, medians
from mematlas.study import Study

MAX_ROWS: Final = 20_000  # our choice: more rows hardly improve a dozen coefficients
_SEED: Final = 1024  # K2
NOT_RECITED: Final = "not recited"
_STATISTICS: Final = {
    "mean": "mean",
    "max": "largest",
    "min": "smallest",
    "median": "median",
    "p25": "25 % quantile",
    "p75": "75 % quantile",
}
COVARIATES: Final = {
    "copies": "exact copies of the window in the corpus, its own among them",
    **{
        f"frequency_{name}": f"{word} of the corpus counts of the window's tokens" for name, word in _STATISTICS.items()
    },
    "template": "1 where the window repeats a template or counts, else 0",
    "distinct_2": "distinct 2-grams / 2-grams of the window",
    "compressed_bytes": "bytes of the window's text, compressed with zlib",
    "compression_ratio": "compressed bytes / bytes of the window's text",
}
MEAN_COLUMNS: Final = {
    "group": f"category of recited rows (K2), or {NOT_RECITED}: all other rows",
    "trait": "; ".join(f"{name}: {meaning}" for name, meaning in COVARIATES.items()),
    "rows": "training rows for which it is known",
    "clusters": SAMPLE_COLUMNS["clusters"],
    "mean": "mean over them",
    "mean_lower": "lower end of its 95 % interval (Student's t over clusters, null for one cluster or equal rows, for "
    f"counts and copies below {FEWEST_COUNTS:,} clusters; Wilson's of template)",
    "mean_upper": "upper end of it",
    "mean_design_effect": "variance of the mean over that of so many independent rows; 1 for independent rows",
    "median": "median over them",
    "median_lower": "lower end of its 95 % interval (order statistics); null below six clusters",
    "median_upper": "upper end of it",
    "median_design_effect": "the same of the share of rows below the median",
}


def row_traits(study: Study, model: str, context: int, continuation: int, run: str | None = None) -> pl.DataFrame:
    """Training rows of a cell that a model was scored on, with their covariates; a sample of at most 20,000.

    Returns:
        row, document (a number; null where unknown), cluster (rows of one number are not independent, see
        `mematlas.study.clusters`), recited (M = 1), category (K2, of every row), and the columns described in
        `mematlas.analyses.corpus.taxonomy.covariates.COVARIATES`, null where not measured.

    Raises:
        StudyError: the run is not finished, or has no row features.
    """
    study.scan_features("copies", run)
    return covariates(read_tables(study, run), model, Cell(context, continuation))


def covariates(tables: Tables, model: str, cell: Cell) -> pl.DataFrame:
    """Like `row_traits`; rows of unknown category are left out."""
    scores = tables.side_by_side((model,), cell, "recited").rename({model: "recited"}).lazy()
    cell_features = window_features(tables).filter(context=cell.context, continuation=cell.continuation)
    scope = (*known_scopes(tables), "rows")[0]
    joined = scores.join(cell_features, on="row").with_columns(category(scope), copies=pl.col(f"window_{scope}"))
    frame = joined.drop_nulls("category").collect(engine="streaming").sort("row")
    if frame.height > MAX_ROWS:
        sample = np.random.default_rng(_SEED).choice(frame.height, MAX_ROWS, replace=False)
        frame = frame[np.sort(sample)]
    frame = frame.with_columns(
        template=pl.any_horizontal(pl.col("repeating", "incrementing").fill_null(False)).cast(pl.Float64),
        compression_ratio=pl.col("compressed_bytes") / pl.col("bytes"),
    )
    frame = frame.join(_document_numbers(tables), on="row", how="left", maintain_order="left").hstack(
        _frequency_columns(tables, cell, frame["row"])
    )
    if tables.clusters is None:  # each row is a cluster of its own, named by its document where that is known
        frame = frame.with_columns(cluster=pl.coalesce("document", -1 - pl.col("row")))
    frame = tables.with_cluster(frame)
    covariate_values = pl.col(list(COVARIATES)).cast(pl.Float64).fill_nan(None)
    return frame.select("row", "document", "cluster", "recited", "category", covariate_values)


def _document_numbers(tables: Tables) -> pl.DataFrame:
    """A number per row that identifies its source and document, null where the document is unknown."""
    number = pl.struct("source", "document").rank("dense").cast(pl.Int64)
    rows = tables.rows.filter(role="train").select("row", "source", "document").collect()
    return rows.select("row", pl.when(pl.col("document").is_not_null()).then(number).alias("document"))


def _frequency_columns(tables: Tables, cell: Cell, rows: pl.Series) -> list[pl.Series]:
    """Statistics of the 1-gram counts of each row's window, NaN where any count is unknown; `rows` ascending."""
    start = 0 if tables.settings.get("align", "start") == "start" else max(tables.contexts) - cell.context
    window = range(start, start + cell.context + cell.continuation)
    window_counts = (
        pl.col("unigrams").list.get(position, null_on_oob=True).cast(pl.Float64).alias(str(position))
        for position in window
    )
    row_counts = rows.to_frame().lazy().join(tables.features["counts"], on="row", how="left").sort("row")
    counts = row_counts.select(*window_counts).collect().to_numpy()
    statistics = {
        "mean": counts.mean(axis=1),
        "max": counts.max(axis=1),
        "min": counts.min(axis=1),
        **dict(zip(("p25", "median", "p75"), np.quantile(counts, (0.25, 0.5, 0.75), axis=1), strict=True)),
    }
    return [pl.Series(f"frequency_{name}", statistics[name]) for name in _STATISTICS]


def trait_means(rows: pl.DataFrame) -> pl.DataFrame:
    """Mean and median of each covariate over the recited rows of each category and over all rows not recited.

    Args:
        rows: from `row_traits`.

    Returns:
        MEAN_COLUMNS; groups and covariates without rows are left out.
    """
    group = pl.when("recited").then(pl.col("category").cast(pl.String)).otherwise(pl.lit(NOT_RECITED))
    parts = []
    for name in (*CATEGORIES, NOT_RECITED):
        members = rows.filter(group == name)
        values, clusters = members.select(*COVARIATES).to_numpy().astype(float), members["cluster"].to_numpy()
        fewest = [FEWEST_COUNTS if trait.startswith(("copies", "frequency")) else 2 for trait in COVARIATES]
        mean, median = means(values, fewest=fewest, clusters=clusters), medians(values, clusters=clusters)
        columns: dict[str, Any] = {"group": [name] * len(COVARIATES), "trait": list(COVARIATES), "rows": mean.count}
        columns["clusters"] = mean.clusters
        for title, center in (("mean", mean), ("median", median)):
            ends = {title: center.estimate, f"{title}_lower": center.lower, f"{title}_upper": center.upper}
            ends[f"{title}_design_effect"] = center.design_effect
            columns |= {key: pl.Series(end, dtype=pl.Float64).fill_nan(None) for key, end in ends.items()}
        table = pl.DataFrame(columns, schema_overrides={"rows": pl.Int64, "clusters": pl.Int64})
        parts.append(_with_share_interval(table, members))
    return pl.concat(parts).filter(pl.col("rows") > 0).select(*MEAN_COLUMNS)


def _with_share_interval(table: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """With Wilson's interval over clusters for the mean of the binary covariate, template."""
    known = rows.drop_nulls("template").group_by("cluster").agg(rows=pl.len(), hits=pl.col("template").sum())
    shares = with_shares(known, "hits", name="mean").select(
        "mean_lower", "mean_upper", mean_design_effect="design_effect"
    )
    is_share = pl.col("trait") == "template"
    return table.with_columns(
        pl.when(is_share).then(pl.lit(values.first(), pl.Float64)).otherwise(values.name).alias(values.name)
        for values in shares
    )
