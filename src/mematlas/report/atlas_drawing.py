"""The atlas of a family as a picture: models from left to right, or from top to bottom for narrow screens."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import vl_convert
from markupsafe import Markup, escape

from mematlas.report.atlas import LEVEL_MEANINGS, Atlas
from mematlas.report.charts.alluvial_layout import AlluvialLayout, half_width
from mematlas.report.charts.export import Format
from mematlas.report.charts.theme import FONT, ramp
from mematlas.report.display_text import printable

Palette = Mapping[str, str]
Point = tuple[float, float]

MOST_LEVELS: Final = 5
_WIDE: Final = 1040.0  # pixels
_NARROW: Final = 360.0
_PLOT: Final = 256.0  # height of the blocks of a wide picture
_CONTROL_AWAY: Final = 78.0  # of the control from the shares of the last model
_STEP: Final = 74.0  # distance between the models of a narrow picture
_LINE: Final = 17.0  # height of a line of labels
_SIZE: Final = 14.0  # of labels
_LETTER: Final = 0.64 * _SIZE  # width of a letter, in the widest of the usual fonts
_LEVEL_TITLE: Final = "tokens right (M)"
_SCALE: Final = 3  # pixels of a PNG per pixel of the picture


def _names(levels: int) -> list[str]:
    return [f"level-{level}" for level in range(levels)] + [f"control-{level}" for level in range(levels)]


def page_palette(levels: int) -> Palette:
    """Colors that follow the page's theme, by variables of its style sheet, which has as many as there can be."""
    evenly = [round(level * (MOST_LEVELS - 1) / max(1, levels - 1)) for level in range(levels)]
    variables = [f"{kind}-{level}" for kind in ("level", "control") for level in evenly]
    pairs = zip(("ink", "soft", *_names(levels)), ("ink", "soft", *variables), strict=True)
    return {name: f"var(--{variable})" for name, variable in pairs}


def paper_palette(levels: int) -> Palette:
    """Colors of a picture in a file, for white paper."""
    return {
        "ink": "#1b1f24",
        "soft": "#565e68",
        **dict(zip(_names(levels), level_colors("light", levels), strict=True)),
    }


def level_colors(theme: str, levels: int) -> list[str]:
    """The colors of the levels, and then those of the control's levels: greys."""
    greys = ("#d9dbde", "#6d737a") if theme == "light" else ("#30363d", "#a4abb4")
    ends = [[int(grey[at : at + 2], 16) for at in (1, 3, 5)] for grey in greys]
    fractions = [level / max(1, levels - 1) for level in range(levels)]
    mixed = [[round(low + (high - low) * part) for low, high in zip(*ends, strict=True)] for part in fractions]
    return [*ramp(theme, levels), *("#" + "".join(f"{channel:02x}" for channel in color) for color in mixed)]


def style_variables(theme: str) -> Markup:
    """Declarations of the page's style sheet for the colors of the levels."""
    colors = zip(_names(MOST_LEVELS), level_colors(theme, MOST_LEVELS), strict=True)
    return Markup(" ".join(f"--{name}: {color};" for name, color in colors))


def write_atlas(atlas: Atlas, image_format: Format) -> bytes:
    """The picture as the content of an image file."""
    image = str(wide_picture(atlas, paper_palette(len(atlas.levels))))
    if image_format == "svg":
        return image.encode()
    if image_format == "pdf":
        return vl_convert.svg_to_pdf(image)
    white = image.replace(">", '><rect width="100%" height="100%" fill="#fff"/>', 1)
    return vl_convert.svg_to_png(white, scale=_SCALE)


# ----------------------------------------------------------------------------------------------- left to right


def wide_picture(atlas: Atlas, palette: Palette) -> Markup:
    """The atlas as an SVG with the models from left to right, for wide screens and paper."""
    top, layout = 30.0, atlas.layout
    left = 14 + _LETTER * max(len(f"{level} {LEVEL_MEANINGS[level]}") for level in atlas.levels)
    percents = 6 * _LETTER
    control = 150.0 if atlas.control else 0.0
    right = _WIDE - percents - control
    span = (right - left - 30) if len(atlas.steps) > 1 else min(260.0, right - left)
    distance = span / max(1, len(atlas.steps) - 1)
    thickness = min(16.0, half_width() * 2 * distance)
    first = left + thickness / 2
    height = _height(layout)

    def at(step: float, rows: float) -> Point:
        return first + step * distance, top + _PLOT - _PLOT * rows / height

    parts = [_ribbons(atlas, layout, at, palette, thickness / 2 / distance)]
    parts += [_blocks(atlas, layout, at, palette, "level", thickness / 2 / distance)]
    parts += [_text(left - 12, 12, _LEVEL_TITLE, palette["soft"], "end")]
    parts += _level_labels(atlas, layout, at, left - 12, palette)
    last = len(atlas.steps) - 1
    parts += _percents(layout, last, at, at(last, 0)[0] + thickness / 2 + 8, palette["ink"])
    beyond = percents + (_CONTROL_AWAY - 5 * _LETTER if atlas.control else 0)  # behind the last model
    lines = []
    for step, name in enumerate(atlas.steps):
        x = at(step, 0)[0]
        edges = (2 * x, 2 * (at(last, 0)[0] + beyond - x), distance - 8 if last else _WIDE)
        lines.append(_wrap(name, min(edges)))
        parts += _lines(x, top + _PLOT + 22, lines[-1], palette["ink"], "middle")
    if atlas.control:
        parts += _control_column(atlas, at(last, 0)[0] + percents + _CONTROL_AWAY, top, palette)
        lines.append(["control", "rows"])
    bottom = top + _PLOT + 22 + _LINE * max(map(len, lines))
    return _svg(_WIDE, bottom, parts, atlas.description)


