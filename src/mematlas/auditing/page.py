"""The verdict as one page to hand over: no script, nothing from elsewhere, and at most two printed pages of text."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup, escape

from mematlas.auditing.base import Example, Measure
from mematlas.auditing.verdict import LEVEL, Verdict
from mematlas.report import rendering
from mematlas.report.display_text import printable
from mematlas.study import write_text
from mematlas.version import __version__

_TONES: Final = {
    "recites training text": "bad",
    "leaks membership": "warn",
    "no leak found": "good",
    "cannot be judged": "open",
}
_NOT_TESTED: Final = (
    "Prompts other than the texts' own beginnings: attacks, jailbreaks, other languages.",
    "Sampling at a temperature; the study has the probability of each row (n, p).",
    "Text that the model rewrites so far that no words or sentences stay alike.",
)
_MEASURES_SHOWN: Final = 12


def write_page(path: Path, verdict: Verdict, facts: Mapping[str, Any], extra: str = "") -> None:
    """Write the page to `path`, completely or not at all; extra: HTML of more sections, after the looks."""
    text = verdict_page(verdict, facts, extra)
    write_text(path, text)


def render(package: str, template: str, **values: Any) -> str:
    """A template of a package with these values, as HTML."""
    filters: dict[str, Callable[..., Any]] = {"number": _number, "marked": _marked, "p_value": _p_value}
    return rendering.render(package, template, filters, **values)


def verdict_page(verdict: Verdict, facts: Mapping[str, Any], extra: str = "") -> str:
    """The page as text. facts may have an audit's own scope, footnote, files and not_tested."""
    return render(
        "mematlas.auditing",
        "verdict.html",
        extra=Markup(extra),
        verdict=verdict,
        facts=facts,
        tone=_TONES[verdict.answer],
        found=verdict.found,
        bar=_bar,
        by_name=_by_name,
        not_tested=[
            *(f"{look.title}: {look.reason}" for look in verdict.looks if look.reason),
            *facts.get("not_tested", _NOT_TESTED),
        ],
        level=LEVEL,
        shown=_MEASURES_SHOWN,
        today=date.today().isoformat(),
        version=__version__,
    )


def _number(measure: Measure) -> str:
    """The number with its 95 % interval, as people write it."""
    if measure.value is None:
        return "not measured"
    factor, digits, unit = (100, 1, " %") if measure.share else (1, 2, "")
    text = f"{factor * measure.value:.{digits}f}{unit}"
    if measure.lower is None or measure.upper is None:
        return text
    return f"{text} ({factor * measure.lower:.{digits}f} to {factor * measure.upper:.{digits}f})"


def _p_value(value: float | None) -> str:
    if value is None:
        return "not judged"
    return "p < .001" if value < 0.001 else f"p = {value:.3f}".replace("0.", ".")


def _by_name(measures: Sequence[Measure]) -> dict[str, list[Measure]]:
    """The measures of one name together, in their order."""
    groups: dict[str, list[Measure]] = {}
    for measure in measures:
        groups.setdefault(measure.name, []).append(measure)
    return groups


def _bar(measure: Measure, group: Sequence[Measure]) -> Markup:
    """A dot with its interval, from 0 to the largest number of its group."""
    if measure.value is None:
        return Markup("<span></span>")
    top = max(1e-9, *(other.upper or other.value or 0.0 for other in group))
    low, high = (measure.value if end is None else end for end in (measure.lower, measure.upper))
    kind = "of-model" if measure is group[0] else "compared"
    return Markup(
        f'<svg class="bar {kind}" viewBox="0 0 220 16" preserveAspectRatio="none" aria-hidden="true">'
        '<line class="zero" x1="4" x2="4" y1="0" y2="16"/>'
        f'<line class="interval" x1="{_x(low, top)}" x2="{_x(high, top)}" y1="8" y2="8"/>'
        f'<line class="value" x1="{_x(measure.value, top)}" x2="{_x(measure.value, top)}" y1="2" y2="14"/></svg>'
    )


def _x(value: float, top: float) -> str:
    return f"{4 + 210 * value / top:.1f}"


def _marked(example: Example) -> Markup:
    """The text with its copied spans marked."""
    parts, at = [], 0
    for start, stop in sorted(example.spans):
        if stop > max(start, at):
            copied = example.text[max(start, at) : stop]
            parts += [_safe(example.text[at : max(start, at)]), Markup("<mark>"), _safe(copied), Markup("</mark>")]
            at = stop
    return Markup("").join([*parts, _safe(example.text[at:])])


def _safe(text: str) -> Markup:
    return escape(printable(text))
