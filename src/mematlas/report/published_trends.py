"""Published trends, each with the verdict of this study's findings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mematlas.findings.finding import Finding
from mematlas.literature.published import PROBE_TRENDS, TRENDS, PublishedTrend

#: Verdict -> the sign shown before it, in the order of the page.
SIGNS: Final = {"shows": "✓", "contradicts": "✗", "cannot tell": "?"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """published: the trend; test: how it was tested, or why not; finding: its name, or None; is_analyzed: whether the
    analysis that tests it was run."""

    published: PublishedTrend
    verdict: str
    test: str
    finding: str | None
    is_analyzed: bool = True

    @property
    def sign(self) -> str:
        return SIGNS[self.verdict]


def verdicts(findings: Sequence[Finding]) -> list[Verdict]:
    """Every published trend, once per finding that tests it, in the order of SIGNS."""
    unsorted = [verdict for name in TRENDS for verdict in _verdicts_on(name, findings)]
    return sorted(unsorted, key=lambda verdict: list(SIGNS).index(verdict.verdict))


def probe_verdicts(finding: Finding) -> list[Verdict]:
    """The trends that a finding of a probe tests, in its order."""
    return [Verdict(PROBE_TRENDS[trend.trend], trend.verdict, trend.test, finding.name) for trend in finding.trends]


def _verdicts_on(name: str, findings: Sequence[Finding]) -> list[Verdict]:
    published = TRENDS[name]
    tests = [(finding, trend) for finding in findings for trend in finding.trends if trend.trend == name]
    if tests:
        return [Verdict(published, trend.verdict, trend.test, finding.name) for finding, trend in tests]
    analyzed = published.analysis in {finding.name for finding in findings}
    reason = "the analysis did not test it" if analyzed else f"run `mematlas analyze STUDY --only {published.analysis}`"
    return [Verdict(published, "cannot tell", reason, None, analyzed)]
