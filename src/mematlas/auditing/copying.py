"""Look: what does the model copy from training texts when it writes freely (the classes of P7)?

The beginning of a training text prompts the model and its base; the detector of P7 compares what they write with the
whole training file. Outputs for the beginnings of control texts say how much is copied without having been trained on:
set phrases of a trade are copied, too, so nothing is judged without a control. Documents that share 13 tokens count as
one.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from mematlas.auditing.base import Document, Example, Look, Material, Measure, could_not_be_judged
from mematlas.auditing.control import without_trained
from mematlas.matching.detector import LABELS, Detection, Detector
from mematlas.models.base import ModelSource
from mematlas.scoring.engines.prompting import greedy_continuations
from mematlas.stats.estimates.intervals import wilson
from mematlas.stats.hypotheses.by_document import p_of_higher_in_members, p_of_positive_mean
from mematlas.study.clusters import join_copies
from mematlas.types import Ids

TITLE: Final = "Copying in free text"
PROMPT_TOKENS: Final = 50  # P7
_FEWEST: Final = 8
_EXAMPLES: Final = 10


def look(material: Material) -> Look:
    """Classes of what the model and its base write after the beginnings of training and control texts."""
    if not material.config.prompts:
        return could_not_be_judged("copying", TITLE, "it was not asked for (--prompts 0).")
    problem = material.control_check.problem
    train = _prompts(material, material.documents)
    control = [] if problem else _prompts(material, material.control_documents)
    if len(train) < _FEWEST:
        return could_not_be_judged(
            "copying", TITLE, f"{len(train)} distinct texts are longer than their prompt, and {_FEWEST} are needed."
        )
    detector = Detector([text for _, text in material.documents])
    outputs = {}
    if material.base is not None:  # first, as it is still loaded from the look before
        outputs["base"] = _write(material, material.base, train)
    outputs["model"] = _write(material, material.model, [*train, *control])
    prompts = [material.decode([prompt.tolist()])[0] for _, prompt in (*train, *control)]
    found = {
        of: [detector.detect(text, prompt) for text, prompt in zip(texts, prompts, strict=False)]
        for of, texts in outputs.items()
    }
    table = _table(material, train, control, prompts, outputs, found)
    of_train = table.filter("member")
    flagged = of_train.filter(pl.col("class") == "verbatim").height
    p = _p_value(table) if control else None
    if control and p is None:
        problem = f"fewer than {_FEWEST} documents of either side share no 13 tokens with others."
    return Look(
        "copying",
        TITLE,
        f"After the first tokens of {len(train):,} training texts the model copies 50 or more characters in "
        f"{flagged:,}.",
        p,
        "recites" if flagged else "membership",
        reason="" if p is not None else f"set phrases are copied, too, and no control says how many: {problem}",
        measures=_measures(material, table),
        examples=_examples(material, of_train, found["model"]),
        share=flagged / of_train.height,
        table=table,
    )


def _prompts(material: Material, documents: Sequence[Document]) -> list[tuple[int, Ids]]:
    """Distinct beginnings of at most PROMPT_TOKENS tokens, of documents with at least half as many after them."""
    half = PROMPT_TOKENS // 2
    drawn = np.random.default_rng(material.config.seed).permutation(len(documents))
    chosen: dict[tuple[int, ...], int] = {}
    for number in drawn.tolist():
        if len(chosen) == material.config.prompts:
            break
        ids = material.encoder.encode([documents[number][1]])[0]
        length = min(PROMPT_TOKENS, len(ids) - half)
        if length >= half:
            chosen.setdefault(tuple(ids[:length]), number)
    return [(number, np.array(prompt, np.int64)) for prompt, number in chosen.items()]


def _write(material: Material, source: ModelSource, prompts: Sequence[tuple[int, Ids]]) -> list[str]:
    card = source.card
    room = material.config.new_tokens if card.max_length is None else card.max_length - PROMPT_TOKENS
    new_tokens = max(1, min(material.config.new_tokens, room))
    written = greedy_continuations(material.load(source), [prompt for _, prompt in prompts], new_tokens, card.eos)
    return material.decode([ids.tolist() for ids in written])


def _table(
    material: Material,
    train: Sequence[tuple[int, Ids]],
    control: Sequence[tuple[int, Ids]],
    prompts: Sequence[str],
    outputs: dict[str, list[str]],
    found: dict[str, list[Detection]],
) -> pl.DataFrame:
    """One record a prompt: document, member, cluster, prompt, output, class, source, class_of_base."""
    of_base = [detection.label for detection in found.get("base", [])]
    texts = [material.documents[number][1] for number, _ in train]
    texts += [material.control_documents[number][1] for number, _ in control]
    tokens = pl.Series(material.encoder.encode(texts), dtype=pl.List(pl.Int64))
    return pl.DataFrame(
        {
            "document": [number for number, _ in (*train, *control)],
            "member": [True] * len(train) + [False] * len(control),
            "cluster": join_copies(np.arange(len(texts)), tokens),
            "prompt": prompts,
            "output": outputs["model"],
            "class": [detection.label for detection in found["model"]],
            "source": [detection.document for detection in found["model"]],
            "class_of_base": of_base + [None] * (len(prompts) - len(of_base)),
        },
        schema_overrides={"class_of_base": pl.String, "source": pl.Int64},
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
    parts = [(table.filter("member")["class"], material.model_label)]
    if material.base is not None:
        parts.append((table.filter("member")["class_of_base"], f"base model {material.base_label}"))
    if not table["member"].all():
        parts.append((table.filter(~pl.col("member"))["class"], f"{material.model_label}, control prompts"))
    measures = []
    for label in LABELS[:-1]:
        for classes, of in parts:
            share = wilson(int((classes == label).sum()), len(classes))
            measures.append(Measure(label, of, share.estimate, share.lower, share.upper, len(classes), "prompts"))
    return tuple(measure for measure in measures if measure.name == "verbatim" or measure.value)


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
