"""The report as one self-contained HTML page: the findings of a run, its settings, and the origin of its numbers."""

import gzip
import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mematlas.errors import StudyError
from mematlas.errors.remedies import command_line
from mematlas.findings.finding import Finding, read_findings
from mematlas.literature.published import EVIDENCE, TRENDS, cited_papers
from mematlas.report import provenance
from mematlas.report.atlas import Atlas
from mematlas.report.atlas_drawing import narrow_picture, page_palette, style_variables, wide_picture
from mematlas.report.cell import reference_cell
from mematlas.report.charts.export import chart_library
from mematlas.report.display_text import printable
from mematlas.report.figures import Figure, chart_data, view_choices
from mematlas.report.gallery import read_gallery
from mematlas.report.headline_numbers import headline_numbers
from mematlas.report.published_trends import verdicts
from mematlas.report.tables import format_value, text_table
from mematlas.report.wording import headline, rich_text, sentence, short_sentence
from mematlas.study import Run, Study

_STRONGEST: Final = 3
_STANDS_OUT: Final = 5  # headlines on the first screen
_CLEAR: Final = 2.0  # standard errors
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


def render_page(
    study: Study, run: Run, findings: Sequence[Finding], figures: Sequence[Figure], atlas: Atlas | None
) -> str:
    """The HTML of the report. atlas: the picture it begins with."""
    library, script = chart_library(), _embeddable(_resource("page.js"))
    return (
        _environment()
        .from_string(_resource("page.html"))
        .render(
            study=study,
            run=run,
            **_overview_variables(study, run, findings, figures, atlas),
            **_finding_variables(findings, figures),
            **_study_variables(study, run),
            css=_style_sheet(),
            script=Markup(script),
            library=_compressed(library),
            hashes=[_policy_hash(script), _policy_hash(library)],
            data=_compressed(
                json.dumps(chart_data(figures), separators=(",", ":"), allow_nan=False, ensure_ascii=False)
            ),
        )
    )


def _overview_variables(
    study: Study, run: Run, findings: Sequence[Finding], figures: Sequence[Figure], atlas: Atlas | None
) -> dict[str, Any]:
    """The template's variables of the first screen, and of the bar that says which cell and models it is about."""
    levels = 0 if atlas is None else len(atlas.levels)
    family, who = family_in_order(study, run)
    strongest = _standing_out(findings)
    return {
        "atlas": atlas,
        "pictures": None
        if atlas is None
        else (wide_picture(atlas, page_palette(levels)), narrow_picture(atlas, page_palette(levels))),
        "numbers": headline_numbers(findings, family),
        "strongest": strongest,
        "cell": reference_cell(findings),
        "largest": family[-1] if family else "",
        "who": who,
        "choices": view_choices(figures),
    }


def _standing_out(findings: Sequence[Finding]) -> list[Finding]:
    """The strongest findings, then others with a clear effect, up to as many as the first screen has room for."""
    strongest = strongest_findings(findings)
    clear = [f for f in findings if f.missing is None and f not in strongest and (f.strength or 0) >= _CLEAR]
    return [*strongest, *sorted(clear, key=lambda finding: -(finding.strength or 0))][:_STANDS_OUT]


def family_in_order(study: Study, run: Run) -> tuple[list[str], str]:
    """The labels of the run's models by size, or by training step if all are of one size, and what distinguishes the
    last of them.

    Of each of several sizes the latest checkpoint. They are in the order given where sizes are not all known.
    """
    controls = set(run.settings.get("control_models") or [])
    models = [record for record in study.models(run.key).to_dicts() if record["model"] not in controls]
    sizes = {record.get("parameters") for record in models}
    if None not in sizes:
        models.sort(key=lambda record: (record["parameters"], record.get("training_step") or 0))
        models = list({record["parameters"]: record for record in models}.values()) if len(sizes) > 1 else models
    last = "last" if None in sizes else "largest" if len(sizes) > 1 else "latest"
    return [record["model"] for record in models], f"{last} model" if len(models) > 1 else "model"


def _style_sheet() -> Markup:
    """The style sheet with the colors of the levels in both themes."""
    light, dark = (style_variables(theme) for theme in ("light", "dark"))
    themes = f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
    return Markup(themes + f"@media print {{ :root {{ {light} }} }}\n" + _resource("page.css"))


def _finding_variables(findings: Sequence[Finding], figures: Sequence[Figure]) -> dict[str, Any]:
    """The template's variables that come from the findings."""
    return {
        "findings": [finding for finding in findings if finding.missing is None],
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
    counts = run.settings.get("row_counts") or {}
    return {
        "title": f"What {count} model{'s' if count > 1 else ''} know{'' if count > 1 else 's'} by heart",
        "corpus": run.settings.get("corpus"),
        "row_counts": {role: format_value(number) for role, number in counts.items()},
        "explore": command_line("explore", study.folder),
        "rows_command": command_line("rows", study.folder),
        "finished": provenance.finish_date(study, run),
        "settings": provenance.settings(run),
        "models": provenance.models_table(study, run),
        "gallery": entries,
        "any_recited": any(entry.is_recited for entry in entries or []),
        "gallery_rows": {entry.record["row"] for entry in entries or []},
        "provenance": provenance.provenance(study, run),
        "commands": provenance.reproduction_commands(study, run),
    }


def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_finalize, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["rich_text"] = rich_text
    environment.filters["sentence"] = sentence
    environment.filters["headline"] = headline
    environment.filters["short_sentence"] = short_sentence
    environment.filters["format_value"] = format_value
    return environment


def _finalize(value: Any) -> Any:
    """A value as it is written into the page: HTML unchanged, any other text made printable."""
    return value if hasattr(value, "__html__") else printable(str(value))


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
