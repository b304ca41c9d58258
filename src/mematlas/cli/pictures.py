"""The options of commands that write pictures: formats and width, checked before anything is drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mematlas.errors import OptionError

if TYPE_CHECKING:
    from mematlas.report.charts.export import Format, PaperWidth


def parse_formats(option: str, values: Sequence[str], command: str) -> "list[Format]":
    """The image formats that the values of an option name, each once.

    Raises:
        OptionError: there is no such format.
    """
    supported: tuple[Format, ...] = ("png", "svg", "pdf")
    formats: list[Format] = []
    for name in dict.fromkeys(value.lower() for value in values):
        format = next((format for format in supported if format == name), None)
        if format is None:
            raise OptionError(
                f"{option}: {name!r} is not one of {', '.join(supported)}. See `mematlas {command} --help`."
            )
        formats.append(format)
    return formats


def parse_width(value: str, command: str) -> "PaperWidth":
    """The width in a paper that the value of --width names.

    Raises:
        OptionError: there is no such width.
    """
    supported: tuple[PaperWidth, ...] = ("column", "page")
    width = next((width for width in supported if width == value.lower()), None)
    if width is None:
        raise OptionError(f"--width: {value!r} is not one of {', '.join(supported)}. See `mematlas {command} --help`.")
    return width
