"""Verdicts on a published direction from the numbers of rows that support it and that oppose it.

Source: our choice. It is shown if the Wilson 95 % interval of the share of supporting rows lies above one half, and
contradicted if below. For rows that changed between two conditions this is McNemar's test (1947) with that interval.
"""

from typing import Literal

from mematlas.stats.estimates.intervals import wilson

Verdict = Literal["shows", "contradicts", "cannot tell"]


def majority_verdict(rows_for: int, rows_against: int) -> Verdict:
    """Whether the majority of rows supports the direction; "cannot tell" without any such rows."""
    share = wilson(rows_for, rows_for + rows_against)
    if share.lower is None or share.upper is None:
        return "cannot tell"
    return "shows" if share.lower > 0.5 else "contradicts" if share.upper < 0.5 else "cannot tell"


def combined_verdict(verdicts: list[Verdict]) -> Verdict:
    """The verdict on a direction that must hold in every group: shown if all show it, contradicted if one does."""
    if "contradicts" in verdicts:
        return "contradicts"
    return "shows" if verdicts and set(verdicts) == {"shows"} else "cannot tell"
