"""Exact copies of each row's window in the corpus, counted with the scores; and K2's three categories of rows.

Source: K2: a recited row is a recitation if it has 6 copies or more (its own among them), else a reconstruction if its
window is a template, else a recollection. The rule needs no score, so that it sorts rows that are not recited too.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.frames.score_lines import lines
from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.metrics.extractable import extractable
from mematlas.study import Study

CELL_KEYS: Final = ("row", "context", "continuation")
SCOPES: Final = ("rows", "documents", "stream")
SCOPE: Final = "copies are counted within rows, within documents, or on the raw stream of tokens across both"
THRESHOLD: Final = 6  # K2: more than 5
CATEGORIES: Final = ("recitation", "reconstruction", "recollection")
CATEGORY: Final = pl.Enum(CATEGORIES)
_WINDOWS: Final = tuple(f"window_{scope}" for scope in SCOPES)
_TEMPLATES: Final = ("repeating", "incrementing")


def scopes(tables: Tables) -> tuple[str, ...]:
    """The scopes for which copies of windows are known, the one that claims speak of first (rows, if known)."""
    if "copies" not in tables.features:
        return ()
    known = tables.features["copies"].select(pl.col(name).is_not_null().any() for name in _WINDOWS)
    found = known.collect(engine="streaming").row(0, named=True)
    return tuple(scope for scope in SCOPES if found[f"window_{scope}"])


def category(scope: str) -> pl.Expr:
    """K2's category of a row's window, null where its copies are not known.

    What is not known of a template (a window without text cannot be seen to count) is taken for none.
    """
    template = pl.any_horizontal(pl.col(name).fill_null(False) for name in _TEMPLATES)
    copies, (recitation, reconstruction, recollection) = (
        pl.col(f"window_{scope}"),
        (pl.lit(k, CATEGORY) for k in CATEGORIES),
    )
    found = pl.when(copies >= THRESHOLD).then(recitation).when(copies.is_not_null() & template).then(reconstruction)
    return found.when(copies.is_not_null()).then(recollection).alias("category")


def features(tables: Tables) -> pl.LazyFrame:
    """One line a row and cell: copies of the window by scope, templates, redundancy and sizes."""
    copies = tables.features["copies"].select(*CELL_KEYS, *_WINDOWS)
    return copies.join(tables.features["texts"], on=CELL_KEYS, how="left")


def lines_with_features(study: Study, run: str | None = None, **where: Any) -> pl.DataFrame:
    """The columns of `recount.lines` with those of the row's window in the feature tables copies and texts.

    Args:
        where: only lines with these values of the columns of `recount.lines`.

    Returns:
        also scope and copies (of the window, in the scope that claims speak of) and category (K2; null where its copies
        are not known).

    Raises:
        StudyError: the run is not finished, or has no row features.
    """
    study.scan_features("copies", run)
    tables = read_tables(study, run)
    found = lines(study, run, **where).join(features(tables).collect(), on=CELL_KEYS, how="left", maintain_order="left")
    scope = (scopes(tables) or SCOPES)[0]
    return found.with_columns(category(scope), scope=pl.lit(scope), copies=pl.col(f"window_{scope}"))


def counts_by_copies(tables: Tables) -> pl.DataFrame:
    """How many scored rows have so many copies: model, role, context, continuation, a column window_scope for each
    scope, recited, rows; null copies where a row has no features."""
    copies = tables.features["copies"].select(*CELL_KEYS, *_WINDOWS)
    return _counted(tables, copies, _WINDOWS, recited_only=False)


def counts_by_category(tables: Tables, scope: str) -> pl.DataFrame:
    """How many recited rows are of each category: model, role, context, continuation, category (null: not known),
    textless (sorted without knowing whether the window counts), rows."""
    textless = (pl.col("incrementing").is_null() & (pl.col("category") == CATEGORIES[2])).fill_null(False)
    sorted_rows = features(tables).with_columns(category(scope)).with_columns(textless.alias("textless"))
    kept = sorted_rows.select(*CELL_KEYS, "category", "textless")
    return _counted(tables, kept, ("category", "textless"), recited_only=True)


def _counted(tables: Tables, of_rows: pl.LazyFrame, by: tuple[str, ...], *, recited_only: bool) -> pl.DataFrame:
    recited = extractable.expression()
    scored = tables.scores.select("model", *CELL_KEYS, recited.alias("recited")).filter(
        pl.col("recited") if recited_only else pl.col("recited").is_not_null()
    )
    role = pl.when(pl.col("model").is_in(tables.control_models)).then(pl.lit("control model")).otherwise("role")
    keys = ("model", "role", "context", "continuation", *by, "recited")
    return (
        scored.join(tables.rows.select("row", "role"), on="row")
        .join(of_rows, on=CELL_KEYS, how="left")
        .with_columns(role.alias("role"))
        .group_by(keys)
        .agg(pl.len().cast(pl.Int64).alias("rows"))
        .collect(engine="streaming")
        .sort(keys, nulls_last=True)
    )
