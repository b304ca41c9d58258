"""Geometry of alluvial charts: rows that move from level to level through the models of a family.

Steps are at x = 0, 1, 2 ...; at each step, the blocks of the levels are stacked from the bottom up in their order,
with gaps in between; a ribbon connects a level with a level of the next step. Heights are numbers of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

_GAP = 0.025  # between levels, relative to all rows
_HALF_WIDTH = 0.045  # of a block, relative to the distance between steps
_POINTS = 11  # along the outline of a ribbon


class Flow(NamedTuple):
    """`rows` rows on level `source` at `step` and on level `target` at the next step; levels are numbered from 0."""

    step: int
    source: int
    target: int
    rows: float


@dataclass(frozen=True, slots=True)
class Block:
    """A level at a step, from height `low` to `high`, in rows."""

    step: int
    level: int
    rows: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Ribbon:
    """A flow with the heights of its lower edge at its source and at its target."""

    flow: Flow
    source_low: float
    target_low: float

    def outline(self) -> list[tuple[float, float, float]]:
        """Points (x, low, high) along the ribbon: a smooth step from level to level, horizontal at both ends."""
        start, end = self.flow.step + _HALF_WIDTH, self.flow.step + 1 - _HALF_WIDTH
        points = []
        for i in range(_POINTS):
            fraction = i / (_POINTS - 1)
            low = self.source_low + (self.target_low - self.source_low) * fraction * fraction * (3 - 2 * fraction)
            points.append((start + (end - start) * fraction, low, low + self.flow.rows))
        return points


@dataclass(frozen=True, slots=True)
class AlluvialLayout:
    """The blocks, ordered by step and level, and the ribbons between them."""

    blocks: list[Block]
    ribbons: list[Ribbon]


def compute_layout(flows: Sequence[Flow], levels: int) -> AlluvialLayout:
    """Place the blocks and ribbons of `flows`. The height of a block is the larger of its inflow and outflow.

    Raises:
        ValueError: a flow has a level outside 0 .. levels - 1, or a negative number of rows.
    """
    for flow in flows:
        if not (0 <= flow.source < levels and 0 <= flow.target < levels and flow.rows >= 0):
            raise ValueError(f"{flow} is not a flow between {levels} levels")
    flows = sorted(flow for flow in flows if flow.rows > 0)
    outflow: dict[tuple[int, int], float] = {}
    inflow: dict[tuple[int, int], float] = {}
    for flow in flows:
        outflow[flow.step, flow.source] = outflow.get((flow.step, flow.source), 0) + flow.rows
        inflow[flow.step + 1, flow.target] = inflow.get((flow.step + 1, flow.target), 0) + flow.rows
    heights = {key: max(outflow.get(key, 0), inflow.get(key, 0)) for key in sorted(outflow | inflow)}
    blocks = _stack_blocks(heights)
    return AlluvialLayout(list(blocks.values()), _connect_blocks(flows, blocks))


def half_width() -> float:
    """Half of the width of a block, relative to the distance between two steps."""
    return _HALF_WIDTH


def _stack_blocks(heights: dict[tuple[int, int], float]) -> dict[tuple[int, int], Block]:
    totals: dict[int, float] = {}
    for (step, _), rows in heights.items():
        totals[step] = totals.get(step, 0) + rows
    gap = _GAP * max(totals.values(), default=0)
    tops: dict[int, float] = {}
    blocks = {}
    for (step, level), rows in heights.items():
        low = tops.get(step, 0)
        blocks[step, level] = Block(step, level, rows, low, low + rows)
        tops[step] = low + rows + gap
    return blocks


def _connect_blocks(flows: Sequence[Flow], blocks: dict[tuple[int, int], Block]) -> list[Ribbon]:
    """Ribbons leave a block in the order of their targets and enter it in the order of their sources."""
    outflow: dict[tuple[int, int], float] = {}
    inflow: dict[tuple[int, int], float] = {}
    ribbons = []
    for flow in flows:  # sorted by step, source, target: each block is filled from the bottom up on both sides
        source, target = (flow.step, flow.source), (flow.step + 1, flow.target)
        ribbons.append(
            Ribbon(flow, blocks[source].low + outflow.get(source, 0), blocks[target].low + inflow.get(target, 0))
        )
        outflow[source] = outflow.get(source, 0) + flow.rows
        inflow[target] = inflow.get(target, 0) + flow.rows
    return ribbons
