"""Traced rows as one page: each row's text and its heat maps; no script, nothing from elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from mematlas.findings.finding import Finding
from mematlas.report.charts.export import Format
from mematlas.report.figures import Figure, build_figures
from mematlas.report.rendering import render, write_pictures
from mematlas.study import write_text

#: Rows with pictures on the page; the tables have all.
SHOWN: Final = 20
_WIDTH: Final = 870  # pixels of a picture, as wide as the page


@dataclass(frozen=True, slots=True)
class _Row:
    """A row on the page. text: (text, None in the prompt, else whether it is recited) of each token."""

    finding: Finding
    figures: Sequence[Figure]
    text: Sequence[tuple[str, bool | None]]


def write_traces(
    path: Path,
    facts: Mapping[str, Any],
    findings: Sequence[Finding],
    tokens: pl.DataFrame,
    formats: Sequence[Format] = (),
) -> None:
    """Write the page to `path`, and its figures in each of `formats` into `pictures_folder(path)`.

    Args:
        facts: what was asked, as in facts.json; findings: of the traced rows; tokens: of all rows.
    """
    rows = [_row(finding, tokens) for finding in findings[:SHOWN]]
    write_text(path, render("mematlas.report.traces", "page.html", facts=facts, rows=rows, traced=len(findings)))
    write_pictures(path, (figure for row in rows for figure in row.figures), formats)


def _row(finding: Finding, tokens: pl.DataFrame) -> _Row:
    number = int(finding.name.removeprefix("row-"))
    own = tokens.filter(row=number).select("id", "text", "recited")
    text = [(f"{token} " if text is None else text, recited) for token, text, recited in own.iter_rows()]
    return _Row(finding, list(build_figures([finding], _WIDTH)), text)
