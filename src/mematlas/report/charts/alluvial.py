"""Alluvial charts: ribbons as areas, levels as blocks with their name and share."""

import json
from typing import Any, Final, Literal

import altair as alt
import polars as pl

from mematlas.findings.finding import Chart
from mematlas.report.charts import encodings
from mematlas.report.charts.alluvial_layout import AlluvialLayout, Flow, compute_layout, half_width
from mematlas.report.charts.orders import merge_orders, ordered_values
from mematlas.report.charts.palette import Palette
from mematlas.report.charts.panel import Panel
from mematlas.report.charts.text_metrics import without_common_parts, wrap

_HEIGHT: Final = 380
_STEP_WIDTH: Final = 110  # pixels of a line of a step's name
_LABEL_HEIGHT: Final = 14 / _HEIGHT  # of a block's label, relative to the picture


def draw(chart: Chart, frame: pl.DataFrame, palette: Palette) -> Panel:
    """Rows that move from level to level, with the steps from left to right."""
    if chart.color is None or chart.target is None:
        raise ValueError(f"chart {chart.name}: a flow needs a level (color) and the next level (target)")
    names = (chart.x.column, chart.color.column, chart.target, chart.y.column)
    levels, steps = _levels(chart, frame, *names[1:3]), _steps(frame, *names[:3:2])
    records: list[dict[str, Any]] = []
    for _, panel in frame.group_by(chart.facet, maintain_order=True) if chart.facet else [((), frame)]:
        facet_value = {chart.facet: panel[chart.facet][0]} if chart.facet else {}
        layout = compute_layout(_flows(panel.select(names), steps, levels), len(levels))
        records += [facet_value | record for record in _records(layout, steps, levels)]
    max_width = max(420, 150 * len(steps))
    return Panel(_layers(chart, steps, levels, palette), records, _HEIGHT, max_width=max_width, levels=len(levels))


def _levels(chart: Chart, frame: pl.DataFrame, level: str, target: str) -> list[Any]:
    """Levels from the bottom up, in an order that agrees with every step and with every level's targets."""
    step = [chart.x.column, *([chart.facet] if chart.facet else [])]
    sources, targets = (frame.group_by(keys, maintain_order=True) for keys in (step, [*step, level]))
    levels = merge_orders(
        [ordered_values(rows, level) for _, rows in sources] + [ordered_values(rows, target) for _, rows in targets]
    )
    return sorted(levels) if frame[level].dtype.is_numeric() else levels


def _steps(frame: pl.DataFrame, step: str, target: str) -> list[Any]:
    """The steps in the table, and one more ("next") if rows lead on from the last."""
    steps = ordered_values(frame, step)
    last_rows = frame.filter(pl.col(step) == steps[-1])
    return steps if last_rows[target].is_null().all() else [*steps, "next"]


def _flows(frame: pl.DataFrame, steps: list[Any], levels: list[Any]) -> list[Flow]:
    """The flows of a frame with the columns step, level, next level, rows."""
    return [
        Flow(steps.index(step), levels.index(source), levels.index(target), rows)
        for step, source, target, rows in frame.drop_nulls().iter_rows()
    ]


def _records(layout: AlluvialLayout, steps: list[Any], levels: list[Any]) -> list[dict[str, Any]]:
    totals = [sum(block.rows for block in layout.blocks if block.step == step) for step in range(len(steps))]
    records: list[dict[str, Any]] = []
    for number, ribbon in enumerate(layout.ribbons):
        flow = ribbon.flow
        labels = {
            "from": f"{levels[flow.source]} in {steps[flow.step]}",
            "rows": flow.rows,
            "level": levels[flow.source],
            "to": f"{levels[flow.target]} in {steps[flow.step + 1]}",
        }
        for x, low, high in ribbon.outline():
            point = {"x": round(x, 3), "low": round(low, 2), "high": round(high, 2)}
            records.append({"part": "ribbon", "ribbon": number, **labels, **point})
    heights = _label_heights(layout)
    for block in layout.blocks:
        side = "start" if block.step == 0 else "end" if block.step == len(steps) - 1 else "inside"
        left, right = block.step - half_width(), block.step + half_width()
        position = {"x": left, "x2": right, "low": block.low, "high": block.high}
        middle = heights[block.step, block.level]
        label = f"{levels[block.level]} {100 * block.rows / totals[block.step]:.0f} %"
        labels = {"level": levels[block.level], "rows": block.rows, "step": str(steps[block.step]), "label": label}
        records.append({"part": "block", "side": side, "middle": middle, **position, **labels})
    return records


