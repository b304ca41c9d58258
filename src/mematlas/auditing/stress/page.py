"""A stress test as one page: verdict, pictures, damage and rows; no script, nothing from elsewhere."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mematlas.auditing.page import render
from mematlas.auditing.stress.damage import Estimate
from mematlas.auditing.stress.finding import estimate_text
from mematlas.auditing.stress.verdicts import BACK, JUDGED, STILL
from mematlas.findings.finding import Finding
from mematlas.report.charts.export import Format, write_picture
from mematlas.report.figures import build_figures
from mematlas.report.page import pictures_folder
from mematlas.study import write_text

#: Rows that the page lists; the tables have all.
SHOWN: Final = 40
_WIDTH: Final = 870  # pixels of a picture, as wide as the page


def write_stress_page(path: Path, finding: Finding, facts: Mapping[str, Any], formats: Sequence[Format] = ()) -> None:
    """Write the page to `path`, and its figures in each of `formats` into `pictures_folder(path)`."""
    figures = list(build_figures([finding], _WIDTH))
    page = render(
        "mematlas.auditing.stress",
        "page.html",
        finding=finding,
        facts=facts,
        figures=[figure for figure in figures if figure.image],
        damage=[_damage(record) for record in finding.table("damage").to_dicts()],
        rows=_rows(finding),
        tested=facts["rows"]["tested"],
    )
    write_text(path, page)
    for image_format in formats:
        for figure in figures:
            if figure.drawing is not None:
                write_picture(pictures_folder(path) / f"{figure.key}.{image_format}", figure.drawing, image_format)


def _damage(record: Mapping[str, Any]) -> list[str]:
    """A line of the table of damage, as text."""
    is_count = record["measure"].startswith("kept rows")
    numbers = [
        "not measured" if record[name] is None else f"{record[name]:.0f}" if is_count else f"{record[name]:.2f}"
        for name in ("before", "after")
    ]
    change = Estimate(record["change"], record["low"], record["high"])
    words = "" if change.value is None else f"{estimate_text(change, percent=True)} {'lost' if is_count else 'more'}"
    return [record["measure"], *numbers, words]


def _rows(finding: Finding) -> list[dict[str, Any]]:
    """The tested rows, those that leak most first."""
    rows = finding.table("rows").filter(role="tested").to_dicts()
    order = {name: number for number, name in enumerate((STILL, BACK, *JUDGED))}
    rows.sort(key=lambda row: (order.get(row["verdict"], len(order)), -(row["best_length"] or 0), row["row"]))
    return rows[:SHOWN]
