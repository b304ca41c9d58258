"""`mematlas report`."""

from typing import Annotated

from cyclopts import Parameter

from mematlas.cli.lists import COMMAS
from mematlas.cli.pictures import parse_formats, parse_width


def report(
    study: str,
    *,
    out: str | None = None,
    formats: Annotated[list[str], Parameter(name="--format", consume_multiple=1), COMMAS] = [],  # noqa: B006
    width: str = "page",
    run: str | None = None,
) -> None:
    """Write the findings of a study as one HTML page that needs no network.

    Example: mematlas report study --format svg,pdf --width column

    Parameters
    ----------
    study
        The folder or URL of a study whose findings were written by `mematlas analyze`.
    out
        File name of the page; STUDY/report.html by default.
    formats
        Also write the atlas and each chart as an image file, in a folder next to the page: png, svg, pdf, or several of
        them.
    width
        How wide these images are, with labels of 8 points: "column" (3.3 inches) or "page" (7 inches).
    run
        The start of a run's key, as printed by `mematlas show`; the latest run by default.
    """
    from mematlas.report.page import pictures_folder, write_report

    image_formats = parse_formats("--format", formats, "report")
    page = write_report(study, out, image_formats, run, parse_width(width, "report"))
    print(f"The report is in {page} ({page.stat().st_size / 1e6:.1f} MB). Open it in a browser; it needs no network.")
    if image_formats:
        print(f"Its charts are in {pictures_folder(page)}.")
