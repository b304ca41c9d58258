"""Near-copies of recited rows, by category: what K2's rule, which counts exact copies alone, does not see.

Rows are repeated in other words, dates or names, too. Near-copies are known among the scored training rows (`mematlas
features --near`), exact copies in the whole corpus; a row's copies of both kinds are added (our choice).
"""

from typing import Final

import polars as pl

from mematlas.analyses.frames.copies import CATEGORIES, RECITATION_COPIES, counts_by_category
from mematlas.analyses.frames.memorized_shares import KEYS, ROLE_DESCRIPTION, in_model_order
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS, with_shares
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import format_count
from mematlas.findings.finding import Table

_COLUMNS: Final = {
    "model": "label of the model",
    "role": ROLE_DESCRIPTION,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "category": "K2's category of the recited rows, by exact copies alone",
    "rows": "recited rows that were compared",
    "near": "of these, rows with near-copies (Jaccard similarity of 5-token pieces of .8 or more) among the study's "
    "other training rows, exact copies not counted",
    "share": "near / rows",
    "share_lower": "lower end of its 95 % interval (Wilson's; clustered where rows come in clusters)",
    "share_upper": "upper end of it",
    **SAMPLE_COLUMNS,
    "repeated": f"rows with {RECITATION_COPIES} copies or more, exact ones in the corpus and near-copies added: "
    "recited because repeated, if near-copies count as repetitions",
}
_RECIPE: Final = """\
near = study.features("near").select("row", "near_copies", "exact")
lines = recount.lines_with_features(study).filter("recited").join(near, on="row")
answer = recount.near_categories(lines)"""


def near_categories(rows: pl.DataFrame) -> pl.DataFrame:
    """Recited rows of each category, those of them with near-copies, and those that are repeated if these count.

    Args:
        rows: model, role, context, continuation, category, near_copies, exact, copies (exact ones in the corpus), maybe
            cluster, and maybe `rows`, the number of rows alike. Rows that were not compared are left out.

    Returns:
        model, role, context, continuation, category, rows, near, share with its interval, repeated.
    """
    number = pl.col("rows") if "rows" in rows.columns else pl.lit(1, pl.Int64)
    only_near = pl.col("near_copies") - pl.col("exact")
    counted = rows.drop_nulls(["category", "near_copies"]).with_columns(
        rows=number,
        near=(only_near > 0).cast(pl.Int64) * number,
        repeated=(pl.col("copies") + only_near >= RECITATION_COPIES).cast(pl.Int64) * number,
    )
    unit = ["cluster"] if "cluster" in rows.columns else []
    sums = counted.group_by(*KEYS, "category", *unit).agg(pl.col("rows", "near", "repeated").sum())
    return with_shares(sums.sort(*KEYS, "category", *unit), "near", sums=["repeated"])


def near_category_table(tables: Tables, scope: str) -> Table | None:
    """`near_categories` of every cell; None of a study that was not asked for near-copies, or recites no row."""
    if "near" not in tables.features:
        return None
    counts = counts_by_category(tables, scope, with_near=True)
    if counts.is_empty():
        return None
    frame = in_model_order(near_categories(counts), tables, "category").select(*_COLUMNS)
    title = "Recited rows of each category that have near-copies among the training rows"
    return Table("near", title, frame, _COLUMNS, _RECIPE) if frame.height else None


def near_caveats(table: Table | None, model: str, cell: Cell) -> tuple[str, ...]:
    """How many recited training rows of a model are repeated only if near-copies count."""
    if table is None:
        return ()
    where = {"model": model, "role": "train", "context": cell.context, "continuation": cell.continuation}
    others = table.frame.filter(**where).filter(pl.col("category").cast(pl.String) != CATEGORIES[0])
    rows, near, repeated = (int(others[name].sum()) for name in ("rows", "near", "repeated"))
    if not rows:
        return ()
    return (
        f"K2's rule counts exact copies. Of {format_count(rows)} that {model} recites and that are no recitation, "
        f"{near:,} have near-copies among the study's training rows; {repeated:,} would be recitation if these "
        "counted.",
    )
