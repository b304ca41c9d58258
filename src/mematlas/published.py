"""What the papers report: trends and tables as data, each with its source and how well that is established.

Evidence labels: S seen in the paper, its official code or released data; S2 seen in a secondary note; C computed from
released files; M from memory, not verified. A number is shown with its label.
"""

from dataclasses import dataclass
from typing import Final, Literal

Evidence = Literal["S", "S2", "C", "M"]


@dataclass(frozen=True, slots=True)
class PublishedTrend:
    """A direction that a paper reports. analysis: the one whose findings say a word on it."""

    statement: str
    source: str
    evidence: Evidence
    analysis: str


TRENDS: Final[dict[str, PublishedTrend]] = {
    "recited-rows-grow-with-size": PublishedTrend(
        "The number of fully memorized rows grows with model size.", "P1, Fig. 2a", "S2", "size"
    ),
}
