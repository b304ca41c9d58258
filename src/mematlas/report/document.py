"""One self-contained page: the findings of a run, what was asked, and where the numbers come from."""

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
from mematlas.findings.finding import Finding, read_findings
from mematlas.literature.published import EVIDENCE, TRENDS, papers_named
from mematlas.report import gallery, provenance, tables
from mematlas.report import published_trends as verdicts
from mematlas.report.charts.export import javascript
from mematlas.report.display_text import legible
from mematlas.report.figures import Figure, live
from mematlas.study import Run, Study

_TELLING: Final = 3
#: What a figure's caption says of its intervals.
_INTERVALS: Final = {
    "lines": "Whiskers or bands are",
    "steps": "Whiskers or bands are",
    "points": "Whiskers are",
    "bars": "Whiskers are",
    "stacked": "The table has",
    "matrix": "The table has",
    "flow": "The table has",
}


def findings_of(study: Study, run: Run) -> list[Finding]:
    """The run's findings.

    Raises:
        StudyError: it has none yet.
    """
    found = read_findings(study.folder, run.key)
    if not found:
        raise StudyError(f"{study.folder} has no findings yet: run `mematlas analyze {study.folder}` first.")
    return found


def most_telling(findings: Sequence[Finding]) -> list[Finding]:
    """The three findings with the largest effect for its standard error, one an analysis; those that lack something
    are none."""
    telling = {f.name: f for f in sorted(findings, key=lambda f: f.strength or 0) if f.missing is None and f.strength}
    return list(telling.values())[::-1][:_TELLING]


def document(study: Study, run: Run, findings: Sequence[Finding], shown: Sequence[Figure]) -> str:
    """The HTML of the report."""
    library, script = javascript(), _closed(_file("page.js"))
    return (
        _environment()
        .from_string(_file("page.html"))
        .render(
            study=study,
            run=run,
            **_told(findings, shown),
            **_kept(study, run),
            css=Markup(_file("page.css")),
            script=Markup(script),
            library=_packed(library),
            hashes=[_hash(script), _hash(library)],
            data=_packed(json.dumps(live(shown), separators=(",", ":"), allow_nan=False, ensure_ascii=False)),
        )
    )


def _told(findings: Sequence[Finding], shown: Sequence[Figure]) -> dict[str, Any]:
    """What the findings say."""
    first = most_telling(findings)
    return {
        "findings": findings,
        "telling": first,
        "others": [finding for finding in findings if finding.missing is None and finding not in first],
        "lacking": [finding for finding in findings if finding.missing is not None],
        "figures": {f.name: [figure for figure in shown if figure.finding == f.name] for f in findings},
        "tables": {f.name: [tables.show(table) for table in f.tables] for f in findings},
        "rows": {f.name: _by_reason(f) for f in findings},
        "intervals": _INTERVALS,
        "verdicts": verdicts.verdicts(findings),
        "evidence": EVIDENCE,
        "papers": papers_named(_sources(findings)),
    }


def _sources(findings: Sequence[Finding]) -> Iterator[str]:
    """Where findings name papers."""
    for finding in findings:
        yield from (finding.source, *finding.caveats, *finding.deviations, *(trend.test for trend in finding.trends))
        yield from (TRENDS[trend.trend].source for trend in finding.trends if trend.trend in TRENDS)


def _by_reason(finding: Finding) -> dict[str, list[int]]:
    """The finding's rows under the word why each is worth a look."""
    found: dict[str, list[int]] = {}
    for row, why in finding.rows.items():
        found.setdefault(why, []).append(row)
    return found


def _kept(study: Study, run: Run) -> dict[str, Any]:
    """What the study's folder holds beside its findings."""
    entries = gallery.read_gallery(study.folder, run.key)
    count = len(run.models)
    return {
        "title": f"What {count} model{'s' if count > 1 else ''} know{'' if count > 1 else 's'} by heart",
        "finished": study.manifest().get("runs", {}).get(run.key, {}).get("finished", "")[:10],
        "asked": provenance.asked(run),
        "models": provenance.models(study, run),
        "gallery": entries,
        "pictured": {entry.line["row"] for entry in entries or []},
        "made": provenance.made(study, run),
        "commands": provenance.commands(study, run),
    }


def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_finished, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["prose"] = prose
    environment.filters["sentence"] = sentence
    environment.filters["cell"] = tables.cell
    return environment


def _finished(value: Any) -> Any:
    """What is written into the page: legible, but for what is HTML already."""
    return value if hasattr(value, "__html__") else legible(str(value))


def prose(text: str) -> Markup:
    """Escaped text in which what stands between backticks is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(legible(text)))))


def sentence(text: str) -> str:
    """A clause as a sentence; a name of a model at its start stays as it is."""
    first = text.split(" ", 1)[0]
    return (text[:1].upper() + text[1:] if first.isalpha() else text).rstrip(".") + "."


def _file(name: str) -> str:
    return resources.files("mematlas.report").joinpath(name).read_text(encoding="utf-8")


def _packed(text: str) -> str:
    """What a script unpacks, in letters that end no element."""
    return b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _closed(script: str) -> str:
    """A script in which nothing ends the element around it."""
    return "\n" + script.replace("</script", "<\\/script").replace("<!--", "<\\!--") + "\n"


def _hash(script: str) -> str:
    """As a content security policy names an inline script."""
    return f"sha256-{b64encode(sha256(script.encode()).digest()).decode()}"
