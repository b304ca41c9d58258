"""Charts as SVG, PNG and PDF, and the JavaScript library that draws them on a page, by vl-convert without a browser."""

import re
from pathlib import Path
from typing import Any, Final, Literal

import vl_convert

from mematlas.report.charts.specification import VEGA_LITE, Drawing
from mematlas.report.charts.theme import config
from mematlas.study import write_bytes

Format = Literal["png", "svg", "pdf"]
_WIDTH: Final = 640
_LABELS: Final = 90  # pixels beside a panel
_SCALE: Final = 3  # PNG pixels per pixel of the chart: 600 dots per inch at the width of a column


def svg(drawing: Drawing) -> str:
    """The chart as an SVG for papers: light theme, transparent background, text kept as text."""
    return vl_convert.vegalite_to_svg(drawing.with_width(_width(drawing)), **_options(drawing))


def minify_svg(image: str) -> str:
    """The same SVG at a third of the size: font named once, no mark names or empty groups, one decimal place."""
    font = re.search(r' font-family="[^"]*"', image)
    unused_attributes = "font-family|class|aria-hidden|aria-roledescription|role|pointer-events"
    image = re.sub(rf' (?:{unused_attributes})="[^"]*"| (?:fill-)?opacity="1"', "", image)
    image = re.sub(r' (?:d|transform|[xy]2?)="[^"]*"', lambda match: _round_numbers(match[0]), image)
    image = re.sub(r'<path d="M0,0h0v0h0Z"[^>]*/>| transform="translate\(0,0\)"', "", image)
    image = _remove_all(r"<g[^>]*></g>|<g[^>]*/>", image)
    image = re.sub(r'="([^"\']*)"', r"='\1'", image)  # in a data URI, double quotes take three letters each
    return image.replace("<svg", f"<svg{font[0]}", 1) if font else image


def _remove_all(pattern: str, text: str) -> str:
    """`text` without matches of `pattern`, including those that arise by the removal."""
    while (shortened := re.sub(pattern, "", text)) != text:
        text = shortened
    return text


def _round_numbers(attribute: str) -> str:
    return re.sub(r"\d+\.\d{2,}", lambda match: f"{float(match[0]):.1f}".rstrip("0").rstrip("."), attribute)


def write_picture(path: Path, drawing: Drawing, image_format: Format) -> None:
    """Write the chart as an image file.

    Raises:
        StudyError: the disk is full, or the folder cannot be written.
    """
    if image_format == "svg":
        content = svg(drawing).encode()
    elif image_format == "pdf":
        content = vl_convert.vegalite_to_pdf(drawing.with_width(_width(drawing)), **_options(drawing))
    else:
        content = vl_convert.vegalite_to_png(_on_white(drawing), scale=_SCALE, **_options(drawing))
    write_bytes(path, content)


def _on_white(drawing: Drawing) -> dict[str, Any]:
    return drawing.with_width(_width(drawing)) | {"background": "white"}


def _width(drawing: Drawing) -> int:
    """The usual width, or that of a panel which needs more, such as a heat map of many tokens."""
    return max(_WIDTH, drawing.min_width + _LABELS) if drawing.panels == 1 else _WIDTH


def _options(drawing: Drawing) -> dict[str, Any]:
    theme_config = config("light", drawing.levels, drawing.legend_columns(_width(drawing)))
    return {"vl_version": VEGA_LITE, "config": theme_config, "allowed_base_urls": []}


def chart_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, for the page."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
