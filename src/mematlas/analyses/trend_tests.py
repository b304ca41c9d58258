"""Verdicts on a published direction from the numbers of rows that support it and that oppose it.

Source: our choice. It is shown if the 95 % interval of the share of supporting rows lies above one half, and
contradicted if below. For rows that changed between two conditions this is McNemar's test (1947) with that interval.
The interval is Wilson's for independent rows, else clustered (`mematlas.stats.estimates.clustered`).
"""

from typing import Literal

import polars as pl

from mematlas.stats.estimates.clustered import ClusterSums, cluster_sums, clustered_shares, independent_sums

Verdict = Literal["shows", "contradicts", "cannot tell"]


def majority_verdict(rows_for: int, rows_against: int) -> Verdict:
    """Whether the majority of independent rows supports the direction; "cannot tell" without any such rows."""
    return _verdict(independent_sums(rows_for, rows_for + rows_against))


def clustered_majority_verdict(counts: pl.DataFrame, rows_for: str, rows_against: str) -> Verdict:
    """`majority_verdict` of the sums of two columns; with a column cluster, each record has those of one cluster."""
    supporting, opposing = counts[rows_for], counts[rows_against]
    if "cluster" not in counts.columns:
        return majority_verdict(int(supporting.sum()), int(opposing.sum()))
    return _verdict(cluster_sums(supporting.to_numpy(), (supporting + opposing).to_numpy()))


def _verdict(sums: ClusterSums) -> Verdict:
    share = clustered_shares(sums)
    return "shows" if share.lower[0] > 0.5 else "contradicts" if share.upper[0] < 0.5 else "cannot tell"


def combined_verdict(verdicts: list[Verdict]) -> Verdict:
    """The verdict on a direction that must hold in every group: shown if all show it, contradicted if one does."""
    if "contradicts" in verdicts:
        return "contradicts"
    return "shows" if verdicts and set(verdicts) == {"shows"} else "cannot tell"
