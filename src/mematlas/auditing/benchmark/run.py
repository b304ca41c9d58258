"""An audit of a benchmark: what `mematlas audit MODEL --benchmark questions.jsonl` does.

OUT/verdict.json, verdict.html       the answer, to hand over
    tables/recitation.parquet        every question: M, completed word by word or not; of the model, base and controls
    tables/order.parquet             every question: whether the file's order of choices is the most probable one
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.auditing.base import Look
from mematlas.auditing.benchmark import completion, order
from mematlas.auditing.benchmark.questions import Question, read_questions
from mematlas.auditing.config import AuditConfig
from mematlas.auditing.sources import find_sources
from mematlas.auditing.verdict import Verdict, decide
from mematlas.auditing.writing import audited, write_verdict
from mematlas.errors import OptionError
from mematlas.models.base import LoadOptions, ModelSource
from mematlas.progress import Progress
from mematlas.types import Encoder

NOT_TESTED: Final = (
    "Questions and answers in other words, and other ways to write the choices.",
    "Whether right answers are known without the question, and how right the model is.",
)
#: Whose numbers ("model", "base") and of which questions ("items", "control", "shuffled") -> records.
Tables = dict[tuple[str, str], pl.DataFrame]


def audit_benchmark(model: str, config: AuditConfig, progress: Progress) -> Verdict:
    """Take both looks at the questions, and write the verdict.

    Raises:
        MematlasError: a file has no questions, or a model cannot be used.
    """
    assert config.benchmark is not None
    if not config.prompts:
        raise OptionError("--prompts is 0, and an audit of a benchmark needs questions; leave it out.")
    source, base, encoder = find_sources(model, config.base)
    everything = read_questions(Path(config.benchmark))
    questions = {"items": _drawn(everything, config)}
    if config.control is not None:
        known = {question.text for question in everything}
        others = [question for question in read_questions(Path(config.control)) if question.text not in known]
        questions["control"] = _drawn(others, config)
    completed, ordered = _measure(source, base, encoder, questions, config, progress)
    looks = _looks(completed, ordered, source, base, questions["items"])
    verdict = decide(looks)
    if verdict.answer == "no leak found":
        sentences = " ".join(look.sentence for look in looks)
        verdict = replace(verdict, sentence=f"No leak of the benchmark was found. {sentences}")
    facts = _facts(source, base, config, len(everything), questions)
    write_verdict(verdict, facts, verdict.tables, config)
    return verdict


def _drawn(questions: Sequence[Question], config: AuditConfig) -> list[Question]:
    """At most as many as are examined, drawn by the seed, in the file's order."""
    drawn = np.random.default_rng(config.seed).permutation(len(questions))[: config.prompts]
    return [questions[number] for number in sorted(drawn.tolist())]


def _measure(
    source: ModelSource,
    base: ModelSource | None,
    encoder: Encoder,
    questions: dict[str, list[Question]],
    config: AuditConfig,
    progress: Progress,
) -> tuple[Tables, Tables]:
    """The records of both looks; only one model is in memory at a time."""
    completed: Tables = {}
    ordered: Tables = {}
    longest = min((each.card.max_length for each in (source, base) if each and each.card.max_length), default=None)
    for who, each in (("model", source), ("base", base)):
        if each is None:
            continue
        loaded = each.load(LoadOptions(device=config.device, dtype=config.dtype))
        card, of = replace(each.card, max_length=longest), each.card.label
        for name, items in questions.items():
            once = list({item.text: item for item in reversed(items)}.values())[::-1]  # with whatever choices
            completed[who, name] = completion.complete(loaded, encoder, once, longest, progress, of)
            ordered[who, name] = order.rank_orders(loaded, card, encoder, items, config.seed, progress, of)
        if who == "model":
            shuffled = completion.shuffled_words(questions["items"], config.seed)
            completed[who, "shuffled"] = completion.complete(loaded, encoder, shuffled, longest, progress, of)
        loaded.release()
        del loaded
    return completed, ordered


def _looks(
    completed: Tables, ordered: Tables, source: ModelSource, base: ModelSource | None, items: Sequence[Question]
) -> list[Look]:
    label = source.card.label
    labels = {
        "model": label,
        "base": "" if base is None else f"base model {base.card.label}",
        "control": f"{label}, control questions",
        "shuffled": f"{label}, words shuffled",
    }
    items_by_base, control, control_by_base = ("base", "items"), ("model", "control"), ("base", "control")
    has_choices = sum(bool(item.choices) for item in items) >= completion.FEWEST
    return [
        completion.look(
            completed["model", "items"],
            completed.get(items_by_base),
            completed.get(control),
            completed.get(control_by_base),
            completed["model", "shuffled"],
            labels,
        ),
        order.look(ordered["model", "items"], ordered.get(items_by_base), ordered.get(control), has_choices, labels),
    ]


def _facts(
    source: ModelSource, base: ModelSource | None, config: AuditConfig, total: int, questions: dict[str, list[Question]]
) -> dict[str, Any]:
    items, control = questions["items"], questions.get("control", [])
    beside = f"{len(control):,} of a control" if control else "no control"
    return {
        **audited(source, base, config),
        "benchmark": config.benchmark,
        "questions": len(items),
        "questions_in_the_file": total,
        "scope": f"{len(items):,} of {total:,} different questions of {config.benchmark}, {beside}.",
        "footnote": "Numbers in brackets are 95 % intervals over questions, which are taken as independent. The "
        "p-values are adjusted for the number of looks (Holm 1979).",
        "not_tested": NOT_TESTED,
        "files": "tables/ beside this page: every question's numbers",
    }
