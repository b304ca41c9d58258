"""Whether the control can be compared with: enough documents, none trained on, and text of the same kind."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from mematlas.stats.classification.discrimination import MetricEstimate, roc_auc

FEWEST_DOCUMENTS: Final = 8
"""Independent documents that a comparison needs (our choice: below, no permutation reaches p = .01)."""
_BLIND_LIMIT: Final = 0.55  # our choice, as in the analysis of membership


@dataclass(frozen=True, slots=True)
class ControlCheck:
    """documents: independent ones of the training file and of the control; blind: how well a bag of words, without any
    model, tells the two apart, None if it could not be fitted; problem: why they cannot be compared, "" if they can."""

    documents: tuple[int, int]
    blind: MetricEstimate | None
    problem: str


def without_trained(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` (cluster, member, ...) without control rows of documents that training rows belong to, too."""
    trained = rows.filter("member")["cluster"].unique().implode()
    return rows.filter(pl.col("member") | ~pl.col("cluster").is_in(trained))


def check_control(rows: pl.DataFrame) -> ControlCheck:
    """Check the control rows among `rows` (cluster, member, blind) of one model."""
    rows = without_trained(rows)
    train, control = (rows.filter(pl.col("member") == side)["cluster"].n_unique() for side in (True, False))
    if not control:
        return ControlCheck((train, control), None, "there is no control (--control held-out.jsonl).")
    if min(train, control) < FEWEST_DOCUMENTS:
        problem = (
            f"of {train:,} training and {control:,} control documents that are independent, {FEWEST_DOCUMENTS} of each "
            "are needed; texts of which half stands in another count as one with it."
        )
        return ControlCheck((train, control), None, problem)
    blind = _blind(rows)
    if blind is not None and blind.lower is not None and blind.lower > _BLIND_LIMIT:
        problem = (
            f"words alone tell the control from the training file (AUROC {blind.estimate:.2f}); take a control of the "
            "same kind, best held out at random."
        )
        return ControlCheck((train, control), blind, problem)
    return ControlCheck((train, control), blind, "")


def _blind(rows: pl.DataFrame) -> MetricEstimate | None:
    known = rows.drop_nulls("blind")
    if known["member"].n_unique() < 2:
        return None
    return roc_auc(known["blind"].to_numpy(), known["member"].to_numpy(), known["cluster"].to_numpy())
