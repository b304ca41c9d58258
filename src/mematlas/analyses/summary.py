"""Summary statistics of a study: by model, role and cell, or by any other columns, e.g. repetitions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mematlas.metrics import METRICS
from mematlas.study import Study

if TYPE_CHECKING:
    import polars as pl


def summarize(study: Study, by: Sequence[str] = ("model", "role", "context", "continuation")) -> "pl.DataFrame":
    """One record per group of the latest run, in the order in which the models were given.

    Columns besides `by`: rows (scored), missing (not scored), mean_score (mean M; null in verbatim depth),
    mean_verbatim (tokens), recited (rows with M = 1), share (recited / rows; null where only recited rows were
    published) with lower and upper (95 %, clustered by document, see `mematlas.study.clusters`), clusters and
    design_effect; texts (distinct ones, see `mematlas.study.distinct_texts`), recited_texts, text_share with text_lower
    and text_upper, all null unless some row of the study is known to be a copy of another. `by` may name any column of
    scores/, rows/ and models/.
    """
    import polars as pl

    metrics = {name: METRICS.load(name).expression() for name in METRICS}
    models = study.models().with_row_index("_order")
    rows = _rows_with_clusters(study)
    records = study.scores(partial=True).join(rows, on="row").join(models, on="model")
    settings = study.run().settings
    graded, complete = settings["depth"] == "graded", settings.get("complete", True)
    recited = metrics["extractable"]
    summary = (
        records.group_by(*by, maintain_order=True)
        .agg(
            pl.col("_order").min(),
            recited.is_not_null().sum().alias("rows"),
            recited.is_null().sum().alias("missing"),
            (metrics["memorization_score"].mean() if graded and complete else pl.lit(None, pl.Float64)).alias(
                "mean_score"
            ),
            metrics["verbatim_length"].mean().alias("mean_verbatim"),
            recited.sum().alias("recited"),
        )
        .sort("_order", *[name for name in by if name != "model"], maintain_order=True)
        .drop("_order")
    )
    shares = _shares(records.select(*by, "cluster", recited.alias("recited")), by)
    columns = ("share", "share_lower", "share_upper", "clusters", "design_effect")
    joined = summary.join(shares.select(*by, *columns), on=by, how="left", nulls_equal=True, maintain_order="left")
    texts = _text_shares(study, records.with_columns(recited.alias("recited")), by)
    joined = joined.join(texts, on=by, how="left", nulls_equal=True, maintain_order="left")
    if not complete:
        unknown = (*columns, *(name for name in texts.columns if name not in by))
        joined = joined.with_columns(pl.lit(None, joined.schema[name]).alias(name) for name in unknown)
    return joined.rename({"share_lower": "lower", "share_upper": "upper"})


def _rows_with_clusters(study: Study) -> "pl.DataFrame":
    from mematlas.study.clusters import cluster_rows

    tokens, near = (_features(study, kind) for kind in ("tokens", "near"))
    rows, clusters = study.rows(), cluster_rows(study.scan_rows(), tokens, near=near)
    return rows.with_columns(cluster="row") if clusters is None else rows.join(clusters, on="row", how="left")


def _features(study: Study, kind: str) -> "pl.LazyFrame | None":
    return study.scan_features(kind) if kind in study.feature_kinds() else None


def _text_shares(study: Study, records: "pl.DataFrame", by: Sequence[str]) -> "pl.DataFrame":
    """The share of recited texts of each group; records: as in `_shares`, with row, context and continuation."""
    import polars as pl

    from mematlas.analyses.frames.proportions import with_shares
    from mematlas.study.distinct_texts import copied_rows, sum_by_text

    columns = ("texts", "recited_texts", "text_share", "text_lower", "text_upper")
    copies = copied_rows(study.scan_rows(), _features(study, "tokens"), study.run().settings)
    if copies is None:
        types = (pl.Int64, pl.Int64, pl.Float64, pl.Float64, pl.Float64)
        unknown = [pl.lit(None, dtype).alias(name) for name, dtype in zip(columns, types, strict=True)]
        return records.select(by).unique().with_columns(unknown)
    cell = ("context", "continuation")
    scored = records.filter(pl.col("recited").is_not_null()).join(copies, on=["row", *cell], how="left")
    scored = scored.with_columns(pl.coalesce("text", "row").alias("text"))
    texts = sum_by_text(scored.lazy(), list(dict.fromkeys([*by, *cell])), ["cluster"]).collect()
    counts = texts.group_by(*by, "cluster").agg(pl.len().cast(pl.Int64).alias("texts"), pl.col("recited_texts").sum())
    shares = with_shares(counts, "recited_texts", "texts", "text_share")
    return shares.rename({"text_share_lower": "text_lower", "text_share_upper": "text_upper"}).select(*by, *columns)


def _shares(records: "pl.DataFrame", by: Sequence[str]) -> "pl.DataFrame":
    """The share of recited rows of each group; records: one per row, with the columns of `by`, cluster, recited."""
    import polars as pl

    from mematlas.analyses.frames.proportions import with_shares

    scored = records.filter(pl.col("recited").is_not_null()).group_by(*by, "cluster", maintain_order=True)
    return with_shares(
        scored.agg(pl.col("recited").sum().cast(pl.Int64), pl.len().cast(pl.Int64).alias("rows")), "recited"
    )
