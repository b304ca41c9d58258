"""What these pages share: templates, and figures written as image files."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from mematlas.report.charts.export import Format, write_picture
from mematlas.report.figures import Figure
from mematlas.report.page import pictures_folder
from mematlas.report.rendering import render
from mematlas.study import write_text

WIDTH: Final = 870  # pixels of a picture, as wide as the page


def write_page(
    path: Path, template: str, figures: Iterable[Figure], formats: Sequence[Format] = (), **values: Any
) -> None:
    """Write a page to `path`, and the figures in each of `formats` into `pictures_folder(path)`.

    Args:
        template: name of a file beside this one; values: what it shows.
    """
    figures = list(figures)
    write_text(path, render("mematlas.report.plain_pages", template, figures=figures, **values))
    for figure in figures:
        for image_format in formats if figure.drawing is not None else ():
            assert figure.drawing is not None
            write_picture(pictures_folder(path) / f"{figure.key}.{image_format}", figure.drawing, image_format)
