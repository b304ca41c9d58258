"""The questions of a benchmark from JSON Lines, in the usual layouts.

    {"question": "...", "choices": ["...", "..."], "answer": 2}                             MMLU
    {"question": "...", "choices": {"text": [...], "label": [...]}, "answerKey": "B"}       ARC
    {"question": {"stem": "...", "choices": [{"text": "...", "label": "A"}]}}               ARC, older
    {"question": "...", "choices": {"A": "...", "B": "..."}, "answer": "A"}
    {"question": "...", "answer": "..."}                                                    GSM8K

Answers are not needed: neither of the questions of the audit is about them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mematlas.corpus.reading.choices import choice_texts
from mematlas.errors import CorpusError


@dataclass(frozen=True, slots=True)
class Question:
    """line: of the file, from 1; choices: in the file's order, none if it is answered freely."""

    line: int
    text: str
    choices: tuple[str, ...] = ()


def read_questions(path: Path) -> list[Question]:
    """The questions of a file; those that stand in it several times once.

    Raises:
        CorpusError: the file cannot be read, or a line is no question of a known layout.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} cannot be read ({error}); --benchmark names a file of JSON Lines.") from None
    found: dict[tuple[str, tuple[str, ...]], Question] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            question = _question(path, number, line)
            found.setdefault((question.text, question.choices), question)
    if not found:
        raise CorpusError(f"{path} has no question; write one JSON object a line, with a field question.")
    return list(found.values())


def _question(path: Path, number: int, line: str) -> Question:
    try:
        record = json.loads(line)
    except ValueError:
        raise CorpusError(f"Line {number} of {path} is not JSON; --benchmark needs one object a line.") from None
    fields: dict[str, Any] = record if isinstance(record, dict) else {}
    question, choices = fields.get("question"), fields.get("choices")
    if isinstance(question, dict):
        choices = question.get("choices", choices)
        question = question.get("stem")
    if not isinstance(question, str) or not question.strip():
        raise CorpusError(f"Line {number} of {path} has no text in its field question; name it so.")
    texts = choice_texts(choices)
    if texts is None:
        raise CorpusError(
            f"Line {number} of {path} has choices of an unknown form; give a list of texts, or texts by their labels."
        )
    return Question(number, question.strip(), texts)
