"""The atlas of a family: how its rows are spread over the levels of M, model after model, beside control rows.

Its numbers are those of the findings `transitions` (rows that move from level to level) and `distribution` (a single
model, and the control).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from mematlas.findings.finding import Finding
from mematlas.report.cell import Cell, reference_cell
from mematlas.report.charts.alluvial_layout import AlluvialLayout, Flow, compute_layout

_FLOW_COLUMNS: Final = {"series", "step", "model", "level", "target", "rows"}
_CLASS_COLUMNS: Final = {"model", "role", "context", "continuation", "kind", "class", "rows", "of"}
#: The levels of M, from low to high: their names in tables, and what they mean.
LEVEL_MEANINGS: Final = {
    "very low": "0–20 %",
    "low": "20–40 %",
    "medium": "40–60 %",
    "high": "60–80 %",
    "very high": "80–100 %",
    "M < 1": "not whole",
    "M = 1": "whole",
}
_GRADED: Final = tuple(LEVEL_MEANINGS)[:5]
_RECITED: Final = tuple(LEVEL_MEANINGS)[5:]


@dataclass(frozen=True, slots=True)
class Atlas:
    """The rows of a family by level.

    steps: the models in order, by their short names; levels: names, from low to high; flows: rows from level to level,
    steps and levels numbered from 0; for a single model, its rows "flow" to the same level; control: how many control
    rows the last model has on each level, None if the study has none; cell: the lengths of prompt and continuation;
    series: what orders the models.
    """

    steps: tuple[str, ...]
    levels: tuple[str, ...]
    flows: tuple[Flow, ...]
    control: tuple[float, ...] | None
    cell: Cell | None
    series: str

    @property
    def layout(self) -> AlluvialLayout:
        """The blocks and ribbons of the models."""
        layout = compute_layout(self.flows, len(self.levels))
        blocks = [block for block in layout.blocks if block.step < len(self.steps)]
        return AlluvialLayout(blocks, layout.ribbons if len(self.steps) > 1 else [])

    @property
    def control_layout(self) -> AlluvialLayout:
        """The blocks of the control at step 0, as high in all as those of the models."""
        counts = self.control or ()
        rows = self.rows or 1
        flows = [Flow(0, level, level, rows * count / (sum(counts) or 1)) for level, count in enumerate(counts)]
        layout = compute_layout(flows, len(self.levels))
        return AlluvialLayout([block for block in layout.blocks if block.step == 0], [])

    @property
    def rows(self) -> int:
        """The number of rows at the first step."""
        return int(sum(flow.rows for flow in self.flows if flow.step == 0))

    @property
    def description(self) -> str:
        """The picture in words, for readers who do not see it."""
        shares = self.shares()
        top = self.levels[-1]
        parts = [f"{step} {100 * share[-1]:.0f} %" for step, share in zip(self.steps, shares, strict=True)]
        text = f"{self.rows:,} rows by level of M. Share on the level {top}: {', '.join(parts)}."
        if self.control:
            text += f" Control rows: {100 * self.control[-1] / (sum(self.control) or 1):.0f} %."
        return text

    def shares(self) -> list[list[float]]:
        """For each step, the share of its rows on each level."""
        rows = [[0.0] * len(self.levels) for _ in self.steps]
        for block in self.layout.blocks:
            rows[block.step][block.level] = block.rows
        return [[count / (sum(counts) or 1) for count in counts] for counts in rows]


def family_atlas(findings: Sequence[Finding]) -> Atlas | None:
    """The atlas of the family, from its findings; None if they have neither transitions nor a distribution."""
    flow, classes = _table(findings, "transitions", "flow"), _table(findings, "distribution", "classes")
    flow = flow if flow is not None and set(flow.columns) >= _FLOW_COLUMNS else None
    classes = classes if classes is not None and set(classes.columns) >= _CLASS_COLUMNS else None
    cell = reference_cell(findings)
    if flow is not None and flow["rows"].sum():
        return _of_family(flow, classes, _last_model(findings), cell)
    return None if classes is None or cell is None else _of_one_model(classes, cell)


def _table(findings: Sequence[Finding], finding: str, table: str) -> pl.DataFrame | None:
    """The table of a finding; None if there is no such finding or table."""
    tables = [each.frame for found in findings if found.name == finding for each in found.tables if each.name == table]
    return tables[0] if tables else None


def _of_family(flow: pl.DataFrame, classes: pl.DataFrame | None, last: str | None, cell: Cell | None) -> Atlas | None:
    """The atlas of the first series of models in a table of flows. last: the label of its last model."""
    series = flow.filter(pl.col("series") == flow["series"][0]).sort("step", maintain_order=True)
    levels = _RECITED if set(series["level"]) <= set(_RECITED) else _GRADED
    steps = series.unique("step", keep="first", maintain_order=True)["model"].to_list()
    moves = series.drop_nulls(("level", "target", "rows"))
    if not set(moves["level"]) | set(moves["target"]) <= set(levels):
        return None
    first = int(series["step"].min())  # type: ignore[arg-type]
    flows = [
        Flow(step - first, levels.index(level), levels.index(target), rows)
        for step, level, target, rows in moves.select("step", "level", "target", "rows").iter_rows()
    ]
    control = None if classes is None or last is None or cell is None else _control(classes, last, cell, levels)
    return Atlas(tuple(steps), levels, tuple(flows), control, cell, series["series"][0])


def _last_model(findings: Sequence[Finding]) -> str | None:
    """The label of the last model of the first series of transitions."""
    pairs = _table(findings, "transitions", "transitions")
    if pairs is None or not {"series", "larger"} <= set(pairs.columns) or not pairs.height:
        return None
    return str(pairs.filter(pl.col("series") == pairs["series"][0])["larger"][-1])


def _of_one_model(classes: pl.DataFrame, cell: Cell) -> Atlas | None:
    """The atlas of the only model, or the last one, of a table of classes of scores."""
    models = classes.filter(role="train", context=cell.context, continuation=cell.continuation)["model"]
    if not models.len():
        return None
    for levels in (_GRADED, _RECITED):
        counts = _level_counts(classes, models[-1], "train", cell, levels)
        if counts is not None:
            flows = tuple(Flow(0, level, level, rows) for level, rows in enumerate(counts))
            control = _control(classes, models[-1], cell, levels)
            return Atlas((str(models[-1]),), levels, flows, control, cell, "one model")
    return None


def _control(classes: pl.DataFrame, model: str, cell: Cell, levels: tuple[str, ...]) -> tuple[float, ...] | None:
    """How many control rows the model has on each level; None if that is unknown."""
    return _level_counts(classes, model, "control", cell, levels)


def _level_counts(
    classes: pl.DataFrame, model: str, role: str, cell: Cell, levels: tuple[str, ...]
) -> tuple[float, ...] | None:
    """How many rows of a role the model has on each level; None if that is unknown, or there are none."""
    where: dict[str, Any] = {"model": model, "role": role, "context": cell.context, "continuation": cell.continuation}
    rows = classes.filter(**where)
    if levels == _GRADED:
        counts = rows.filter(kind="level")["rows"]
        known = counts.len() == len(levels) and not counts.null_count() and counts.sum()
        return tuple(counts.to_list()) if known else None
    whole = rows.filter(pl.col("class") == "M = 1", kind="part").drop_nulls("rows")
    if not whole.height or not whole["of"][0]:
        return None
    return (whole["of"][0] - whole["rows"][0], whole["rows"][0])