def _control_column(atlas: Atlas, x: float, top: float, palette: Palette) -> list[str]:
    layout = atlas.control_layout
    height = _height(layout)

    def at(step: float, rows: float) -> Point:
        return x + step * 100, top + _PLOT - _PLOT * rows / height

    parts = [_blocks(atlas, layout, at, palette, "control", 0.08)]
    parts += _percents(layout, 0, at, x + 16, palette["soft"])
    return parts + _lines(x, top + _PLOT + 22, ["control", "rows"], palette["soft"], "middle")


def _level_labels(
    atlas: Atlas, layout: AlluvialLayout, at: Callable[[float, float], Point], x: float, palette: Palette
) -> list[str]:
    """The names of all levels beside the first model; those it has no rows on stand where these would be."""
    middles, top = [], 0.0
    blocks = {block.level: block for block in layout.blocks if block.step == 0}
    for level in range(len(atlas.levels)):
        block = blocks.get(level)
        middles.append(at(0, top if block is None else (block.low + block.high) / 2)[1])
        top = top if block is None else block.high
    heights = spread(middles, _LINE, at(0, 0)[1] - _PLOT, at(0, 0)[1])
    return [
        _text(x, y + 4.5, name, palette["ink"], "end", softly=(LEVEL_MEANINGS[name], palette["soft"]))
        for name, y in zip(atlas.levels, heights, strict=True)
    ]


def _percents(
    layout: AlluvialLayout, step: int, at: Callable[[float, float], Point], x: float, color: str
) -> list[str]:
    """The shares of a step's rows beside its blocks, moved apart where they would overlap."""
    blocks = [block for block in layout.blocks if block.step == step]
    total = sum(block.rows for block in blocks) or 1
    middles = [at(0, (block.low + block.high) / 2)[1] for block in blocks]
    heights = spread(middles, _LINE, at(0, 0)[1] - _PLOT, at(0, 0)[1])
    return [
        _text(x, y + 4.5, f"{100 * block.rows / total:.0f} %", color, "start")
        for block, y in zip(blocks, heights, strict=True)
    ]


