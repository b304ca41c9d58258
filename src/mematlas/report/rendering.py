"""Pages of their own, beside a study's report: templates of a package, filled in."""

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mematlas.report.display_text import printable


def render(package: str, template: str, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """A template of a package with these values, as HTML in which every text is escaped."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=PackageLoader(package, "."),
    )
    environment.filters |= {"printable": printable, **(filters or {})}
    return environment.get_template(template).render(values)
