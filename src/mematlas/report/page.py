"""Write the report of a study: the page, and optionally its charts as image files."""

from collections.abc import Sequence
from pathlib import Path

from mematlas.executors.options import SINGLE_PROCESS, WorkerOptions
from mematlas.io.paths import study_path, write_bytes
from mematlas.report.atlas import Atlas, family_atlas
from mematlas.report.atlas_drawing import write_atlas
from mematlas.report.charts.export import Format, PaperWidth, write_picture
from mematlas.report.document import read_run_findings, render_page
from mematlas.report.figures import Figure, build_figures
from mematlas.study import Study, open_study


def write_report(
    study: Study | str | Path,
    out: str | Path | None = None,
    formats: Sequence[Format] = (),
    run: str | None = None,
    width: PaperWidth = "page",
    workers: WorkerOptions = SINGLE_PROCESS,
) -> Path:
    """Write the report of a run (default: the latest) to `out` (default: STUDY/report.html), and the atlas and each
    chart in each of `formats`, for a column or the whole page of a paper, into its `pictures_folder`; returns the path
    of the page. `workers` share the drawing.

    Raises:
        StudyError: the run has no findings yet, something is damaged, or a file cannot be written.
    """
    opened = study if isinstance(study, Study) else open_study(study)
    selected = opened.run(run)
    findings = read_run_findings(opened, selected)
    figures, atlas = list(build_figures(findings, workers=workers)), family_atlas(findings)
    page = opened.folder / "report.html" if out is None else study_path(out)
    content = render_page(opened, selected, findings, figures, atlas).encode()
    write_bytes(page, content)
    _write_pictures(pictures_folder(page), figures, atlas, formats, width)
    return page


def pictures_folder(page: Path) -> Path:
    """The folder of the image files of a page's charts."""
    return page.with_name(f"{page.stem}-figures")


def _write_pictures(
    folder: Path, figures: Sequence[Figure], atlas: Atlas | None, formats: Sequence[Format], width: PaperWidth
) -> None:
    for image_format in formats:
        if atlas is not None:
            write_bytes(folder / f"atlas.{image_format}", write_atlas(atlas, image_format))
        for figure in figures:
            if figure.drawing is not None:
                write_picture(folder / f"{figure.key}.{image_format}", figure.drawing, image_format, width)
