"""When a published direction counts as shown, where rows speak for or against it.

Source: our choice. It is shown if the Wilson 95 % interval of the share of rows that speak for it lies above one half,
contradicted if below. For rows that changed between two conditions this is McNemar's test (1947) with that interval.
"""

from typing import Literal

from mematlas.stats.estimates.intervals import wilson

Verdict = Literal["shows", "contradicts", "cannot tell"]


def majority(rows_for: int, rows_against: int) -> Verdict:
    """Whether more rows speak for it than against it; "cannot tell" where none speak."""
    share = wilson(rows_for, rows_for + rows_against)
    if share.lower is None or share.upper is None:
        return "cannot tell"
    return "shows" if share.lower > 0.5 else "contradicts" if share.upper < 0.5 else "cannot tell"


def of_all(verdicts: list[Verdict]) -> Verdict:
    """Of a direction said of each of several groups: shown if all show it, contradicted if one does."""
    if "contradicts" in verdicts:
        return "contradicts"
    return "shows" if verdicts and set(verdicts) == {"shows"} else "cannot tell"
