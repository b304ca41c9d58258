"""What a shape draws before it is cut into panels."""

from dataclasses import dataclass
from typing import Any

import altair as alt


@dataclass(frozen=True, slots=True)
class Panel:
    """layers: marks over `records`; height, narrowest and widest in pixels; levels: colours wanted of the ramp."""

    layers: list[alt.Chart]
    records: list[dict[str, Any]]
    height: int
    narrowest: int = 200
    widest: int = 720
    levels: int = 5
