"""Mean and median count of the tokens around a border, by class of rows: P1's Fig. 4, with intervals and a control.

Rows are aligned on the border of context and continuation (P1), or, beyond the paper, each on its own divergence point:
the first token it does not recite. The control is the same with labels shuffled (seeded) among the training rows of a
model: the classes, or the divergence points of the rows that diverge.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from polars import selectors

from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.analyses.positions.token_windows import (
    CLASS,
    CLASS_MEANING,
    CLASSES,
    EVERY,
    MEMORIZED,
    OTHER,
    Windows,
    row_classes,
    scored_cell,
)
from mematlas.stats.estimates.averages import Centers, means, medians
from mematlas.study import Study

BORDER: Final = "border"
DIVERGENCE: Final = "divergence"
REACH: Final = 8  # our choice: tokens on each side of the divergence point
FEW: Final = 10  # our choice: a class of fewer rows is not drawn
GROUP: Final = {
    "model": "label of the model",
    "role": "train: rows of the corpus; shuffled: the same with labels shuffled; control: rows no model was trained "
    "on; control model: untrained on the corpus",
    "class": f"{CLASS_MEANING}; all rows: whatever M",
    "alignment": "border: of context and continuation; divergence: first token of the row that is not recited",
}
PLACE: Final = {**GROUP, "ngram": "1: counts of single tokens; 2: of pairs of a token and the one before it"}
CURVES: Final = {
    **PLACE,
    "offset": "tokens after the border: 0 is the first token to recite, or the first that is not recited",
    "rows": "rows whose count is known",
    "mean": "mean count in the corpus",
    "mean_lower": "lower end of its 95 % interval (Student's t); null for one row, or rows that are all the same",
    "mean_upper": "upper end of it",
    "median": "median count in the corpus",
    "median_lower": "lower end of its 95 % interval (order statistics); null for fewer than six rows",
    "median_upper": "upper end of it",
    "log_mean": "mean of log10(1 + count)",
    "log_mean_lower": "lower end of its 95 % interval (Student's t)",
    "log_mean_upper": "upper end of it",
    "geometric_mean": "10 ** log_mean: geometric mean of 1 + count",
    "geometric_mean_lower": "lower end of its 95 % interval",
    "geometric_mean_upper": "upper end of it",
    "shown": f"whether it is drawn: a class of P1, or of rows that diverge, with at least {FEW} rows, of the last "
    "checkpoint of each size or a control",
}
_TYPES: Final[dict[str, Any]] = {
    "class": CLASS,
    "ngram": pl.Int64,
    "offset": pl.Int64,
    "rows": pl.Int64,
    "shown": pl.Boolean,
}
_SCHEMA: Final[dict[str, Any]] = {name: pl.String if name in GROUP else pl.Float64 for name in CURVES} | _TYPES
_ROWS: Final = (*GROUP, "latest", "row", "at")
Values = NDArray[np.float64]


# ---------------------------------------------------------------------------------------------- which rows, and where


def boundary_rows(study: Study, run: str | None = None) -> pl.DataFrame:
    """The rows behind each curve of `boundary_input`, at the cell nearest to 32 + 32.

    Returns:
        model, role, class, alignment (see GROUP), latest (last checkpoint of its size, or a control), row, at (place in
        the window of the token that offset 0 stands for). A training row stands under its class and under "all rows",
        and with role "shuffled" under a class drawn from those of its model (seeded).

    Raises:
        StudyError: the run is not finished, has no row features, or no row was scored.
    """
    tables = read_tables(study, run)
    return aligned_rows(tables, row_classes(tables, scored_cell(tables)), scored_cell(tables).context)


def aligned_rows(tables: Tables, classes: pl.DataFrame, context: int) -> pl.DataFrame:
    """`boundary_rows` from `windows.row_classes`; context: tokens."""
    parts = []
    for place, model in enumerate(tables.models["model"]):
        lines = classes.filter("counted", model=model)
        train = lines.filter(role="train")
        generator = np.random.default_rng((0, place))
        called = train["class"].gather(generator.permutation(train.height))
        border = [
            lines,
            train.with_columns(pl.lit(EVERY, CLASS).alias("class")),
            train.with_columns(called, pl.lit("shuffled").alias("role")),
        ]
        diverging = lines.filter(pl.col("class") != MEMORIZED, pl.col("verbatim").is_not_null())
        own = diverging.filter(role="train")
        swapped = own["verbatim"].gather(generator.permutation(own.height))
        divergence = [diverging, own.with_columns(swapped, pl.lit("shuffled").alias("role"))]
        parts += [_at(one, BORDER, pl.lit(context)) for one in border]
        parts += [_at(one, DIVERGENCE, context + pl.col("verbatim")) for one in divergence]
    return pl.concat(parts)


def _at(lines: pl.DataFrame, alignment: str, at: pl.Expr) -> pl.DataFrame:
    found = lines.with_columns(pl.lit(alignment).alias("alignment"), at.cast(pl.Int64).alias("at"))
    return found.sort("role", "class", maintain_order=True).select(*_ROWS)


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Rows of `boundary_rows` with the same values of GROUP.

    place: these values; shown: whether it is drawn (see CURVES); places: [n], where the values of its rows stand; at:
    [n], column of the window that offset 0 stands for.
    """

    place: dict[str, Any]
    shown: bool
    places: NDArray[np.int64]
    at: NDArray[np.int64]

    @property
    def at_border(self) -> bool:
        return self.place["alignment"] == BORDER

    @property
    def of_paper(self) -> bool:
        """Whether P1 draws it, or we draw it in its stead."""
        return self.place["class"] in CLASSES or (self.place["class"] == OTHER and not self.at_border)


