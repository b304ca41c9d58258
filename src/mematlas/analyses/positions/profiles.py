"""Rows of positional profiles, by class and aligned (P1, Fig. 4); their numbers are those of count_curves.py.

Rows are aligned on the boundary of context and continuation (P1) or, beyond the paper, each on its own divergence
point: the first token that is not recited. The control shuffles labels among the training rows of a model: the
classes, or the divergence points of the rows that diverge; see shuffles.py. Rows of one document, and copies, are not
independent: each row has its cluster (study/clusters.py), the unit of all intervals.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.analyses.positions.token_windows import (
    ALL_ROWS,
    CLASS_DESCRIPTION,
    CLASS_TYPE,
    CLASSES,
    MEMORIZED,
    OTHER,
    row_classes,
    scored_cell,
)
from mematlas.stats.estimates.averages import FEWEST_COUNTS
from mematlas.study import Study

BOUNDARY: Final = "border"
DIVERGENCE: Final = "divergence"
DIVERGENCE_REACH: Final = 8  # our choice: tokens on each side of the divergence point
MIN_ROWS: Final = 10  # our choice: a class of fewer rows is not drawn
GROUP_COLUMNS: Final = {
    "model": "label of the model",
    "role": "train: rows of the corpus; shuffled: the same with labels shuffled (in whole documents where rows come in "
    "documents), mean and middle 95 % of 200 shuffles; "
    "control: rows no model was trained on; control model: untrained on the corpus",
    "class": f"{CLASS_DESCRIPTION}; all rows: whatever M",
    "alignment": "border: of context and continuation; divergence: first token of the row that is not recited",
}
PROFILE_KEY_COLUMNS: Final = {
    **GROUP_COLUMNS,
    "ngram": "1: counts of single tokens; 2: of pairs of a token and the one before it",
}
CLUSTERS: Final = "clusters that these rows come from: documents, joined where they share 13 tokens; else rows"
DESIGN_EFFECT: Final = "variance of {} over that of so many independent rows; 1 for these, null for shuffled rows"
PROFILE_COLUMNS: Final = {
    **PROFILE_KEY_COLUMNS,
    "offset": "tokens after the border: 0 is the first token to recite, or the first that is not recited",
    "rows": "rows whose count is known",
    "mean": "mean count in the corpus",
    "mean_lower": f"lower end of its 95 % interval (Student's t); null below {FEWEST_COUNTS:,} clusters, where a "
    "few frequent n-grams make it too narrow, and for rows that are all the same",
    "mean_upper": "upper end of it",
    "median": "median count in the corpus; null for shuffled rows",
    "median_lower": "lower end of its 95 % interval (order statistics); null for fewer than six clusters",
    "median_upper": "upper end of it",
    "log_mean": "mean of log10(1 + count)",
    "log_mean_lower": "lower end of its 95 % interval (Student's t)",
    "log_mean_upper": "upper end of it",
    "geometric_mean": "10 ** log_mean: geometric mean of 1 + count",
    "geometric_mean_lower": "lower end of its 95 % interval",
    "geometric_mean_upper": "upper end of it",
    "clusters": CLUSTERS,
    "design_effect": DESIGN_EFFECT.format("the mean"),
    "shown": f"whether it is drawn: a class of P1, or of rows that diverge, with at least {MIN_ROWS} rows, of the last "
    "checkpoint of each size or a control",
}
_ROW_COLUMNS: Final = (*GROUP_COLUMNS, "latest", "row", "cluster", "at")
Values = NDArray[np.float64]


# -------------------------------------------------------------------------------------------------- rows and alignment


def boundary_rows(study: Study, run: str | None = None) -> pl.DataFrame:
    """The rows behind each profile of `boundary_input`, at the cell nearest to 32 + 32.

    Returns:
        model, role, class, alignment (see GROUP_COLUMNS), latest (last checkpoint of its size, or a control), row,
        cluster (rows of one number are not independent), at (position in the window of the token at offset 0). A
        training row is listed under its class and under "all rows", and with role "shuffled" under a class drawn from
        those of its model (seeded), or under its own where rows come in documents; shuffles.py shuffles these classes.

    Raises:
        StudyError: the run is not finished, has no row features, or no row was scored.
    """
    tables = read_tables(study, run)
    return aligned_rows(tables, row_classes(tables, scored_cell(tables)), scored_cell(tables).context)


def aligned_rows(tables: Tables, classes: pl.DataFrame, context: int) -> pl.DataFrame:
    """`boundary_rows`, computed from `row_classes`.

    Args:
        context: tokens of the context.
    """
    parts = []
    for model_index, model in enumerate(tables.models["model"]):
        rows = classes.filter("counted", model=model)
        train_rows = rows.filter(role="train")
        generator = np.random.default_rng((0, model_index))
        shuffled_classes = _drawn(train_rows["class"], generator, tables)
        at_boundary = [
            rows,
            train_rows.with_columns(pl.lit(ALL_ROWS, CLASS_TYPE).alias("class")),
            train_rows.with_columns(shuffled_classes, pl.lit("shuffled").alias("role")),
        ]
        diverging = rows.filter(pl.col("class") != MEMORIZED, pl.col("verbatim").is_not_null())
        own_train = diverging.filter(role="train")
        shuffled_points = _drawn(own_train["verbatim"], generator, tables)
        at_divergence = [diverging, own_train.with_columns(shuffled_points, pl.lit("shuffled").alias("role"))]
        parts += [_aligned(part, BOUNDARY, pl.lit(context)) for part in at_boundary]
        parts += [_aligned(part, DIVERGENCE, context + pl.col("verbatim")) for part in at_divergence]
    return pl.concat(parts)


def _drawn(labels: pl.Series, generator: np.random.Generator, tables: Tables) -> pl.Series:
    """A permutation of labels; the labels themselves where shuffles.py needs them as they lie in documents."""
    return labels.gather(generator.permutation(len(labels))) if tables.clusters is None else labels


def _aligned(rows: pl.DataFrame, alignment: str, origin: pl.Expr) -> pl.DataFrame:
    aligned = rows.with_columns(pl.lit(alignment).alias("alignment"), origin.cast(pl.Int64).alias("at"))
    return aligned.sort("role", "class", maintain_order=True).select(*_ROW_COLUMNS)


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Rows of `boundary_rows` with the same values of GROUP_COLUMNS.

    key: these values; shown: whether the group is drawn (see PROFILE_COLUMNS); indices: [n], positions of its rows in
    the matrix of values; origins: [n], the column of the window at offset 0; clusters: [n], those of its rows, or None
    where all are independent.
    """

    key: dict[str, Any]
    shown: bool
    indices: NDArray[np.int64]
    origins: NDArray[np.int64]
    clusters: NDArray[np.int64] | None = None

    @property
    def at_boundary(self) -> bool:
        """Whether the rows are aligned on the boundary of context and continuation."""
        return self.key["alignment"] == BOUNDARY

    @property
    def in_paper_figure(self) -> bool:
        """Whether P1 draws this class, or it replaces one that P1 draws."""
        return self.key["class"] in CLASSES or (self.key["class"] == OTHER and not self.at_boundary)


