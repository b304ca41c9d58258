"""Colours and type of charts, for light pages (and paper) and dark ones.

Categories have the colours of Okabe and Ito (2008), which people with any colour vision tell apart; ordered levels and
matrices have a ramp that is monotone in lightness, so that it survives a black-and-white print.
"""

from typing import Any, Final

_CATEGORIES: Final = {
    "light": ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D"),
    "dark": ("#56B4E9", "#F0863A", "#2BBF95", "#E29BC3", "#F0B429", "#F0E442", "#C8CCD2"),
}
_RAMPS: Final = {
    "light": ("#D3E0EC", "#A3C7E1", "#5BA3CF", "#1F6FAE", "#0B3A66"),
    "dark": ("#26323F", "#2F5B80", "#3A8BC0", "#7CBDE4", "#D8EEFB"),
}
_DIVERGING: Final = {
    "light": ("#B34700", "#EFB38A", "#F4F4F2", "#8FC1E0", "#005A8F"),
    "dark": ("#F0863A", "#8A5230", "#262B31", "#33678C", "#6FC1F0"),
}
_INK: Final = {
    "light": {"text": "#1B1F24", "soft": "#565E68", "rule": "#8B939D", "grid": "#E7EAEE", "page": "#FFFFFF"},
    "dark": {"text": "#E8EBEF", "soft": "#A9B2BD", "rule": "#6E7884", "grid": "#2B323A", "page": "#15191E"},
}
FONT: Final = "Arial, 'Liberation Sans', Helvetica, sans-serif"
THEMES: Final = ("light", "dark")


def ramp(theme: str, count: int) -> list[str]:
    """`count` colours from little to much, evenly along the theme's ramp."""
    stops = [_rgb(colour) for colour in _RAMPS[theme]]
    places = [at * (len(stops) - 1) / max(1, count - 1) for at in range(count)] if count > 1 else [2.0]
    return [_between(stops, place) for place in places]


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


def _between(stops: list[tuple[int, ...]], place: float) -> str:
    at = min(int(place), len(stops) - 2)
    mixed = (round(a + (b - a) * (place - at)) for a, b in zip(stops[at], stops[at + 1], strict=True))
    return "#" + "".join(f"{part:02X}" for part in mixed)


def config(theme: str, levels: int, legend_columns: int) -> dict[str, Any]:
    """Vega-Lite configuration of a theme ("light" or "dark"), for charts of so many ordered levels."""
    ink = _INK[theme]
    return {
        "aria": False,  # the figure around it has the words
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
        "axis": _axis(ink),
        "axisDiscrete": {"ticks": False, "domain": False, "grid": False},
        "legend": _legend(ink, legend_columns),
        "header": {
            "labelColor": ink["text"],
            "titleColor": ink["soft"],
            "labelFontSize": 12,
            "labelFontWeight": "bold",
            "labelAnchor": "start",
            "labelPadding": 8,
        },
        "line": {"strokeWidth": 2, "strokeCap": "round", "strokeJoin": "round"},
        "point": {"size": 55, "strokeWidth": 1.8},
        "rule": {"color": ink["text"]},
        "bar": {"stroke": ink["page"], "strokeWidth": 1},
        "rect": {"stroke": ink["page"], "strokeWidth": 2},
        "text": {"color": ink["text"], "fontSize": 12},
        "style": {
            "whisker": {"stroke": ink["text"]},
            "reference": {"color": ink["soft"], "fontSize": 11},
        },
    }


def _axis(ink: dict[str, str]) -> dict[str, Any]:
    return {
        "labelColor": ink["text"],
        "titleColor": ink["text"],
        "domainColor": ink["rule"],
        "tickColor": ink["rule"],
        "gridColor": ink["grid"],
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


def _legend(ink: dict[str, str], columns: int) -> dict[str, Any]:
    return {
        "orient": "top",
        "columns": columns,
        "labelColor": ink["text"],
        "titleColor": ink["soft"],
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
