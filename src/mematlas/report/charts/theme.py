"""Colors and fonts of charts, for light pages (and paper) and dark pages.

Categories have the hues of Okabe and Ito (2008), which people with any color vision can distinguish, dark enough that
thin lines stand out (contrast 3:1 at least); ordered levels and matrices have a ramp that is monotone in lightness, so
that it stays readable in black and white. `palette` says which value has which color.
"""

from typing import Any, Final

_CATEGORIES: Final = {
    "light": ("#0072B2", "#D55E00", "#00896A", "#B5568C", "#A87000", "#2F95CF", "#5B3A8C"),
    "dark": ("#56B4E9", "#F0863A", "#2BBF95", "#E29BC3", "#F0B429", "#F0E442", "#B9A2E8"),
}
#: Levels as lines and blocks, from the lowest to the highest.
_LEVELS: Final = {
    "light": ("#9FB4C6", "#6F9FC8", "#3683BF", "#155E99", "#08305A"),
    "dark": ("#4E6173", "#4A7FA8", "#4AA0D8", "#8CC7EA", "#DCEEFA"),
}
#: More models than categories: from the first to the last of the family.
_MANY: Final = {
    "light": ("#C98B00", "#D55E00", "#B5568C", "#5B3A8C", "#0B3A66"),
    "dark": ("#F0E442", "#F0A03A", "#E2849B", "#B9A2E8", "#7CBDE4"),
}
CATEGORIES: Final = 7
MANY: Final = 21
_CONTROL: Final = {"light": "#747C86", "dark": "#98A2AE"}
_RAMPS: Final = {
    "light": ("#D3E0EC", "#A3C7E1", "#5BA3CF", "#1F6FAE", "#0B3A66"),
    "dark": ("#26323F", "#2F5B80", "#3A8BC0", "#7CBDE4", "#D8EEFB"),
}
_DIVERGING: Final = {
    "light": ("#B34700", "#EFB38A", "#F4F4F2", "#8FC1E0", "#005A8F"),
    "dark": ("#F0863A", "#8A5230", "#262B31", "#33678C", "#6FC1F0"),
}
_COLORS: Final = {
    "light": {"text": "#1B1F24", "soft": "#565E68", "rule": "#8B939D", "grid": "#E7EAEE", "page": "#FFFFFF"},
    "dark": {"text": "#E8EBEF", "soft": "#A9B2BD", "rule": "#6E7884", "grid": "#2B323A", "page": "#15191E"},
}
FONT: Final = "Arial, 'Liberation Sans', Helvetica, sans-serif"
THEMES: Final = ("light", "dark")


def ramp(theme: str, count: int) -> list[str]:
    """`count` colors from low to high, evenly spaced along the theme's ramp."""
    return _spaced(_RAMPS[theme], count)


def _spaced(colors: tuple[str, ...], count: int) -> list[str]:
    stops = [_rgb(color) for color in colors]
    positions = [i * (len(stops) - 1) / max(1, count - 1) for i in range(count)] if count > 1 else [2.0]
    return [_interpolate(stops, position) for position in positions]


def _rgb(color: str) -> tuple[int, ...]:
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


def _interpolate(stops: list[tuple[int, ...]], position: float) -> str:
    i = min(int(position), len(stops) - 2)
    mixed = (round(low + (high - low) * (position - i)) for low, high in zip(stops[i], stops[i + 1], strict=True))
    return "#" + "".join(f"{channel:02X}" for channel in mixed)


def config(theme: str, levels: int, legend_columns: int) -> dict[str, Any]:
    """Vega-Lite configuration of a theme ("light" or "dark"), for charts with this many ordered levels."""
    colors = _COLORS[theme]
    return {
        "params": [{"name": "ink", "value": _ink(theme)}],
        "aria": False,  # the surrounding figure has the alternative text
        "background": "transparent",
        "font": FONT,
        "padding": 4,
        "view": {"stroke": None},
        "mark": {"color": _CATEGORIES[theme][0]},
        "range": {
            "category": list(_CATEGORIES[theme]),
            "ordinal": ramp(theme, levels),
            "heatmap": list(_RAMPS[theme]),
            "ramp": list(_RAMPS[theme]),
            "diverging": list(_DIVERGING[theme]),
        },
        "axis": _axis(colors),
        "axisDiscrete": {"ticks": False, "domain": False, "grid": False},
        "legend": _legend(colors, legend_columns),
        "header": {
            "labelColor": colors["text"],
            "titleColor": colors["soft"],
            "labelFontSize": 12,
            "labelFontWeight": "bold",
            "labelAnchor": "start",
            "labelPadding": 8,
        },
        "line": {"strokeWidth": 2, "strokeCap": "round", "strokeJoin": "round"},
        "point": {"size": 55, "strokeWidth": 1.8},
        "rule": {"color": colors["text"]},
        "bar": {"stroke": colors["page"], "strokeWidth": 1},
        "rect": {"stroke": colors["page"], "strokeWidth": 2},
        "text": {"color": colors["text"], "fontSize": 12},
        "style": {
            "whisker": {"stroke": colors["text"]},
            "reference": {"color": colors["soft"], "fontSize": 11},
            "control": {"color": _CONTROL[theme]},
            "count": {"color": colors["soft"], "fontSize": 10},
        },
    }


def _ink(theme: str) -> dict[str, Any]:
    """The colors that the expressions of `palette` name."""
    return {
        "category": list(_CATEGORIES[theme]),
        "levels": list(_LEVELS[theme]),
        "many": _spaced(_MANY[theme], MANY),
        "control": _CONTROL[theme],
    }


def _axis(colors: dict[str, str]) -> dict[str, Any]:
    return {
        "labelColor": colors["text"],
        "titleColor": colors["text"],
        "domainColor": colors["rule"],
        "tickColor": colors["rule"],
        "gridColor": colors["grid"],
        "labelFontSize": 12,
        "titleFontSize": 13,
        "titleFontWeight": "normal",
        "titlePadding": 10,
        "labelPadding": 4,
        "tickSize": 4,
        "labelLimit": 170,
        "labelOverlap": "greedy",
        "labelFlush": False,
    }


def _legend(colors: dict[str, str], columns: int) -> dict[str, Any]:
    return {
        "orient": "top",
        "columns": columns,
        "labelColor": colors["text"],
        "titleColor": colors["soft"],
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "labelLimit": 220,
        "symbolSize": 90,
        "symbolStrokeWidth": 2,
        "symbolOpacity": 1,
        "columnPadding": 14,
        "layout": {"top": {"direction": "vertical", "anchor": "start", "margin": 6}},
    }
