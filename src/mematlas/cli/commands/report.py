"""`mematlas report`."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mematlas.errors import MissingExtra, OptionError

if TYPE_CHECKING:
    from mematlas.report.charts.export import Format


def report(
    study: str,
    *,
    out: str | None = None,
    formats: Annotated[str, Parameter(name="--format")] = "",
    run: str | None = None,
) -> None:
    """Write the findings of a study as one HTML page that needs no network.

    Example: mematlas report study --format svg,pdf

    Parameters
    ----------
    study
        The folder or URL of a study whose findings were written by `mematlas analyze`.
    out
        File name of the page; STUDY/report.html by default.
    formats
        Also write each chart as an image file, in a folder next to the page: png, svg, pdf, separated by commas.
    run
        The start of a run's key, as printed by `mematlas show`; the latest run by default.
    """
    try:
        from mematlas.report.page import pictures_folder, write_report
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mematlas"):
            raise
        raise MissingExtra(
            f"`mematlas report` needs the library {error.name!r}, which is not installed; "
            'run: pip install "mematlas[report]"'
        ) from None
    image_formats = _parse_formats(formats)
    page = write_report(study, out, image_formats, run)
    print(f"The report is in {page} ({page.stat().st_size / 1e6:.1f} MB). Open it in a browser; it needs no network.")
    if image_formats:
        print(f"Its charts are in {pictures_folder(page)}.")


def _parse_formats(text: str) -> "list[Format]":
    supported: tuple[Format, ...] = ("png", "svg", "pdf")
    formats = []
    for name in filter(None, (part.strip().lower() for part in text.split(","))):
        format = next((format for format in supported if format == name), None)
        if format is None:
            raise OptionError(f"--format: {name!r} is not one of {', '.join(supported)}. See `mematlas report --help`.")
        formats.append(format)
    return formats
