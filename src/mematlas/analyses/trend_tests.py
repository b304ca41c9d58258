"""Verdicts on a published direction from the numbers of rows that support it and that oppose it.

Source: our choice. It is shown if the 95 % interval of the share of supporting rows lies above one half, and
contradicted if below. For rows that changed between two conditions this is McNemar's test (1947) with that interval.
For independent rows it is the exact one of the sign test (Clopper and Pearson 1934; McNemar's exact test), since
Wilson's excludes one half in up to 12.5 % of samples of few rows without an effect: 4 rows of 4. For clustered rows it
is that of `mematlas.stats.estimates.clustered`.
"""

from typing import Literal

import polars as pl
from scipy.stats import binom

from mematlas.stats.estimates.clustered import cluster_sums, clustered_shares

Verdict = Literal["shows", "contradicts", "cannot tell"]


def majority_verdict(rows_for: int, rows_against: int) -> Verdict:
    """Whether the majority of independent rows supports the direction; "cannot tell" without any such rows."""
    count = rows_for + rows_against
    if binom.sf(rows_for - 1, count, 0.5) < 0.025:
        return "shows"
    return "contradicts" if binom.sf(rows_against - 1, count, 0.5) < 0.025 else "cannot tell"


def clustered_majority_verdict(counts: pl.DataFrame, rows_for: str, rows_against: str) -> Verdict:
    """`majority_verdict` of the sums of two columns; with a column cluster, each record has those of one cluster."""
    supporting, opposing = counts[rows_for], counts[rows_against]
    if "cluster" not in counts.columns:
        return majority_verdict(int(supporting.sum()), int(opposing.sum()))
    if counts.height and int((supporting + opposing).max()) == 1:  # type: ignore[arg-type]
        return majority_verdict(int(supporting.sum()), int(opposing.sum()))
    share = clustered_shares(cluster_sums(supporting.to_numpy(), (supporting + opposing).to_numpy()))
    return "shows" if share.lower[0] > 0.5 else "contradicts" if share.upper[0] < 0.5 else "cannot tell"


def combined_verdict(verdicts: list[Verdict]) -> Verdict:
    """The verdict on a direction that must hold in every group: shown if all show it, contradicted if one does."""
    if "contradicts" in verdicts:
        return "contradicts"
    return "shows" if verdicts and set(verdicts) == {"shows"} else "cannot tell"
