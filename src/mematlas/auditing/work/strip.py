"""The heat strip of a work as SVG: how probable each place is, from its first character to its last."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from markupsafe import Markup, escape

from mematlas.auditing.work.scores import WorkScores
from mematlas.auditing.work.text import Section
from mematlas.auditing.work.windows import TAUS
from mematlas.report.display_text import printable

BINS: Final = 400
_WIDTH: Final = 800
_HEIGHT: Final = 26
OPACITY: Final = (0.2, 0.4, 0.6, 0.8, 1.0)  # of the colour, from a chance of TAUS[0] on
_MOST_TICKS: Final = 60


def strip(scores: WorkScores, chapters: Sequence[Section]) -> Markup:
    """One strip: each of at most 400 places has the colour of its most probable character; chapters are ticks."""
    levels = binned_levels(scores)
    width = _WIDTH / max(1, len(levels))
    parts, start = [], 0
    for stop in range(1, len(levels) + 1):
        if stop == len(levels) or levels[stop] != levels[start]:
            if levels[start]:
                parts.append(
                    f'<rect x="{start * width:.1f}" width="{(stop - start) * width:.1f}" y="0" height="{_HEIGHT}" '
                    f'class="heat" fill-opacity="{OPACITY[levels[start] - 1]}"/>'
                )
            start = stop
    ticks = [chapter for chapter in chapters if chapter.start] if len(chapters) <= _MOST_TICKS else []
    for chapter in ticks:
        x = _WIDTH * chapter.start / scores.work.characters
        name = escape(printable(chapter.name))
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_HEIGHT}" y2="{_HEIGHT + 6}" class="tick">'
            f"<title>{name}</title></line>"
        )
    label = (
        f"{scores.of}: {100 * scores.coverage(TAUS[1]):.1f} % of {scores.work.characters:,} characters at 1 % or more"
    )
    return Markup(
        f'<svg class="strip" viewBox="0 0 {_WIDTH} {_HEIGHT + 8}" role="img" '
        f'aria-label="{escape(printable(label))}"><rect width="{_WIDTH}" height="{_HEIGHT}" class="ground"/>'
        f"{''.join(parts)}</svg>"
    )


def binned_levels(scores: WorkScores) -> list[int]:
    """For each of at most 400 places, the number of TAUS that its most probable character reaches."""
    characters = len(scores.heat)
    count = min(BINS, characters)
    borders = np.linspace(0, characters, count + 1).astype(int)[:-1]
    highest = np.maximum.reduceat(scores.heat, borders)
    return [int(level) for level in np.searchsorted(TAUS, highest, side="right")]