def _label_heights(layout: AlluvialLayout) -> dict[tuple[int, int], float]:
    """The heights of the block labels: the middles of the blocks, moved up where labels would overlap."""
    distance = _LABEL_HEIGHT * max((block.high for block in layout.blocks), default=0)
    heights: dict[tuple[int, int], float] = {}
    last: dict[int, float] = {}
    for block in layout.blocks:  # from the bottom up, step by step
        middle = max((block.low + block.high) / 2, last.get(block.step, -distance) + distance)
        heights[block.step, block.level] = last[block.step] = middle
    return heights


def _layers(chart: Chart, steps: list[Any], levels: list[Any], palette: Palette) -> list[alt.Chart]:
    names = without_common_parts([str(step) for step in steps])
    lines = {str(step): wrap(names[str(step)], _STEP_WIDTH, encodings.FONT_SIZE, 2) for step in steps}
    ticks = alt.Axis(
        values=list(range(len(steps))),
        labelExpr=f"{json.dumps(list(lines.values()))}[datum.value]",
        grid=False,
        domain=False,
        ticks=False,
        labelLimit=0,
    )
    encodings.slant_if_narrow(ticks, lines, len(steps) - 1, faceted=chart.facet is not None)
    x = alt.X(
        "x:Q",
        title=chart.x.title,
        axis=ticks,
        scale=alt.Scale(domain=[-half_width(), len(steps) - 1 + half_width()], nice=False),
    )
    y = alt.Y("low:Q", title=None, axis=None)
    colors: Any = palette.colors(levels) if palette.are_levels(levels) else "ordinal"
    shade = alt.Color("level:N", scale=alt.Scale(domain=levels, range=colors), legend=None)
    ribbons = (
        alt.Chart()
        .mark_area(interpolate="monotone", stroke=None)
        .transform_filter("datum.part == 'ribbon'")
        .encode(
            x,
            y,
            alt.Y2("high:Q"),
            shade,
            alt.Detail("ribbon:N"),
            opacity=alt.value(0.62),
            tooltip=_tooltip("from", "to"),
        )
    )
    blocks = alt.Chart().transform_filter("datum.part == 'block'")
    bars = blocks.mark_rect(strokeWidth=1).encode(
        x, y, alt.X2("x2:Q"), alt.Y2("high:Q"), shade, tooltip=_tooltip("step", "level")
    )
    return [ribbons, bars, _block_labels(blocks, "start", "right", x), _block_labels(blocks, "end", "left", x)]


def _block_labels(blocks: alt.Chart, side: str, align: Literal["left", "right"], x: alt.X) -> alt.Chart:
    channel = x if side == "start" else alt.X("x2:Q", axis=x["axis"], scale=x["scale"], title=x["title"])
    mark = blocks.mark_text(align=align, dx=-6 if align == "right" else 6, fontSize=11)
    labels = mark.transform_filter(f"datum.side == '{side}'")
    return labels.encode(channel, alt.Y("middle:Q", axis=None), alt.Text("label:N"))


def _tooltip(*names: str) -> list[alt.Tooltip]:
    return [*(alt.Tooltip(f"{name}:N", title=name) for name in names), alt.Tooltip("rows:Q", title="rows", format=",")]
