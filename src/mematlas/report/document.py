"""The report as one self-contained HTML page: the findings of a run, its settings, and the origin of its numbers."""

import gzip
import json
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from mematlas.errors import StudyError
from mematlas.errors.remedies import command_line
from mematlas.findings.finding import Finding, read_findings
from mematlas.literature.published import EVIDENCE, TRENDS, cited_papers
from mematlas.report import provenance
from mematlas.report.charts.export import chart_library
from mematlas.report.display_text import printable
from mematlas.report.figures import Figure, chart_data
from mematlas.report.gallery import read_gallery
from mematlas.report.published_trends import verdicts
from mematlas.report.tables import format_value, text_table
from mematlas.study import Run, Study

_STRONGEST: Final = 3
#: What a figure's caption says about its intervals, by the shape of the chart.
_INTERVALS: Final = {
    "lines": "Whiskers or bands are",
    "steps": "Whiskers or bands are",
    "points": "Whiskers are",
    "bars": "Whiskers are",
    "stacked": "The table has",
    "matrix": "The table has",
    "flow": "The table has",
}


def read_run_findings(study: Study, run: Run) -> list[Finding]:
    """The findings of the run.

    Raises:
        StudyError: there are none yet.
    """
    findings = read_findings(study.folder, run.key)
    if not findings:
        analyze = command_line("analyze", study.folder)
        raise StudyError(f"{study.folder} has no findings yet: run `{analyze}` first.")
    return findings


def strongest_findings(findings: Sequence[Finding]) -> list[Finding]:
    """The three findings with the largest effect relative to its standard error, at most one per analysis.

    Findings that lack data are not considered.
    """
    ascending = sorted(findings, key=lambda finding: finding.strength or 0)
    by_name = {finding.name: finding for finding in ascending if finding.missing is None and finding.strength}
    return list(by_name.values())[::-1][:_STRONGEST]


def render_page(study: Study, run: Run, findings: Sequence[Finding], figures: Sequence[Figure]) -> str:
    """The HTML of the report."""
    library, script = chart_library(), _embeddable(_resource("page.js"))
    return (
        _environment()
        .from_string(_resource("page.html"))
        .render(
            study=study,
            run=run,
            **_finding_variables(findings, figures),
            **_study_variables(study, run),
            css=Markup(_resource("page.css")),
            script=Markup(script),
            library=_compressed(library),
            hashes=[_policy_hash(script), _policy_hash(library)],
            data=_compressed(
                json.dumps(chart_data(figures), separators=(",", ":"), allow_nan=False, ensure_ascii=False)
            ),
        )
    )


def _finding_variables(findings: Sequence[Finding], figures: Sequence[Figure]) -> dict[str, Any]:
    """The template's variables that come from the findings."""
    strongest = strongest_findings(findings)
    return {
        "findings": findings,
        "strongest": strongest,
        "others": [finding for finding in findings if finding.missing is None and finding not in strongest],
        "lacking_data": [finding for finding in findings if finding.missing is not None],
        "figures": {f.name: [figure for figure in figures if figure.finding == f.name] for f in findings},
        "tables": {f.name: [text_table(table) for table in f.tables] for f in findings},
        "rows_by_reason": {f.name: _rows_by_reason(f) for f in findings},
        "intervals": _INTERVALS,
        "verdicts": verdicts(findings),
        "evidence": EVIDENCE,
        "papers": cited_papers(_texts_with_citations(findings)),
    }


def _texts_with_citations(findings: Sequence[Finding]) -> Iterator[str]:
    """The texts in which findings may cite papers."""
    for finding in findings:
        yield from (finding.source, *finding.caveats, *finding.deviations, *(trend.test for trend in finding.trends))
        yield from (TRENDS[trend.trend].source for trend in finding.trends if trend.trend in TRENDS)


def _rows_by_reason(finding: Finding) -> dict[str, list[int]]:
    """The finding's notable rows, grouped by the reason why they are notable."""
    rows: dict[str, list[int]] = {}
    for row, reason in finding.rows.items():
        rows.setdefault(reason, []).append(row)
    return rows


def _study_variables(study: Study, run: Run) -> dict[str, Any]:
    """The template's variables that come from the study's folder, other than its findings."""
    entries = read_gallery(study.folder, run.key)
    count = len(run.models)
    return {
        "title": f"What {count} model{'s' if count > 1 else ''} know{'' if count > 1 else 's'} by heart",
        "corpus": run.settings.get("corpus"),
        "finished": provenance.finish_date(study, run),
        "settings": provenance.settings(run),
        "models": provenance.models_table(study, run),
        "gallery": entries,
        "gallery_rows": {entry.record["row"] for entry in entries or []},
        "provenance": provenance.provenance(study, run),
        "commands": provenance.reproduction_commands(study, run),
    }


def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_finalize, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["inline_code"] = inline_code
    environment.filters["sentence"] = sentence
    environment.filters["format_value"] = format_value
    return environment


def _finalize(value: Any) -> Any:
    """A value as it is written into the page: HTML unchanged, any other text made printable."""
    return value if hasattr(value, "__html__") else printable(str(value))


def inline_code(text: str) -> Markup:
    """Escaped text, with the parts between backticks as code elements."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(printable(text)))))


def sentence(text: str) -> str:
    """A clause as a sentence. Its first word is capitalized only if it has letters alone, unlike most model names."""
    first = text.split(" ", 1)[0]
    return (text[:1].upper() + text[1:] if first.isalpha() else text).rstrip(".") + "."


def _resource(name: str) -> str:
    return resources.files("mematlas.report").joinpath(name).read_text(encoding="utf-8")


def _compressed(text: str) -> str:
    """The text compressed for page.js, in base64, which cannot end an HTML element."""
    return b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _embeddable(script: str) -> str:
    """The script, escaped so that it cannot end the script element around it."""
    return "\n" + script.replace("</script", "<\\/script").replace("<!--", "<\\!--") + "\n"


def _policy_hash(script: str) -> str:
    """The hash with which a content security policy allows an inline script."""
    return f"sha256-{b64encode(sha256(script.encode()).digest()).decode()}"
