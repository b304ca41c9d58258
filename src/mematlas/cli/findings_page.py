"""What commands that end in findings say: their page, their tables as JSON, or a sentence of each."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mematlas.cli.output import print_json
from mematlas.cli.pictures import parse_formats
from mematlas.findings.finding import Finding


class FindingsPage:
    """The page of a command, made before the work so that a missing library or a wrong format ends it at once.

    Args:
        command: without "mematlas"; pictures: the values of its option --pictures.

    Raises (constructor):
        OptionError: there is no such format.
    """

    def __init__(self, command: str, pictures: Sequence[str]) -> None:
        from mematlas.report.plain_pages.findings import write_findings

        self.command, self._write = command, write_findings
        self._formats = parse_formats("--pictures", pictures, command)

    def present(
        self,
        folder: Path,
        facts: Mapping[str, Any],
        findings: Sequence[Finding],
        *,
        title: str,
        introduction: Sequence[str],
        as_json: bool,
    ) -> None:
        """Write the page into the folder, named like the command's last word, and print what was found.

        Args:
            facts: what was asked, for JSON; introduction: paragraphs under the title.
        """
        page = folder / f"{self.command.split()[-1]}.html"
        self._write(page, self.command, title, introduction, findings, self._formats)
        if as_json:
            tables = {finding.name: {table.name: table.frame for table in finding.tables} for finding in findings}
            trends = [asdict(trend) for finding in findings for trend in finding.trends]
            print_json({"folder": folder, "page": page, **facts, **tables, **({"trends": trends} if trends else {})})
            return
        for finding in findings:
            print(finding.in_short)
        print(f"The page is in {page}; the tables and their card (README.md) are beside it.")
