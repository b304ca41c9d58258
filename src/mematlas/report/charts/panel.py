"""The drawing of a chart before it is split into panels (facets)."""

from dataclasses import dataclass
from typing import Any

import altair as alt


@dataclass(frozen=True, slots=True)
class Panel:
    """layers: marks over `records`; height, min_width and max_width in pixels; label_width: room for text on the right
    of the plot; levels: number of colors of the ramp."""

    layers: list[alt.Chart]
    records: list[dict[str, Any]]
    height: int
    min_width: int = 200
    max_width: int = 720
    label_width: int = 0
    levels: int = 5
