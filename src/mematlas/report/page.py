"""What `mematlas report` and `mematlas run` do: write the page, and its charts as files beside it."""

from collections.abc import Sequence
from pathlib import Path

from mematlas.io.paths import study_path, write_atomically
from mematlas.report.charts.export import Format, write_picture
from mematlas.report.document import document, findings_of
from mematlas.report.figures import Figure, figures
from mematlas.study import Study, open_study


def write_report(
    study: Study | str | Path, out: str | Path | None = None, formats: Sequence[Format] = (), run: str | None = None
) -> Path:
    """Write the report of a run, the latest by default, to `out` (STUDY/report.html), and each chart in each of
    `formats` into `pictures_folder` of it; returns the page's path.

    Raises:
        StudyError: the run has no findings yet, something is damaged, or a file cannot be written.
    """
    opened = study if isinstance(study, Study) else open_study(study)
    found = opened.run(run)
    findings = findings_of(opened, found)
    shown = list(figures(findings))
    place = opened.folder / "report.html" if out is None else study_path(out)
    content = document(opened, found, findings, shown).encode()
    write_atomically(place, lambda path: _write(path, content))
    _write_pictures(pictures_folder(place), shown, formats)
    return place


def pictures_folder(page: Path) -> Path:
    """Where the image files of a page's charts lie."""
    return page.with_name(f"{page.stem}-figures")


def _write_pictures(folder: Path, shown: Sequence[Figure], formats: Sequence[Format]) -> None:
    for figure in shown:
        for form in formats:
            if figure.drawing is not None:
                write_picture(folder / f"{figure.key}.{form}", figure.drawing, form)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
