"""Geometry of an alluvial view: rows that stream from level to level through the models of a family.

Steps stand at x = 0, 1, 2 ...; at each, the levels are stacked upwards in their order, with a gap between, as high as
they have rows; a ribbon joins a level with a level of the next step and is as wide as it has rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

_GAP = 0.025  # between levels, of all rows
_HALF_WIDTH = 0.045  # of a level's block, of the distance between steps
_POINTS = 11  # along a ribbon


class Flow(NamedTuple):
    """`rows` rows that are on level `source` at `step` and on level `target` at the next; numbers of levels from 0."""

    step: int
    source: int
    target: int
    rows: float


@dataclass(frozen=True, slots=True)
class Block:
    """A level at a step: from `low` to `high`, in rows."""

    step: int
    level: int
    rows: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Ribbon:
    """A flow with where it leaves its source and where it meets its target."""

    flow: Flow
    leaves: float
    meets: float

    def outline(self) -> list[tuple[float, float, float]]:
        """Points x, low, high along the ribbon: a smooth step from level to level, flat at both ends."""
        start, end = self.flow.step + _HALF_WIDTH, self.flow.step + 1 - _HALF_WIDTH
        points = []
        for at in range(_POINTS):
            part = at / (_POINTS - 1)
            low = self.leaves + (self.meets - self.leaves) * part * part * (3 - 2 * part)
            points.append((start + (end - start) * part, low, low + self.flow.rows))
        return points


@dataclass(frozen=True, slots=True)
class Alluvial:
    blocks: list[Block]
    ribbons: list[Ribbon]


def lay_out(flows: Sequence[Flow], levels: int) -> Alluvial:
    """Place the blocks and ribbons of `flows`. A block is as high as what enters or leaves it, whichever is more.

    Raises:
        ValueError: a flow has a level outside 0 .. levels - 1, or a negative number of rows.
    """
    for flow in flows:
        if not (0 <= flow.source < levels and 0 <= flow.target < levels and flow.rows >= 0):
            raise ValueError(f"{flow} is no flow between {levels} levels")
    flows = sorted(flow for flow in flows if flow.rows > 0)
    leaving: dict[tuple[int, int], float] = {}
    entering: dict[tuple[int, int], float] = {}
    for flow in flows:
        leaving[flow.step, flow.source] = leaving.get((flow.step, flow.source), 0) + flow.rows
        entering[flow.step + 1, flow.target] = entering.get((flow.step + 1, flow.target), 0) + flow.rows
    heights = {key: max(leaving.get(key, 0), entering.get(key, 0)) for key in sorted(leaving | entering)}
    blocks = _stack(heights)
    return Alluvial(list(blocks.values()), _join(flows, blocks))


def half_width() -> float:
    """Half of a block's width, where the distance between two steps is 1."""
    return _HALF_WIDTH


def _stack(heights: dict[tuple[int, int], float]) -> dict[tuple[int, int], Block]:
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


def _join(flows: Sequence[Flow], blocks: dict[tuple[int, int], Block]) -> list[Ribbon]:
    """Ribbons leave a block in the order of their targets and enter one in the order of their sources."""
    left: dict[tuple[int, int], float] = {}
    met: dict[tuple[int, int], float] = {}
    ribbons = []
    for flow in flows:  # sorted by step, source, target: each block is filled from below in both directions
        source, target = (flow.step, flow.source), (flow.step + 1, flow.target)
        ribbons.append(Ribbon(flow, blocks[source].low + left.get(source, 0), blocks[target].low + met.get(target, 0)))
        left[source] = left.get(source, 0) + flow.rows
        met[target] = met.get(target, 0) + flow.rows
    return ribbons
