"""Look: can the training rows be told from rows of a control by how well the model predicts them?

The score is the mean log-probability of a row, minus that of the base model if there is one. It is of use only if the
control is text of the same kind: a bag of words that never saw the model must not tell the two apart.
"""

from dataclasses import replace
from typing import Final

import polars as pl

from mematlas.analyses.extraction.membership.row_scores import membership_rows
from mematlas.auditing.base import Look, Material, Measure, could_not_be_judged
from mematlas.stats.classification.discrimination import MetricEstimate, roc_auc
from mematlas.stats.hypotheses.by_document import p_of_higher_in_members

TITLE: Final = "Membership"
_FEWEST_DOCUMENTS: Final = 8
_BLIND_LIMIT: Final = 0.55  # our choice, as in the analysis of membership


def look(material: Material) -> Look:
    """Compare the loss of training rows and of control rows, by documents."""
    if not material.control_documents:
        return could_not_be_judged("membership", TITLE, "there is no control (--control held-out.jsonl).")
    rows = membership_rows(material.study).filter(model=material.model_label)
    score = "loss" if material.base is None else "reference"
    shared = rows.filter("member")["cluster"].unique().implode()
    rows = rows.filter(pl.col("member") | ~pl.col("cluster").is_in(shared)).drop_nulls(score)
    documents = rows.group_by("member").agg(pl.col("cluster").n_unique()).sort("member")["cluster"].to_list()
    if len(documents) < 2 or min(documents) < _FEWEST_DOCUMENTS:
        return could_not_be_judged(
            "membership", TITLE, f"{_FEWEST_DOCUMENTS} independent documents are needed of training file and control."
        )
    blind = _blind(rows)
    auroc = roc_auc(rows[score].to_numpy(), rows["member"].to_numpy(), rows["cluster"].to_numpy())
    measures = (
        _measure(f"loss of {material.model_label}", auroc, sum(documents)),
        *([] if blind is None else [_measure("a bag of words, no model", blind, sum(documents))]),
    )
    if blind is not None and blind.lower is not None and blind.lower > _BLIND_LIMIT:
        reason = (
            f"words alone tell the control from the training file (AUROC {blind.estimate:.2f}); take a control of the "
            "same kind, best held out at random."
        )
        return replace(could_not_be_judged("membership", TITLE, reason), measures=measures, table=rows)
    p = p_of_higher_in_members(rows[score].to_numpy(), rows["member"].to_numpy(), rows["cluster"].to_numpy())
    return Look(
        "membership",
        TITLE,
        f"The loss tells training rows from control rows with an AUROC of {auroc.estimate:.2f} (chance: .50).",
        p,
        "membership",
        measures=measures,
        caveats=() if blind is not None else ("Whether words alone tell the control apart could not be checked.",),
        table=rows,
    )


def _blind(rows: pl.DataFrame) -> MetricEstimate | None:
    known = rows.drop_nulls("blind")
    if known["member"].n_unique() < 2:
        return None
    return roc_auc(known["blind"].to_numpy(), known["member"].to_numpy(), known["cluster"].to_numpy())


def _measure(of: str, metric: MetricEstimate, documents: int) -> Measure:
    return Measure("AUROC", of, metric.estimate, metric.lower, metric.upper, documents, share=False)