def spread(positions: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """Descending positions moved as little as needed to be at least `distance` apart, and within low and high where
    there is room."""
    moved: list[float] = []
    for position in positions:
        moved.append(min(position, high if not moved else moved[-1] - distance))
    for at in reversed(range(len(moved))):
        floor = low if at == len(moved) - 1 else moved[at + 1] + distance
        moved[at] = max(moved[at], floor)
    return moved


# ----------------------------------------------------------------------------------------------- top to bottom


def narrow_picture(atlas: Atlas, palette: Palette) -> Markup:
    """The atlas as an SVG with the models from top to bottom, for telephones."""
    parts, top = _key(atlas, palette)
    layout, height, thickness = atlas.layout, _height(atlas.layout), 14.0
    names = [_wrap(step, _NARROW - 16 * _LETTER) for step in atlas.steps]
    name_height = _LINE * (max(map(len, names)) - 1)
    distance = _STEP + name_height

    def at(step: float, rows: float) -> Point:
        return _NARROW * rows / height, top + 26 + name_height + step * distance

    parts.append(_ribbons(atlas, layout, at, palette, thickness / 2 / distance))
    parts.append(_blocks(atlas, layout, at, palette, "level", thickness / 2 / distance))
    shares = atlas.shares()
    for step, name in enumerate(names):
        y = at(step, 0)[1] - thickness / 2 - 6
        parts += _row_label(name, y, f"{100 * shares[step][-1]:.0f} % {atlas.levels[-1]}", palette["ink"])
    bottom = at(len(atlas.steps) - 1, 0)[1] + thickness / 2
    if atlas.control:
        control, below = atlas.control_layout, bottom + 40

        def control_at(step: float, rows: float) -> Point:
            return _NARROW * rows / _height(control), below + step

        parts.append(_blocks(atlas, control, control_at, palette, "control", thickness / 2))
        share = f"{100 * atlas.control[-1] / (sum(atlas.control) or 1):.0f} % {atlas.levels[-1]}"
        parts += _row_label(["control rows"], below - thickness / 2 - 6, share, palette["soft"])
        bottom = below + thickness / 2
    return _svg(_NARROW, bottom + 4, parts, atlas.description)


def _row_label(name: list[str], y: float, share: str, color: str) -> list[str]:
    """The name of a model over its blocks, on a halo since ribbons pass behind it, and the share on its last level."""
    above = enumerate(reversed(name))
    lines = [_text(0, y - _LINE * number, line, color, "start", halo=True) for number, line in above]
    return [*lines, _text(_NARROW, y, share, color, "end", halo=True)]


def _key(atlas: Atlas, palette: Palette) -> tuple[list[str], float]:
    """The colors of the levels with their names, in lines; and the height they take."""
    x, y = 0.0, 12.0
    parts = [_text(0, y, _LEVEL_TITLE, palette["soft"], "start")]
    y += 20
    for number, level in enumerate(atlas.levels):
        label = f"{level} {LEVEL_MEANINGS[level]}"
        width = 18 + _LETTER * len(label)
        if x + width > _NARROW:
            x, y = 0.0, y + 20
        parts.append(f'<rect x="{x:.1f}" y="{y - 10:.1f}" width="11" height="11" fill="{palette[f"level-{number}"]}"/>')
        parts.append(_text(x + 16, y, label, palette["soft"], "start"))
        x += width + 8
    return parts, y + 18


# ----------------------------------------------------------------------------------------------- shapes


def _height(layout: AlluvialLayout) -> float:
    return max((block.high for block in layout.blocks), default=1) or 1


def _ribbons(
    atlas: Atlas, layout: AlluvialLayout, at: Callable[[float, float], Point], palette: Palette, half: float
) -> str:
    shapes = []
    for ribbon in layout.ribbons:
        step, source, target, rows = ribbon.flow
        start, end, middle = step + half, step + 1 - half, step + 0.5
        low, high = ribbon.source_low, ribbon.source_low + rows
        low_end, high_end = ribbon.target_low, ribbon.target_low + rows
        path = (
            f"M{_xy(at(start, low))}C{_xy(at(middle, low))} {_xy(at(middle, low_end))} {_xy(at(end, low_end))}"
            f"L{_xy(at(end, high_end))}C{_xy(at(middle, high_end))} {_xy(at(middle, high))} {_xy(at(start, high))}Z"
        )
        moved = f"{atlas.levels[source]} in {atlas.steps[step]}, {atlas.levels[target]} in {atlas.steps[step + 1]}"
        title = f"{rows:,.0f} rows: {moved}"
        shapes.append(f'<path d="{path}" fill="{palette[f"level-{source}"]}"><title>{_safe(title)}</title></path>')
    return f'<g fill-opacity="0.55">{"".join(shapes)}</g>'


def _blocks(
    atlas: Atlas,
    layout: AlluvialLayout,
    at: Callable[[float, float], Point],
    palette: Palette,
    kind: str,
    half: float,
) -> str:
    shapes = []
    for block in layout.blocks:
        (x, y), (x2, y2) = at(block.step - half, block.low), at(block.step + half, block.high)
        corner = f'x="{min(x, x2):.1f}" y="{min(y, y2):.1f}" width="{abs(x2 - x):.1f}" height="{abs(y2 - y):.1f}"'
        counts = atlas.control if kind == "control" and atlas.control else None
        rows = block.rows if counts is None else counts[block.level]
        whose = atlas.steps[block.step] if counts is None else "control rows"
        title = f"{rows:,.0f} rows: {atlas.levels[block.level]}, {whose}"
        fill = palette[f"{kind}-{block.level}"]
        shapes.append(f'<rect {corner} fill="{fill}"><title>{_safe(title)}</title></rect>')
    return "".join(shapes)


def _xy(point: Point) -> str:
    return f"{point[0]:.1f},{point[1]:.1f}"


def _text(
    x: float, y: float, text: str, color: str, anchor: str, *, halo: bool = False, softly: tuple[str, str] | None = None
) -> str:
    """A label. halo: ribbons may pass behind it; softly: words behind it in another color."""
    behind = ' class="halo"' if halo else ""
    more = f'<tspan dx="5" fill="{softly[1]}">{_safe(softly[0])}</tspan>' if softly else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}"{behind}>{_safe(text)}{more}</text>'


def _lines(x: float, y: float, lines: Sequence[str], color: str, anchor: str) -> list[str]:
    return [_text(x, y + number * _LINE, line, color, anchor) for number, line in enumerate(lines)]


def _wrap(label: str, width: float) -> list[str]:
    """A label in lines that are no wider than `width`, split behind separators, and inside of words if need be."""
    letters = max(3, int(width / _LETTER))
    lines: list[str] = []
    for piece in re.findall(r"[^\s\-_/]*[\s\-_/]?", printable(label)):
        chunks = [piece[at : at + letters] for at in range(0, len(piece), letters)]
        for chunk in chunks:
            if lines and len(lines[-1]) + len(chunk.rstrip()) <= letters:
                lines[-1] += chunk
            else:
                lines.append(chunk)
    return [line.strip() for line in lines if line.strip()] or [""]


def _safe(text: str) -> str:
    return str(escape(printable(text)))


def _svg(width: float, height: float, parts: Sequence[str], description: str) -> Markup:
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{_safe(description)}" font-family="{FONT}" '
        f'font-size="{_SIZE:.0f}">{"".join(parts)}</svg>'
    )