def groups(rows: pl.DataFrame, ids: NDArray[np.int64]) -> list[Group]:
    """The groups of `boundary_rows` (or of some of its lines), in the order given.

    ids: [n], ascending, of the rows whose values stand in a matrix, line by line.
    """
    found = []
    for key, group in rows.group_by(list(GROUP), maintain_order=True):
        shown = group.height >= FEW and bool(group["latest"][0])
        places = np.searchsorted(ids, group["row"].to_numpy())
        one = Group(dict(zip(GROUP, key, strict=True)), shown, places, group["at"].to_numpy())
        found.append(one if one.of_paper else replace(one, shown=False))
    return found


def around(padded: Values, group: Group) -> Values:
    """Values of a group's rows around their border: the whole window at that of context and continuation, REACH columns
    on each side of divergence points. padded: shape (rows, context + continuation + 2 REACH), NaN at both ends."""
    if group.at_border:
        return padded[:, REACH:-REACH][group.places]
    return sliding_window_view(padded, 2 * REACH + 1, axis=1)[group.places, group.at]


# --------------------------------------------------------------------------------------------------------- the curves


def boundary_curves(rows: pl.DataFrame, counts: Windows) -> pl.DataFrame:
    """Mean, median and geometric mean count at each offset of each class of P1, and of all rows that diverge; columns
    CURVES.

    Args:
        rows: as `boundary_rows`. counts: as `windows.boundary_counts`.
    """
    parts = [pl.DataFrame(schema=_SCHEMA)]
    drawn = [group for group in groups(rows, counts.rows) if group.of_paper]
    for ngram, values in counts.counts.items():
        padded = np.pad(values, ((0, 0), (REACH, REACH)), constant_values=np.nan)
        logs = np.log10(1 + padded)
        for group in drawn:
            raw, log = around(padded, group), means(around(logs, group))
            first = counts.cell.context if group.at_border else REACH
            found = {"offset": np.arange(raw.shape[1]) - first, "rows": log.count, "ngram": ngram, "shown": group.shown}
            found |= named("mean", means(raw)) | named("median", medians(raw)) | named("log_mean", log)
            found |= {name.replace("log", "geometric"): 10**value for name, value in named("log_mean", log).items()}
            columns = {**found, **group.place}
            parts.append(pl.DataFrame({name: columns[name] for name in CURVES}, schema=_SCHEMA))
    return pl.concat(parts).with_columns(selectors.float().fill_nan(None))


def named(name: str, center: Centers) -> dict[str, Any]:
    """The columns `name`, with both ends of its interval."""
    return {name: center.estimate, f"{name}_lower": center.lower, f"{name}_upper": center.upper}
