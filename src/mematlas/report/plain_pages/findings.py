"""The findings of a probe as one page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mematlas.findings.finding import Finding
from mematlas.literature.published import EVIDENCE
from mematlas.report.charts.export import Format
from mematlas.report.figures import build_figures
from mematlas.report.plain_pages.pages import WIDTH, write_page
from mematlas.report.published_trends import probe_verdicts

_LONGEST_TABLE: Final = 60  # records of a table that the page shows


def write_findings(
    path: Path,
    command: str,
    title: str,
    introduction: Sequence[str],
    findings: Sequence[Finding],
    formats: Sequence[Format] = (),
) -> None:
    """Write the page to `path`, and its figures in each of `formats` beside it.

    Args:
        command: without "mematlas"; introduction: paragraphs under the title.
    """
    figures = list(build_figures(findings, WIDTH))
    of = {finding.name: [figure for figure in figures if figure.finding == finding.name] for finding in findings}
    caveats = dict.fromkeys(caveat for finding in findings for caveat in finding.caveats)
    write_page(
        path,
        "findings.html",
        figures,
        formats,
        command=command,
        title=title,
        introduction=introduction,
        parts_of_page=[(finding, of[finding.name], probe_verdicts(finding)) for finding in findings],
        evidence=EVIDENCE,
        caveats=list(caveats),
        longest_table=_LONGEST_TABLE,
    )
