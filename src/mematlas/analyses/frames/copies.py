"""Exact copies of each row's window in the corpus, joined with the scores; and K2's three categories of rows.

Source: K2: a recited row is a recitation if it has 6 copies or more (its own among them), else a reconstruction if its
window is a template, else a recollection. The rule needs no score, so it also applies to rows that are not recited.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.frames.score_lines import lines
from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.metrics.extractable import extractable
from mematlas.study import Study

CELL_KEYS: Final = ("row", "context", "continuation")
SCOPES: Final = ("rows", "documents", "stream")
SCOPE_DESCRIPTION: Final = (
    "copies are counted within rows, within documents, or on the raw stream of tokens across both"
)
RECITATION_COPIES: Final = 6  # K2: more than 5
CATEGORIES: Final = ("recitation", "reconstruction", "recollection")
CATEGORY_TYPE: Final = pl.Enum(CATEGORIES)
NEAR_GROUPS: Final = ("none", "near", "exact")
NEAR_GROUP_TYPE: Final = pl.Enum(NEAR_GROUPS)
_WINDOW_COLUMNS: Final = tuple(f"window_{scope}" for scope in SCOPES)
_TEMPLATE_COLUMNS: Final = ("repeating", "incrementing")


def known_scopes(tables: Tables) -> tuple[str, ...]:
    """The scopes in which the copies of windows were counted; the first one (rows, if known) is that of the claims."""
    if "copies" not in tables.features:
        return ()
    counted = tables.features["copies"].select(pl.col(name).is_not_null().any() for name in _WINDOW_COLUMNS)
    is_known = counted.collect(engine="streaming").row(0, named=True)
    return tuple(scope for scope in SCOPES if is_known[f"window_{scope}"])


def category(scope: str) -> pl.Expr:
    """K2's category of a row's window, null where its copies are not known.

    A window without text, for which it is unknown whether it counts up, is taken not to be a template.
    """
    template = pl.any_horizontal(pl.col(name).fill_null(False) for name in _TEMPLATE_COLUMNS)
    copies = pl.col(f"window_{scope}")
    recitation, reconstruction, recollection = (pl.lit(name, CATEGORY_TYPE) for name in CATEGORIES)
    return (
        pl.when(copies >= RECITATION_COPIES)
        .then(recitation)
        .when(copies.is_not_null() & template)
        .then(reconstruction)
        .when(copies.is_not_null())
        .then(recollection)
        .alias("category")
    )


def window_features(tables: Tables) -> pl.LazyFrame:
    """One record per row and cell: copies of the window by scope, templates, redundancy and sizes."""
    copies = tables.features["copies"].select(*CELL_KEYS, *_WINDOW_COLUMNS)
    return copies.join(tables.features["texts"], on=CELL_KEYS, how="left")


def lines_with_features(study: Study, run: str | None = None, **where: Any) -> pl.DataFrame:
    """The records of `recount.lines` with the features of the row's window from the feature tables copies and texts.

    Args:
        where: only records with these values of the columns of `recount.lines`.

    Returns:
        also scope and copies (of the window, in the scope of the claims) and category (K2; null where its copies are
        not known).

    Raises:
        StudyError: the run is not finished, or has no row features.
    """
    study.scan_features("copies", run)
    tables = read_tables(study, run)
    features = window_features(tables).collect()
    records = lines(study, run, **where).join(features, on=CELL_KEYS, how="left", maintain_order="left")
    scope = (known_scopes(tables) or SCOPES)[0]
    return records.with_columns(category(scope), scope=pl.lit(scope), copies=pl.col(f"window_{scope}"))


def counts_by_copies(tables: Tables, scopes: tuple[str, ...] = SCOPES, *, by_cluster: bool = True) -> pl.DataFrame:
    """Numbers of scored rows by copies: model, role, context, continuation, a column window_SCOPE for each scope,
    recited, cluster where rows come in clusters, rows; the copies are null where a row has no features.

    by_cluster: False counts the rows of all clusters together.
    """
    columns = tuple(f"window_{scope}" for scope in scopes)
    copies = tables.features["copies"].select(*CELL_KEYS, *columns)
    return _count_rows(tables, copies, columns, tables.cluster_key if by_cluster else (), recited_only=False)


def counts_by_category(tables: Tables, scope: str, *, with_near: bool = False) -> pl.DataFrame:
    """Numbers of recited rows by category: model, role, context, continuation, category (null: not known), textless
    (categorized without knowing whether the window counts up), cluster where rows come in clusters, rows.

    with_near: by copies (of the window in the corpus), near_copies and exact (of the row in the study), too.
    """
    textless = (pl.col("incrementing").is_null() & (pl.col("category") == CATEGORIES[2])).fill_null(False)
    categorized = window_features(tables).with_columns(category(scope)).with_columns(textless.alias("textless"))
    by: tuple[str, ...] = ("category", "textless")
    if with_near:
        near = tables.features["near"].select("row", "near_copies", "exact")
        categorized = categorized.with_columns(copies=pl.col(f"window_{scope}")).join(near, on="row", how="left")
        by = (*by, "copies", "near_copies", "exact")
    categories = categorized.select(*CELL_KEYS, *by)
    return _count_rows(tables, categories, by, tables.cluster_key, recited_only=True)


def counts_by_near_copies(tables: Tables) -> pl.DataFrame:
    """Numbers of scored rows by copies among the study's training rows: model, role, context, continuation, copies
    (NEAR_GROUPS; null of rows that are too short to compare), recited, cluster where rows come in clusters, rows."""
    near = tables.features["near"].select("row", copies=near_group())
    return _count_rows(tables, near, ("copies",), tables.cluster_key, recited_only=False, on=("row",))


def near_group() -> pl.Expr:
    """Of NEAR_GROUPS, that of a record of `study.schemas.features.NEAR`."""
    exact, near, none = (pl.lit(name, NEAR_GROUP_TYPE) for name in reversed(NEAR_GROUPS))
    return (
        pl.when(pl.col("exact") > 0)
        .then(exact)
        .when(pl.col("near_copies") > 0)
        .then(near)
        .when(pl.col("near_copies") == 0)
        .then(none)
    )


def _count_rows(
    tables: Tables,
    windows: pl.LazyFrame,
    by: tuple[str, ...],
    unit: tuple[str, ...],
    *,
    recited_only: bool,
    on: tuple[str, ...] = CELL_KEYS,
) -> pl.DataFrame:
    recited = extractable.expression()
    scored = tables.scores.select("model", *CELL_KEYS, recited.alias("recited")).filter(
        pl.col("recited") if recited_only else pl.col("recited").is_not_null()
    )
    role = pl.when(pl.col("model").is_in(tables.control_models)).then(pl.lit("control model")).otherwise("role")
    keys = ("model", "role", "context", "continuation", *by, "recited", *unit)
    rows = (tables.clustered_rows if unit else tables.rows).select("row", "role", *unit)
    counts = (
        scored.join(rows, on="row")
        .join(windows, on=on, how="left")
        .with_columns(role.alias("role"))
        .group_by(keys)
        .agg(pl.len().cast(pl.Int64).alias("rows"))
        .collect(engine="streaming")
    )
    # with clusters there may be nearly as many records as score lines, whose order says nothing
    return counts if unit else counts.sort(keys, nulls_last=True)
