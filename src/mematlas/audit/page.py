"""The verdict as one page to hand over: no script, nothing from elsewhere, and at most two printed pages of text."""

from collections.abc import Mapping, Sequence
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from mematlas.audit.base import Example, Measure
from mematlas.audit.verdict import LEVEL, Verdict
from mematlas.report.display_text import printable
from mematlas.study import write_atomically
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
_MEASURES_SHOWN: Final = 8


def write_page(path: Path, verdict: Verdict, facts: Mapping[str, Any], extra: str = "") -> None:
    """Write the page to `path`, completely or not at all; extra: HTML of more sections, after the looks."""
    text = verdict_page(verdict, facts, extra)
    write_atomically(path, lambda temporary: _write(temporary, text))


def render(package: str, template: str, **values: Any) -> str:
    """A template of a package with these values, as HTML."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "marked": _marked, "p_value": _p_value, "printable": printable}
    source = resources.files(package).joinpath(template).read_text(encoding="utf-8")
    return environment.from_string(source).render(values)


def verdict_page(verdict: Verdict, facts: Mapping[str, Any], extra: str = "") -> str:
    """The page as text. facts may have an audit's own scope, footnote, files and not_tested."""
    return render(
        "mematlas.audit",
        "verdict.html",
        extra=Markup(extra),
        verdict=verdict,
        facts=facts,
        tone=_TONES[verdict.answer],
        found=verdict.found,
        bars=_bars,
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


def _bars(measures: Sequence[Measure]) -> Markup:
    """The shares of one name under each other: a dot with its interval each, on one axis from 0."""
    shares = [measure for measure in measures if measure.share and measure.value is not None]
    if not shares:
        return Markup("")
    top = max(0.02, *(measure.upper or measure.value or 0.0 for measure in shares))
    lines = []
    for number, measure in enumerate(shares):
        y, value = 9 + 18 * number, measure.value or 0.0
        low, high = (value if end is None else end for end in (measure.lower, measure.upper))
        color = "var(--mark)" if number == 0 else "var(--soft)"
        lines.append(
            f'<line x1="{_x(low, top)}" x2="{_x(high, top)}" y1="{y}" y2="{y}" stroke="{color}" stroke-width="2"/>'
            f'<circle cx="{_x(value, top)}" cy="{y}" r="4.5" fill="{color}"/>'
        )
    label = "; ".join(f"{measure.of}: {_number(measure)}" for measure in shares)
    return Markup(
        f'<svg class="bars" viewBox="0 0 220 {18 * len(shares)}" role="img" aria-label="{escape(label)}">'
        f'<line x1="6" x2="6" y1="0" y2="{18 * len(shares)}" stroke="var(--rule)"/>{"".join(lines)}</svg>'
    )


def _x(value: float, top: float) -> str:
    return f"{6 + 206 * value / top:.1f}"


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


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