def row_groups(rows: pl.DataFrame, ids: NDArray[np.int64]) -> list[Group]:
    """The groups of `boundary_rows` (or a subset of it), in order of appearance.

    Args:
        ids: [n], ascending ids of the rows of the matrix of values.
    """
    groups = []
    for key, group in rows.group_by(list(GROUP_COLUMNS), maintain_order=True):
        shown = group.height >= MIN_ROWS and bool(group["latest"][0])
        indices = np.searchsorted(ids, group["row"].to_numpy())
        numbers = indices, group["at"].to_numpy(), group["cluster"].to_numpy()
        row_group = Group(dict(zip(GROUP_COLUMNS, key, strict=True)), shown, *numbers)
        groups.append(row_group if row_group.in_paper_figure else replace(row_group, shown=False))
    return groups


def aligned_values(padded: Values, group: Group) -> Callable[[NDArray[np.int64], NDArray[np.int64]], Values]:
    """A function from indices and origins of rows of a group to their values, aligned as it is.

    They are those of the whole window, or of DIVERGENCE_REACH columns on each side of divergence points.

    Args:
        padded: shape (rows, context + continuation + 2 DIVERGENCE_REACH), NaN at both ends.
    """
    if group.at_boundary:
        return lambda indices, origins: padded[:, DIVERGENCE_REACH:-DIVERGENCE_REACH][indices]
    windows = sliding_window_view(padded, 2 * DIVERGENCE_REACH + 1, axis=1)
    return lambda indices, origins: windows[indices, origins]
