"""Charts as SVG, PNG and PDF, and the JavaScript that draws them in a page: all from vl-convert, without a browser."""

import re
from pathlib import Path
from typing import Any, Final, Literal

import vl_convert

from mematlas.report.charts.specification import VEGA_LITE, Drawing
from mematlas.report.charts.theme import config
from mematlas.study import write_atomically

Format = Literal["png", "svg", "pdf"]
_WIDTH: Final = 640
_SCALE: Final = 3  # pixels of a PNG for each of the picture's: 600 dots per inch at a column's width


def svg(drawing: Drawing) -> str:
    """The chart as it goes into a paper: light, transparent, text as text."""
    return vl_convert.vegalite_to_svg(drawing.sized(_WIDTH), **_offline(drawing))


def slim(picture: str) -> str:
    """The same SVG in a third of the letters: the type once, no names of marks, no empty groups, lengths in tenths."""
    family = re.search(r' font-family="[^"]*"', picture)
    unused = "font-family|class|aria-hidden|aria-roledescription|role|pointer-events"
    picture = re.sub(rf' (?:{unused})="[^"]*"| (?:fill-)?opacity="1"', "", picture)
    picture = re.sub(r' (?:d|transform|[xy]2?)="[^"]*"', lambda found: _rounded(found[0]), picture)
    picture = re.sub(r'<path d="M0,0h0v0h0Z"[^>]*/>| transform="translate\(0,0\)"', "", picture)
    picture = _without(r"<g[^>]*></g>|<g[^>]*/>", picture)
    picture = re.sub(r'="([^"\']*)"', r"='\1'", picture)  # an address has three letters for each of the others
    return picture.replace("<svg", f"<svg{family[0]}", 1) if family else picture


def _without(pattern: str, text: str) -> str:
    """`text` without what matches, nor what matches once that is gone."""
    while (shorter := re.sub(pattern, "", text)) != text:
        text = shorter
    return text


def _rounded(attribute: str) -> str:
    return re.sub(r"\d+\.\d{2,}", lambda found: f"{float(found[0]):.1f}".rstrip("0").rstrip("."), attribute)


def write_picture(path: Path, drawing: Drawing, form: Format) -> None:
    """Write the chart as an image file.

    Raises:
        StudyError: no room, or the folder cannot be written.
    """
    if form == "svg":
        content = svg(drawing).encode()
    elif form == "pdf":
        content = vl_convert.vegalite_to_pdf(drawing.sized(_WIDTH), **_offline(drawing))
    else:
        content = vl_convert.vegalite_to_png(_on_white(drawing), scale=_SCALE, **_offline(drawing))
    write_atomically(path, lambda temporary: _write(temporary, content))


def _on_white(drawing: Drawing) -> dict[str, Any]:
    return drawing.sized(_WIDTH) | {"background": "white"}


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _offline(drawing: Drawing) -> dict[str, Any]:
    looks = config("light", drawing.levels, drawing.legend_columns(_WIDTH))
    return {"vl_version": VEGA_LITE, "config": looks, "allowed_base_urls": []}


def javascript() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script, for the page."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
