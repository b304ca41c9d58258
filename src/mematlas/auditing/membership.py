"""Look: can the training rows be told from rows of a control by how well the model predicts them?

The score is the mean log-probability of a row, minus that of the base model if there is one. It is of use only if the
control is text of the same kind: a bag of words that never saw the model must not tell the two apart.
"""

from dataclasses import replace
from typing import Final

from mematlas.auditing.base import Look, Material, Measure, could_not_be_judged
from mematlas.auditing.control import without_trained
from mematlas.stats.classification.discrimination import MetricEstimate, roc_auc
from mematlas.stats.hypotheses.by_document import p_of_higher_in_members

TITLE: Final = "Membership"
_UNCHECKED: Final = "Whether words alone tell the control apart could not be checked."


def look(material: Material) -> Look:
    """Compare the loss of training rows and of control rows, by documents."""
    check = material.control_check
    if check.problem and check.blind is None:
        return could_not_be_judged("membership", TITLE, check.problem)
    score = "loss" if material.base is None else "reference"
    rows = without_trained(material.rows).drop_nulls(score)
    values, member, clusters = (rows[name].to_numpy() for name in (score, "member", "cluster"))
    auroc, documents = roc_auc(values, member, clusters), sum(check.documents)
    measures = [_measure(f"loss of {material.model_label}", auroc, documents)]
    if check.blind is not None:
        measures.append(_measure("a bag of words, no model", check.blind, documents))
    if check.problem:
        return replace(could_not_be_judged("membership", TITLE, check.problem), measures=tuple(measures), table=rows)
    return Look(
        "membership",
        TITLE,
        f"The loss tells training rows from control rows with an AUROC of {auroc.estimate:.2f} (chance: .50).",
        p_of_higher_in_members(values, member, clusters),
        "membership",
        measures=tuple(measures),
        caveats=()
        if check.blind is not None
        else ("Whether words alone tell the control apart could not be checked.",),
        table=rows,
    )


def _measure(of: str, metric: MetricEstimate, documents: int) -> Measure:
    return Measure("AUROC", of, metric.estimate, metric.lower, metric.upper, documents, share=False)
