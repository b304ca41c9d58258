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
        The folder or URL of the study; `mematlas analyze` has written its findings.
    out
        The page; STUDY/report.html by default.
    formats
        Also write each chart as image files into a folder beside the page: png, svg and pdf, with commas between.
    run
        The run whose key starts so; the latest by default.
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
    wanted = _formats(formats)
    page = write_report(study, out, wanted, run)
    print(f"The report is in {page} ({page.stat().st_size / 1e6:.1f} MB). Open it in a browser; it needs no network.")
    if wanted:
        print(f"Its charts are in {pictures_folder(page)}.")


def _formats(text: str) -> "list[Format]":
    known: tuple[Format, ...] = ("png", "svg", "pdf")
    found = []
    for name in filter(None, (part.strip().lower() for part in text.split(","))):
        form = next((form for form in known if form == name), None)
        if form is None:
            raise OptionError(f"--format: {name!r} is none of {', '.join(known)}. See `mematlas report --help`.")
        found.append(form)
    return found
