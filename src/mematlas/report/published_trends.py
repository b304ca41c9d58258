"""Published trends beside what this study says of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mematlas.findings.finding import Finding
from mematlas.literature.published import TRENDS, PublishedTrend

SIGNS: Final = {"shows": "✓", "contradicts": "✗", "cannot tell": "?"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """published: the trend; finding: name of the one that speaks of it, None if none does."""

    published: PublishedTrend
    verdict: str
    test: str
    finding: str | None

    @property
    def sign(self) -> str:
        return SIGNS[self.verdict]


def verdicts(findings: Sequence[Finding]) -> list[Verdict]:
    """Every published trend, once for each finding that speaks of it: what is shown first, what cannot be told last."""
    found = [verdict for name in TRENDS for verdict in _of(name, findings)]
    return sorted(found, key=lambda verdict: list(SIGNS).index(verdict.verdict))


def _of(name: str, findings: Sequence[Finding]) -> list[Verdict]:
    published = TRENDS[name]
    said = [(finding, trend) for finding in findings for trend in finding.trends if trend.trend == name]
    if said:
        return [Verdict(published, trend.verdict, trend.test, finding.name) for finding, trend in said]
    there = published.analysis in {finding.name for finding in findings}
    why = "it was not put to a test" if there else f"run `mematlas analyze --only {published.analysis}`"
    return [Verdict(published, "cannot tell", why, None)]
