"""Pages of their own, beside a study's report: templates of a package, filled in, and the pictures of their figures."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from mematlas.report.charts.export import Format, write_picture
from mematlas.report.display_text import printable
from mematlas.report.figures import Figure
from mematlas.report.page import pictures_folder


def render(package: str, template: str, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """A template of a package with these values, as HTML in which every text is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"printable": printable, **(filters or {})}
    source = resources.files(package).joinpath(template).read_text(encoding="utf-8")
    return environment.from_string(source).render(values)


def write_pictures(page: Path, figures: Iterable[Figure], formats: Sequence[Format]) -> None:
    """Write the figures of a page in each of `formats` into `pictures_folder(page)`."""
    for figure in figures:
        if figure.drawing is not None:
            for image_format in formats:
                write_picture(pictures_folder(page) / f"{figure.key}.{image_format}", figure.drawing, image_format)
