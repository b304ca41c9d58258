"""Charts as SVG, PNG and PDF, for the report and for papers, and the JavaScript library that draws them on a page.

All by vl-convert, without a browser.
"""

import re
from html import unescape
from math import ceil
from pathlib import Path
from typing import Any, Final, Literal

import vl_convert

from mematlas.report.charts.encodings import FONT_SIZE
from mematlas.report.charts.specification import VEGA_LITE, Drawing
from mematlas.report.charts.text_metrics import has_known_width, text_width
from mematlas.report.charts.theme import config
from mematlas.study import write_bytes

Format = Literal["png", "svg", "pdf"]
#: Where a picture stands: in a column of a paper, over a whole page.
PaperWidth = Literal["column", "page"]
PAPER_INCHES: Final[dict[PaperWidth, float]] = {"column": 3.3, "page": 7.0}
_FONT_POINTS: Final = 8  # of labels in a paper
_POINTS: Final = _FONT_POINTS / FONT_SIZE  # of a pixel of the chart
_PNG_DPI: Final = 600
WIDTH: Final = 640  # pixels, in the report
_MIN_PANEL: Final = 60  # pixels
_BOLD: Final = 1.1  # how much wider bold text is


def svg(drawing: Drawing, width: int = WIDTH) -> str:
    """The chart as an SVG at most `width` pixels wide: light theme, transparent background, text kept as text.

    Every text has its width, so that it fits in any font.
    """
    return fit_texts(_to_svg(drawing, fitting_specification(drawing, width), width))


def fitting_specification(drawing: Drawing, width: int) -> dict[str, Any]:
    """The specification of a picture at most `width` pixels wide, whatever stands beside its panels."""
    specification = drawing.with_width(width)
    if "spec" not in specification:
        return specification  # Vega fits it
    excess = _size(_to_svg(drawing, specification, width))[0] - width
    panel = specification["spec"]
    narrower = max(_MIN_PANEL, panel["width"] - ceil(max(0, excess) / specification["columns"]))
    return specification | {"spec": panel | {"width": narrower}}


def _to_svg(drawing: Drawing, specification: dict[str, Any], width: int) -> str:
    theme_config = config("light", drawing.levels, drawing.legend_columns(width))
    return vl_convert.vegalite_to_svg(specification, vl_version=VEGA_LITE, config=theme_config, allowed_base_urls=[])


def _size(image: str) -> tuple[float, float]:
    """Width and height of an SVG in pixels."""
    found = re.search(r'<svg[^>]* width="([\d.]+)" height="([\d.]+)"', image)
    assert found is not None
    return float(found[1]), float(found[2])


def fit_texts(image: str) -> str:
    """The SVG with the width of every line of text, to which any font is stretched or squeezed."""
    return re.sub(r"<text [^>]*>.*?</text>", lambda match: _fit_text(match[0]), image, flags=re.DOTALL)


def _fit_text(element: str) -> str:
    size = re.search(r'font-size="([\d.]+)px"', element)
    if size is None:
        return element
    scale = float(size[1]) * (_BOLD if 'font-weight="bold"' in element else 1)

    def with_width(match: re.Match[str]) -> str:
        text = unescape(match[2])
        if not text.strip() or not has_known_width(text):
            return match[0]
        return f'{match[1]} textLength="{text_width(text, scale):.1f}" lengthAdjust="spacingAndGlyphs">{match[2]}<'

    return re.sub(r"(<(?:text|tspan)(?: [^>]*)?)>([^<]+)<", with_width, element)


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


def write_picture(path: Path, drawing: Drawing, image_format: Format, width: PaperWidth = "page") -> None:
    """Write the chart as an image file for papers: labels of 8 points, at most as wide as `width` says.

    SVG and PDF have their size in the file; PNG has 600 dots per inch, on white.

    Raises:
        StudyError: the disk is full, or the folder cannot be written.
    """
    image = svg(drawing, round(PAPER_INCHES[width] * 72 / _POINTS))
    if image_format == "svg":
        content = _in_points(image).encode()
    elif image_format == "pdf":
        content = vl_convert.svg_to_pdf(_in_points(image, unit=""))  # a unit of a PDF is a point
    else:
        content = vl_convert.svg_to_png(_on_white(image), scale=_POINTS * _PNG_DPI / 72, ppi=72)
    write_bytes(path, content)


def _in_points(image: str, unit: str = "pt") -> str:
    """The SVG with its size in points."""
    width, height = (f"{_POINTS * pixels:.1f}{unit}" for pixels in _size(image))
    return re.sub(
        r'(<svg[^>]*) width="[\d.]+" height="[\d.]+"', rf'\1 width="{width}" height="{height}"', image, count=1
    )


def _on_white(image: str) -> str:
    return re.sub(r"(<svg[^>]*>)", r'\1<rect width="100%" height="100%" fill="#FFFFFF"/>', image, count=1)


def chart_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, for the page."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
