"""Puts items to a model: every template with every number of examples, and some again for invariance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from mematlas.probes.items.answering import ScoringModel, TextModel
from mematlas.probes.items.candidates import candidate_answers, rank_of_first
from mematlas.probes.items.parsing import AnswerParser
from mematlas.probes.items.task_file import Item
from mematlas.probes.items.templates import Template, prompt
from mematlas.probes.recall.answers import ANSWERS
from mematlas.probes.recall.config import RecallConfig

MADE_UP: Final = "made-up"
_EXTRA_TOKENS: Final = 3  # after the longest right answer, so that it is seen where a word ends
_MOST_TOKENS: Final = 64  # of an answer, where no tokenizer says how many are needed


@dataclass(frozen=True, slots=True)
class Asked:
    """An item with what is asked beside it. is_made_up: it has no right answer; other: an answer that does not exist;
    again: it is asked again for invariance."""

    item: Item
    is_made_up: bool = False
    other: str | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Questionnaire:
    """What every item is asked. examples: as many as the largest number of shots; outputs: distinct right answers."""

    templates: tuple[Template, ...]
    examples: tuple[Item, ...]
    outputs: tuple[str, ...]
    parser: AnswerParser
    config: RecallConfig

    @property
    def headline_shots(self) -> int:
        """The number of examples of which findings speak first: the largest."""
        return max(self.config.shots)

    def prompts_of_one(self, is_local: bool) -> int:
        """How many answers an item takes at most."""
        again = 0
        if "temperatures" in self.config.invariance:
            again += len(self.config.temperatures)
        if "repetitions" in self.config.invariance and not is_local:
            again += self.config.repetitions
        return len(self.templates) * len(self.config.shots) + again


def answer_length(model: TextModel, asked: Questionnaire) -> int:
    """Most tokens of an answer."""
    if asked.config.new_tokens is not None:
        return asked.config.new_tokens
    if isinstance(model, ScoringModel):
        gaps = {template.gap for template in asked.templates}
        longest = max(model.token_count(gap + output) for gap in gaps for output in asked.outputs)
        return longest + _EXTRA_TOKENS
    return min(_MOST_TOKENS, max(map(len, asked.outputs)) + _EXTRA_TOKENS + 1)


def ask_items(model: TextModel, questions: Sequence[Asked], asked: Questionnaire, new_tokens: int) -> pa.Table:
    """The answers to some items, as `ANSWERS`; they do not depend on the other items."""
    records: list[dict[str, Any]] = []
    for template in asked.templates:
        fitting = [question for question in questions if template.fits(question.item)]
        for shots in asked.config.shots:
            records += _answers(model, fitting, asked, template, shots, new_tokens)
    records += _again(model, [question for question in questions if question.again], asked, new_tokens)
    return pa.Table.from_pylist(records, schema=ANSWERS)


def _answers(
    model: TextModel, questions: Sequence[Asked], asked: Questionnaire, template: Template, shots: int, new_tokens: int
) -> list[dict[str, Any]]:
    """Greedy answers to one template, and what the model says of the right ones."""
    prompts = [prompt(template, asked.examples[:shots], question.item) for question in questions]
    written = model.complete(prompts, max_tokens=new_tokens) if prompts else []
    records = []
    for question, text, (answer,) in zip(questions, prompts, written, strict=True):
        record = _record(question, asked, template, shots, answer.text)
        if isinstance(model, ScoringModel) and not question.is_made_up:
            record |= _scores(model, text, question, asked, template)
        records.append(record)
    return records


def _again(model: TextModel, questions: Sequence[Asked], asked: Questionnaire, new_tokens: int) -> list[dict[str, Any]]:
    """More answers to the first template that fits, with most examples: at temperatures, and to the same prompt."""
    config, records = asked.config, []
    runs: list[tuple[str, float, int]] = []
    if "temperatures" in config.invariance:
        runs += [("temperatures", temperature, 1) for temperature in config.temperatures]
    if "repetitions" in config.invariance and not isinstance(model, ScoringModel):  # whose greedy answers are the same
        runs += [("repetitions", 0.0, config.repetitions)]
    for template, part in _by_first_template(questions, asked.templates):
        prompts = [prompt(template, asked.examples[: asked.headline_shots], question.item) for question in part]
        for axis, temperature, repeats in runs:
            written = model.complete(
                prompts, max_tokens=new_tokens, temperature=temperature, seed=config.seed, n=repeats
            )
            records += [
                _record(question, asked, template, asked.headline_shots, answer.text, axis, temperature, repeat)
                for question, answers in zip(part, written, strict=True)
                for repeat, answer in enumerate(answers)
            ]
    return records


def _by_first_template(questions: Sequence[Asked], templates: Sequence[Template]) -> list[tuple[Template, list[Asked]]]:
    """The items that have each template as the first one that fits."""
    parts: dict[str, list[Asked]] = {template.name: [] for template in templates}
    for question in questions:
        first = next(template for template in templates if template.fits(question.item))
        parts[first.name].append(question)
    return [(template, parts[template.name]) for template in templates if parts[template.name]]


def _record(
    question: Asked,
    asked: Questionnaire,
    template: Template,
    shots: int,
    text: str,
    axis: str = "recall",
    temperature: float = 0.0,
    repeat: int = 0,
) -> dict[str, Any]:
    answer = asked.parser.parse(text)
    return {
        "item": question.item.id,
        "split": MADE_UP if question.is_made_up else "items",
        "template": template.name,
        "language": template.language,
        "shots": shots,
        "axis": axis,
        "temperature": temperature,
        "repeat": repeat,
        "text": text,
        "answer": answer,
        "hit": None if question.is_made_up else asked.parser.is_right(answer, question.item.output),
    }


def _scores(
    model: ScoringModel, text: str, question: Asked, asked: Questionnaire, template: Template
) -> dict[str, Any]:
    """The chances of the right answer, of the candidates, and of one that does not exist."""
    candidates = candidate_answers(question.item, asked.outputs, asked.config.candidates, asked.config.seed)
    answers = [*candidates, *([] if question.other is None else [question.other])]
    scores = model.score(text, [template.gap + answer for answer in answers])
    several = len(candidates) > 1
    return {
        "is_greedy": scores.is_greedy[0],
        "logp": scores.log_probability[0],
        "logp_made_up": None if question.other is None else scores.log_probability[-1],
        "rank": rank_of_first(scores.log_probability[: len(candidates)]) if several else None,
        "candidates": len(candidates) if several else None,
        "tokens": scores.tokens.tolist(),
        "context": scores.context,
    }
