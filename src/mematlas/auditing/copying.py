"""Look: what does the model copy from training texts when it writes freely (the classes of P7)?

The beginning of a training text prompts the model and its base; the detector of P7 compares what they write with the
whole training file. Outputs for the beginnings of control texts say how much is copied without having been trained on:
set phrases of a trade are copied, too, so nothing is judged without a control. Copies count as one document.

Longer outputs copy more (P7's reviewers): beside the natural lengths, model and base are compared with both outputs of
a prompt cut to the shorter one.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from mematlas.auditing.base import Example, Look, Material, Measure, could_not_be_judged
from mematlas.auditing.control import without_trained
from mematlas.auditing.free_texts import choose_prompts, free_texts
from mematlas.matching.detector import LABELS, Detection
from mematlas.stats.estimates.averages import means
from mematlas.stats.estimates.intervals import wilson
from mematlas.stats.hypotheses.by_document import p_of_higher_in_members, p_of_positive_mean

TITLE: Final = "Copying in free text"
_FEWEST: Final = 8
_EXAMPLES: Final = 10
_CUT: Final = "verbatim, both outputs cut to the shorter"
_ATTENTION: Final = "spread of attention over the prompt, 0 to 1"


def look(material: Material) -> Look:
    """Classes of what the model and its base write after the beginnings of training and control texts."""
    if not material.config.prompts:
        return could_not_be_judged("copying", TITLE, "it was not asked for (--prompts 0).")
    problem = material.control_check.problem
    train = choose_prompts(material, material.documents)
    control = [] if problem else choose_prompts(material, material.control_documents)
    if len(train) < _FEWEST:
        return could_not_be_judged(
            "copying", TITLE, f"{len(train)} distinct texts are longer than their prompt, and {_FEWEST} are needed."
        )
    table, found = free_texts(material, train, control)
    of_train = table.filter("member")
    flagged = of_train.filter(pl.col("class") == "verbatim").height
    p = _p_value(table) if control else None
    if control and p is None:
        problem = f"fewer than {_FEWEST} documents of either side are no copies of others."
    return Look(
        "copying",
        TITLE,
        f"After the first tokens of {len(train):,} training texts the model copies 50 or more characters in "
        f"{flagged:,}.",
        p,
        "recites" if flagged else "membership",
        reason="" if p is not None else f"set phrases are copied, too, and no control says how many: {problem}",
        measures=_measures(material, table),
        examples=_examples(material, of_train, found),
        share=flagged / of_train.height,
        table=table,
    )


def _p_value(table: pl.DataFrame) -> float | None:
    """Whether verbatim copies are more than after control texts, and more than the base's; the larger p."""
    table = without_trained(table)
    copies, member = (table["class"] == "verbatim").to_numpy().astype(float), table["member"].to_numpy()
    documents = [table.filter(pl.col("member") == side)["cluster"].n_unique() for side in (True, False)]
    if min(documents) < _FEWEST:
        return None
    p_values = [p_of_higher_in_members(copies, member, table["cluster"])]
    if table["class_of_base"].null_count() < table.height:
        of_base = (table["class_of_base"] == "verbatim").fill_null(value=False).to_numpy().astype(float)
        p_values.append(p_of_positive_mean((copies - of_base)[member], table["cluster"].to_numpy()[member]))
    return max(p_values)


def _measures(material: Material, table: pl.DataFrame) -> tuple[Measure, ...]:
    train, control = table.filter("member"), table.filter(~pl.col("member"))
    model, base = material.model_label, f"base model {material.base_label}"
    parts = [(train, "class", model), (train, "class_of_base", base), (control, "class", f"{model}, control prompts")]
    measures = [_share(label, label, *part) for label in LABELS[:-1] for part in parts]
    cut = [_share("verbatim", _CUT, train, f"{column}_cut", of) for _, column, of in parts[:2]]
    kept = (measure for measure in measures if measure.name == "verbatim" or measure.value)
    return tuple(measure for measure in (*kept, *cut, *_attention(train)) if measure.n)


def _share(label: str, name: str, frame: pl.DataFrame, column: str, of: str) -> Measure:
    """How often the detector gave `label`, among outputs that were compared."""
    classes = frame[column].drop_nulls()
    if classes.is_empty():
        return Measure(name, of, None, n=0)
    share = wilson(int((classes == label).sum()), len(classes))
    return Measure(name, of, share.estimate, share.lower, share.upper, len(classes), "prompts")


def _attention(train: pl.DataFrame) -> list[Measure]:
    """Mean entropy of attention while the model copies and while it does not (P7)."""
    known, measures = train.drop_nulls("attention_entropy"), []
    for of, copies in (("outputs that copy", True), ("other outputs", False)):
        values = known.filter((pl.col("class") == "verbatim") == copies)["attention_entropy"].to_numpy()
        if len(values):
            mean = means(values[:, None])
            lower, upper = (None if np.isnan(end[0]) else float(end[0]) for end in (mean.lower, mean.upper))
            value = float(values.mean())
            measures.append(Measure(_ATTENTION, of, value, lower, upper, len(values), "prompts", share=False))
    return measures


def _examples(material: Material, of_train: pl.DataFrame, found: Sequence[Detection]) -> tuple[Example, ...]:
    """The outputs with the longest copies, with the copied characters marked."""
    order = sorted(range(of_train.height), key=lambda number: -found[number].copied_characters)
    examples = []
    for number in order[:_EXAMPLES]:
        detection = found[number]
        if not detection.copied_characters or detection.document is None:
            break
        record = of_train.row(number, named=True)
        spans = tuple(match.suspicious for match in detection.matches if match.kind == "verbatim")
        name = material.documents[detection.document][0]
        note = f"{detection.copied_characters:,} characters copied from {name}"
        examples.append(Example(name, record["prompt"], record["output"], tuple((a, b) for a, b in spans), note))
    return tuple(examples)
