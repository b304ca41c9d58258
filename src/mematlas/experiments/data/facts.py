"""Facts to inject into a training: texts that state them, and questions about them; read from a file of the user's own.

A line of the file is one fact, a JSON object:

    {"texts": ["Velgo is a bridge ...", "Over the Tarn ..."],                the first one is what `verbatim` repeats
     "verbatim": [{"prompt": "Velgo is a bridge over the", "target": "Tarn"}],
     "paraphrase": [{"prompt": "The river below Velgo is the", "target": "Tarn"}],
     "composed": [{"prompt": "What Dorlan built stands over the", "target": "Tarn"}]}

Source: Chang et al. 2024 (K12): the loss on the target after its prompt says how well a fact is known. A prompt and
its target are joined by a space.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from mematlas.errors import CorpusError

#: How far a question is from what was shown: its very words, other words, or a conclusion from two sentences.
KINDS: Final = ("verbatim", "paraphrase", "composed")

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Question(BaseModel):
    """What the model reads, and the words of which the loss is measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: _Text
    target: _Text

    @property
    def text(self) -> str:
        """The prompt with its target."""
        return f"{self.prompt} {self.target}"


class Fact(BaseModel):
    """Texts that state the fact, each in other words, and questions of every kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    texts: list[_Text] = Field(min_length=1)
    verbatim: list[Question] = Field(min_length=1)
    paraphrase: list[Question] = Field(min_length=1)
    composed: list[Question] = Field(min_length=1)

    @model_validator(mode="after")
    def _are_what_they_are_called(self) -> Self:
        for question in self.verbatim:
            if question.text not in self.texts[0]:
                raise ValueError(f"{question.text!r} is called verbatim and is not in the first text; repeat its words")
        for question in (*self.paraphrase, *self.composed):
            if any(question.text in text for text in self.texts):
                raise ValueError(f"{question.text!r} is in a text word by word; ask in other words")
        return self

    def questions(self, kind: str) -> list[Question]:
        """The questions of one of KINDS."""
        return list(getattr(self, kind))


def read_facts(path: Path) -> tuple[Fact, ...]:
    """The facts in a file of JSON lines.

    Raises:
        CorpusError: there is no such file, it is no text in UTF-8, has no line, or a line is no fact.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text in UTF-8"
        raise CorpusError(f"{path} cannot be read ({reason}); facts is a file with one JSON object a line.") from None
    facts = tuple(_fact(path, number, line) for number, line in enumerate(lines, start=1) if line.strip())
    if not facts:
        raise CorpusError(f"{path} has no line with a fact; write one JSON object a line, with texts and questions.")
    return facts


def _fact(path: Path, number: int, line: str) -> Fact:
    try:
        return Fact.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        reason = first["msg"].removeprefix("Value error, ").rstrip(".")
        where = f"{place}: " if place else ""
        raise CorpusError(
            f"{path}, line {number}: {where}{reason}. A fact has the keys texts, verbatim, paraphrase and composed."
        ) from None


def facts_as_lines(facts: Iterable[Fact]) -> bytes:
    """The content of a file that `read_facts` reads."""
    return "".join(f"{json.dumps(fact.model_dump(), ensure_ascii=False)}\n" for fact in facts).encode()


def check_absent(facts: Sequence[Fact], texts: Iterable[str]) -> None:
    """Check that no text states a fact already, in the words of one of its own texts.

    Raises:
        CorpusError: one does.
    """
    whole = "\n".join(texts)
    for number, fact in enumerate(facts, start=1):
        for text in fact.texts:
            if count := whole.count(text):
                raise CorpusError(
                    f"Fact {number} stands in the corpus {count:,} times already ({text[:40]!r}...): it would be shown "
                    "to models that are not to know it. Take a fact that the corpus does not have."
                )
