"""Memorized and unmemorized rows of every model, role and cell, and the rows recited in several cells of a model.

Source: P1, Figure 2: counts of memorized (M = 1) and unmemorized (M = 0) rows.
"""

from typing import Final

import polars as pl

from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS, format_percent, with_shares
from mematlas.analyses.frames.same_rows import Across
from mematlas.analyses.frames.study_tables import Cell, Tables

KEYS: Final = ("model", "role", "context", "continuation")
ROLE_DESCRIPTION: Final = (
    "train: rows of the corpus; control: rows no model was trained on; control model: untrained on the corpus"
)
SHARE_COLUMNS: Final = {
    "model": "label of the model",
    "role": ROLE_DESCRIPTION,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "rows": "rows scored",
    "memorized": "rows with M = 1",
    "memorized_share": "memorized / rows",
    "memorized_share_lower": "lower end of its Wilson 95 % interval",
    "memorized_share_upper": "upper end of its Wilson 95 % interval",
    "unmemorized": "rows with M = 0; null where M was not graded",
    "unmemorized_share": "unmemorized / rows",
    "unmemorized_share_lower": "lower end of its Wilson 95 % interval",
    "unmemorized_share_upper": "upper end of its Wilson 95 % interval",
    "clusters": SAMPLE_COLUMNS["clusters"],
    "memorized_design_effect": f"of memorized_share: {SAMPLE_COLUMNS['design_effect']}",
    "unmemorized_design_effect": "of unmemorized_share",
}
_RECIPE: Final = """\
cells = recount.{lines}.group_by("model", "role", "context", "continuation"{also}, "cluster")
counts = cells.agg(rows=pl.len(), memorized=pl.sum("recited"), unmemorized=(pl.col("score") == 0).sum())
answer = recount.with_shares(counts, ["memorized", "unmemorized"])"""
_UNGRADED_RECIPE: Final = """\
cells = recount.{lines}.group_by("model", "role", "context", "continuation"{also}, "cluster")
answer = recount.with_shares(cells.agg(rows=pl.len(), memorized=pl.sum("recited")), ["memorized"])"""


def shares_recipe(tables: Tables, *model_columns: str, across: Across | None = None) -> str:
    """The recipe of `memorized_shares`, with further columns of the models."""
    recipe = _RECIPE if tables.graded else _UNGRADED_RECIPE
    lines = "lines(study)" if across is None else f'same_rows(study, "{across}")'
    return recipe.format(lines=lines, also="".join(f', "{name}"' for name in model_columns))


def share_columns_across(across: Across) -> dict[str, str]:
    """The columns of `memorized_shares` of the same rows."""
    return SHARE_COLUMNS | {"rows": f"rows scored at every {across} that the model and role were scored at"}


def memorized_shares(tables: Tables, across: Across | None = None) -> pl.DataFrame:
    """One record per model, role and cell with scored rows, models in the order given; columns SHARE_COLUMNS.

    across: only of the rows that the model scored at every context (continuation), so that the shares form lines.
    """
    rows, memorized = pl.col("rows"), (pl.col("rows") * pl.col("recited")).sum().alias("memorized")
    unmemorized = (rows * (pl.col("matches") == 0)).sum() if tables.graded else pl.lit(None, pl.Int64)

    def shares(sums: pl.DataFrame) -> pl.DataFrame:
        return with_shares(sums, ["memorized", "unmemorized"])

    frame = tables.reduced_sums(shares, rows.sum(), memorized, unmemorized.alias("unmemorized"), across=across)
    return in_model_order(frame, tables).select(*SHARE_COLUMNS)


def in_model_order(frame: pl.DataFrame, tables: Tables, *extra: str) -> pl.DataFrame:
    """Sort by model in the order given, role, context, continuation and the `extra` columns, where `frame` has them."""
    order = {model: position for position, model in enumerate(tables.models["model"])}
    by = [name for name in ("role", "context", "continuation", *extra) if name in frame.columns]
    return frame.sort(pl.col("model").replace_strict(order, return_dtype=pl.Int64), *by)


def nearest_cell(tables: Tables) -> Cell | None:
    """The cell nearest to 32 + 32 in which a model of the family scored training rows; None where there is none.

    It differs from `tables.reference` only where models were not scored in every cell.
    """
    cells = {cell for model in tables.family for cell in scored_cells(tables, model)}
    if tables.reference in cells:
        return tables.reference
    return min(cells, key=lambda cell: (abs(cell.context - 32), abs(cell.continuation - 32)), default=None)


def scored_cells(tables: Tables, model: str) -> list[Cell]:
    """The cells in which training rows were scored with the model, ascending."""
    cells = tables.counts().filter(model=model, role="train").select("context", "continuation").unique()
    return [Cell(*cell) for cell in cells.sort("context", "continuation").iter_rows()]


def recited_by_cell(tables: Tables, model: str, cells: list[Cell]) -> pl.DataFrame:
    """Training rows scored in all `cells` with the model: row, then one Boolean column per cell, named `str(cell)`."""
    frames = [tables.side_by_side((model,), cell, "recited").rename({model: str(cell)}) for cell in cells]
    wide = frames[0]
    for frame in frames[1:]:
        wide = wide.join(frame, on="row", how="inner")
    return wide.sort("row")


def control_sentence(shares: pl.DataFrame, cell: Cell) -> str | None:
    """The memorized share of control rows in a cell, as a sentence; None without control rows.

    Args:
        shares: as returned by `memorized_shares`.
    """
    control = shares.filter(context=cell.context, continuation=cell.continuation, role="control")
    if not control.height:
        return None
    share, upper = (format_percent(control[name].max()) for name in ("memorized_share", "memorized_share_upper"))
    return (
        f"Rows no model was trained on, at {cell} tokens: {share} memorized at most (upper ends of the intervals up to "
        f"{upper})."
    )
