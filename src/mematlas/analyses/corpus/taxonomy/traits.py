"""What is known of the rows of one cell before a model is asked, beside whether the model recites them.

Source: K2's features. Token frequencies are the corpus counts of the window's tokens (1-grams).
"""

from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.analyses.frames.copies import CATEGORIES, category, features, scopes
from mematlas.analyses.frames.proportions import with_shares
from mematlas.analyses.frames.study_tables import Cell, Tables, read_tables
from mematlas.stats.estimates.averages import means, medians
from mematlas.study import Study

MOST_ROWS: Final = 20_000  # our choice: more rows tell a dozen coefficients little more
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
TRAITS: Final = {
    "copies": "exact copies of the window in the corpus, its own among them",
    **{
        f"frequency_{name}": f"{word} of the corpus counts of the window's tokens" for name, word in _STATISTICS.items()
    },
    "template": "1 where the window repeats a template or counts, else 0",
    "distinct_2": "distinct 2-grams / 2-grams of the window",
    "compressed_bytes": "bytes of the window's text, compressed with zlib",
    "compression_ratio": "compressed bytes / bytes of the window's text",
}
MEANS: Final = {
    "group": f"category of recited rows (K2), or {NOT_RECITED}: all other rows",
    "trait": "; ".join(f"{name}: {meaning}" for name, meaning in TRAITS.items()),
    "rows": "training rows for which it is known",
    "mean": "mean over them",
    "mean_lower": "lower end of its 95 % interval (Student's t, null for one row or equal rows; Wilson's of template)",
    "mean_upper": "upper end of it",
    "median": "median over them",
    "median_lower": "lower end of its 95 % interval (order statistics); null below six rows",
    "median_upper": "upper end of it",
}


def row_traits(study: Study, model: str, context: int, continuation: int, run: str | None = None) -> pl.DataFrame:
    """Training rows of a cell that a model was scored on, with what is known of them; 20,000 drawn ones at most.

    Returns:
        row, document (a number; null where unknown), recited (M = 1), category (K2, of every row), and the numbers that
        `mematlas.analyses.corpus.taxonomy.traits.TRAITS` explains, each null where it was not measured.

    Raises:
        StudyError: the run is not finished, or has no row features.
    """
    study.scan_features("copies", run)
    return traits(read_tables(study, run), model, Cell(context, continuation))


def traits(tables: Tables, model: str, cell: Cell) -> pl.DataFrame:
    """As `row_traits`; rows whose category is not known are left out."""
    scored = tables.side_by_side((model,), cell, "recited").rename({model: "recited"}).lazy()
    here = features(tables).filter(context=cell.context, continuation=cell.continuation)
    scope = (*scopes(tables), "rows")[0]
    known = scored.join(here, on="row").with_columns(category(scope), copies=pl.col(f"window_{scope}"))
    frame = known.drop_nulls("category").collect(engine="streaming").sort("row")
    if frame.height > MOST_ROWS:
        drawn = np.random.default_rng(_SEED).choice(frame.height, MOST_ROWS, replace=False)
        frame = frame[np.sort(drawn)]
    frame = frame.with_columns(
        template=pl.any_horizontal(pl.col("repeating", "incrementing").fill_null(False)).cast(pl.Float64),
        compression_ratio=pl.col("compressed_bytes") / pl.col("bytes"),
    )
    frame = frame.join(_documents(tables), on="row", how="left", maintain_order="left").hstack(
        _frequencies(tables, cell, frame["row"])
    )
    return frame.select("row", "document", "recited", "category", pl.col(list(TRAITS)).cast(pl.Float64).fill_nan(None))


def _documents(tables: Tables) -> pl.DataFrame:
    """A number a row for its source and document, null where the document is unknown."""
    number = pl.struct("source", "document").rank("dense").cast(pl.Int64)
    rows = tables.rows.filter(role="train").select("row", "source", "document").collect()
    return rows.select("row", pl.when(pl.col("document").is_not_null()).then(number).alias("document"))


def _frequencies(tables: Tables, cell: Cell, rows: pl.Series) -> list[pl.Series]:
    """Statistics of the 1-gram counts of each row's window, NaN where one of them is unknown; `rows` ascending."""
    start = 0 if tables.question.get("align", "start") == "start" else max(tables.contexts) - cell.context
    places = range(start, start + cell.context + cell.continuation)
    at = (pl.col("unigrams").list.get(place, null_on_oob=True).cast(pl.Float64).alias(str(place)) for place in places)
    here = rows.to_frame().lazy().join(tables.features["counts"], on="row", how="left").sort("row")
    counts = here.select(*at).collect().to_numpy()
    found = {
        "mean": counts.mean(axis=1),
        "max": counts.max(axis=1),
        "min": counts.min(axis=1),
        **dict(zip(("p25", "median", "p75"), np.quantile(counts, (0.25, 0.5, 0.75), axis=1), strict=True)),
    }
    return [pl.Series(f"frequency_{name}", found[name]) for name in _STATISTICS]


def trait_means(rows: pl.DataFrame) -> pl.DataFrame:
    """Mean and median of each trait over the recited rows of each category and over all rows that are not recited.

    Args:
        rows: as `row_traits` gives them. Columns: MEANS; groups and traits without a row are left out.
    """
    group = pl.when("recited").then(pl.col("category").cast(pl.String)).otherwise(pl.lit(NOT_RECITED))
    found = []
    for name in (*CATEGORIES, NOT_RECITED):
        values = rows.filter(group == name).select(*TRAITS).to_numpy().astype(float)
        mean, median = means(values), medians(values)
        columns: dict[str, Any] = {"group": [name] * len(TRAITS), "trait": list(TRAITS), "rows": mean.count}
        for title, center in (("mean", mean), ("median", median)):
            ends = {title: center.estimate, f"{title}_lower": center.lower, f"{title}_upper": center.upper}
            columns |= {key: pl.Series(end, dtype=pl.Float64).fill_nan(None) for key, end in ends.items()}
        found.append(_with_share(pl.DataFrame(columns, schema_overrides={"rows": pl.Int64})))
    return pl.concat(found).filter(pl.col("rows") > 0).select(*MEANS)


def _with_share(lines: pl.DataFrame) -> pl.DataFrame:
    """The interval of the mean of a trait that is 0 or 1, a share, by Wilson."""
    is_share, hits = pl.col("trait") == "template", (pl.col("mean") * pl.col("rows")).round().fill_null(0)
    shares = with_shares(lines.select("rows", hits=pl.when(is_share).then(hits).otherwise(0)), "hits")
    return lines.with_columns(
        pl.when(is_share).then(shares[f"share_{end}"]).otherwise(f"mean_{end}").alias(f"mean_{end}")
        for end in ("lower", "upper")
    )


def groups(rows: pl.DataFrame) -> np.ndarray:
    """A number a row that rows of one document share; a row without one has its own. Shape (rows,)."""
    alone = -1 - pl.int_range(pl.len(), dtype=pl.Int64)
    return rows.select(pl.coalesce("document", alone)).to_series().to_numpy()
