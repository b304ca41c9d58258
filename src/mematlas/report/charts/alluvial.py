"""An alluvial view drawn: ribbons as areas, levels as blocks with their name and share."""

import json
from typing import Any, Final, Literal

import altair as alt
import polars as pl

from mematlas.findings.finding import Chart
from mematlas.report.charts import encodings
from mematlas.report.charts.alluvial_layout import Alluvial, Flow, half_width, lay_out
from mematlas.report.charts.panel import Panel

_HEIGHT: Final = 380
_NAME_HEIGHT: Final = 14 / _HEIGHT  # of a block's name, of the picture


def draw(chart: Chart, frame: pl.DataFrame) -> Panel:
    """Rows from level to level, the steps from left to right."""
    if chart.color is None or chart.target is None:
        raise ValueError(f"chart {chart.name}: a flow needs a level (color) and the next level (target)")
    names = (chart.x.column, chart.color.column, chart.target, chart.y.column)
    levels, steps = _levels(chart, frame, *names[1:3]), _steps(frame, *names[:3:2])
    records: list[dict[str, Any]] = []
    for _, panel in frame.group_by(chart.facet, maintain_order=True) if chart.facet else [((), frame)]:
        kept = {chart.facet: panel[chart.facet][0]} if chart.facet else {}
        laid = lay_out(_flows(panel.select(names), steps, levels), len(levels))
        records += [kept | record for record in _records(laid, steps, levels)]
    return Panel(_layers(chart, steps, levels), records, _HEIGHT, widest=max(420, 150 * len(steps)), levels=len(levels))


def _levels(chart: Chart, frame: pl.DataFrame, level: str, target: str) -> list[Any]:
    """Levels from the lowest up, in an order that agrees with that of every step and of every level's targets."""
    step = [chart.x.column, *([chart.facet] if chart.facet else [])]
    sources, targets = (frame.group_by(by, maintain_order=True) for by in (step, [*step, level]))
    found = encodings.merged(
        [encodings.values(lines, level) for _, lines in sources]
        + [encodings.values(lines, target) for _, lines in targets]
    )
    return sorted(found) if frame[level].dtype.is_numeric() else found


def _steps(frame: pl.DataFrame, step: str, target: str) -> list[Any]:
    """The steps named, and one more where lines lead on from the last."""
    found = encodings.values(frame, step)
    ends = frame.filter(pl.col(step) == found[-1])
    return found if ends[target].is_null().all() else [*found, "next"]


def _flows(frame: pl.DataFrame, steps: list[Any], levels: list[Any]) -> list[Flow]:
    """frame: step, level, next level, rows."""
    return [
        Flow(steps.index(step), levels.index(source), levels.index(target), rows)
        for step, source, target, rows in frame.drop_nulls().iter_rows()
    ]


def _records(laid: Alluvial, steps: list[Any], levels: list[Any]) -> list[dict[str, Any]]:
    totals = [sum(block.rows for block in laid.blocks if block.step == at) for at in range(len(steps))]
    found: list[dict[str, Any]] = []
    for number, ribbon in enumerate(laid.ribbons):
        flow = ribbon.flow
        said = {"from": f"{levels[flow.source]} in {steps[flow.step]}", "rows": flow.rows, "level": levels[flow.source]}
        said["to"] = f"{levels[flow.target]} in {steps[flow.step + 1]}"
        for x, low, high in ribbon.outline():
            point = {"x": round(x, 3), "low": round(low, 2), "high": round(high, 2)}
            found.append({"part": "ribbon", "ribbon": number, **said, **point})
    middles = _apart(laid)
    for block in laid.blocks:
        side = "start" if block.step == 0 else "end" if block.step == len(steps) - 1 else "inside"
        place = {"x": block.step - half_width(), "x2": block.step + half_width(), "low": block.low, "high": block.high}
        label = f"{levels[block.level]} {100 * block.rows / totals[block.step]:.0f} %"
        said = {"level": levels[block.level], "rows": block.rows, "step": str(steps[block.step]), "label": label}
        found.append({"part": "block", "side": side, "middle": middles[block.step, block.level], **place, **said})
    return found


def _apart(laid: Alluvial) -> dict[tuple[int, int], float]:
    """Heights of the blocks' names: their middles, pushed up where two would meet."""
    least = _NAME_HEIGHT * max((block.high for block in laid.blocks), default=0)
    found: dict[tuple[int, int], float] = {}
    last: dict[int, float] = {}
    for block in laid.blocks:  # from below, step by step
        middle = max((block.low + block.high) / 2, last.get(block.step, -least) + least)
        found[block.step, block.level] = last[block.step] = middle
    return found


def _layers(chart: Chart, steps: list[Any], levels: list[Any]) -> list[alt.Chart]:
    names = json.dumps([encodings.broken(str(step)) for step in steps])
    ticks = alt.Axis(
        values=list(range(len(steps))),
        labelExpr=f"{names}[datum.value]",
        grid=False,
        domain=False,
        ticks=False,
        labelAngle=0,
        labelLimit=130,
        labelOverlap=False,
    )
    x = alt.X(
        "x:Q",
        title=chart.x.title,
        axis=ticks,
        scale=alt.Scale(domain=[-half_width(), len(steps) - 1 + half_width()], nice=False),
    )
    y = alt.Y("low:Q", title=None, axis=None)
    scale = alt.Scale(domain=levels, range="ordinal")
    shade = alt.Color("level:N", scale=scale, legend=None)
    ribbons = (
        alt.Chart()
        .mark_area(interpolate="monotone", stroke=None)
        .transform_filter("datum.part == 'ribbon'")
        .encode(
            x, y, alt.Y2("high:Q"), shade, alt.Detail("ribbon:N"), opacity=alt.value(0.62), tooltip=_said("from", "to")
        )
    )
    blocks = alt.Chart().transform_filter("datum.part == 'block'")
    bars = blocks.mark_rect(strokeWidth=1).encode(
        x, y, alt.X2("x2:Q"), alt.Y2("high:Q"), shade, tooltip=_said("step", "level")
    )
    return [ribbons, bars, _names(blocks, "start", "right", x), _names(blocks, "end", "left", x)]


def _names(blocks: alt.Chart, side: str, align: Literal["left", "right"], x: alt.X) -> alt.Chart:
    place = x if side == "start" else alt.X("x2:Q", axis=x["axis"], scale=x["scale"], title=x["title"])
    mark = blocks.mark_text(align=align, dx=-6 if align == "right" else 6, fontSize=11)
    labelled = mark.transform_filter(f"datum.side == '{side}'")
    return labelled.encode(place, alt.Y("middle:Q", axis=None), alt.Text("label:N"))


def _said(*names: str) -> list[alt.Tooltip]:
    return [*(alt.Tooltip(f"{name}:N", title=name) for name in names), alt.Tooltip("rows:Q", title="rows", format=",")]
