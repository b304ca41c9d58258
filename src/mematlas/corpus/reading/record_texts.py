"""What of a record is text, and where its answer begins: chats, prompts with completions, instructions, questions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mematlas.corpus.base import CorpusOptions
from mematlas.corpus.reading.chats import answers, read_messages, rendered
from mematlas.corpus.reading.columns import (
    INPUT_COLUMN,
    INSTRUCTION_COLUMNS,
    QUESTION_COLUMNS,
    joined_names,
)
from mematlas.errors import CorpusError
from mematlas.types import ChatTemplate

#: Prompts of Stanford Alpaca (github.com/tatsu-lab/stanford_alpaca, train.py), with and without an input.
_ALPACA_WITH_INPUT: Final = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)
_ALPACA: Final = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:"
)


@dataclass(frozen=True, slots=True)
class AnsweredText:
    """A text. answer: number of characters before its answer, None if none is asked for."""

    text: str
    answer: int | None = None


class RecordTexts:
    """Reads the texts of records.

    Args:
        columns: of which the text consists, as `pick_values` chose them; named: whether the user named them.
        is_chat: whether they have lists of messages.

    Raises:
        CorpusError: chats for a tokenizer without a chat template.
    """

    def __init__(self, columns: tuple[str, ...], options: CorpusOptions, where: object, *, is_chat: bool) -> None:
        self._columns, self._options = columns, options
        self._chat = _template(columns, options, where) if is_chat else None
        is_known = options.column is None
        self._is_alpaca = is_known and {*columns} - {INPUT_COLUMN} == {*INSTRUCTION_COLUMNS}
        self._is_question = is_known and columns == QUESTION_COLUMNS
        #: Whether rows are answers, instead of whole texts.
        self.answers = wants_answers(options, is_chat or len(columns) > 1)
        self.without_answer = 0

    @property
    def choices(self) -> dict[str, object]:
        """What decides, besides the columns, how records become texts."""
        joined = {"joined": "alpaca"} if self._is_alpaca else {"joined": "question"} if self._is_question else {}
        return {**joined, **({"template": self._chat.fingerprint} if self._chat else {})}

    @property
    def details(self) -> dict[str, object]:
        """What is recorded of the choices, and, after the texts were read, of records without an answer."""
        recorded: dict[str, object] = {"without_answer": self.without_answer} if self.without_answer else {}
        reading = self._reading()
        return {**recorded, **({} if reading is None else {"reading": reading})}

    def __call__(self, where: str, record: Mapping[str, Any]) -> Iterator[AnsweredText]:
        """Yield the texts of a record, whose values are text but for chats."""
        if self._chat is not None:
            yield from self._of_chat(where, record, self._chat)
            return
        prompt = self._prompt(record)
        space = " " if self._is_question else ""  # belongs to the answer's first token
        yield AnsweredText(f"{prompt}{space}{record[self._columns[-1]]}", len(prompt) if self.answers else None)

    def _prompt(self, record: Mapping[str, Any]) -> str:
        if self._is_alpaca:
            given = record.get(INPUT_COLUMN) or ""  # also where the first record has none
            template = _ALPACA_WITH_INPUT if given else _ALPACA
            return template.format(instruction=record[INSTRUCTION_COLUMNS[0]], input=given)
        if self._is_question:
            return f"Question: {record[QUESTION_COLUMNS[0]]}\nAnswer:"
        return "".join(record[name] for name in self._columns[:-1])

    def _of_chat(self, where: str, record: Mapping[str, Any], template: ChatTemplate) -> Iterator[AnsweredText]:
        parts = [read_messages(where, name, record[name]) for name in self._columns]
        messages = [message for part in parts for message in part]
        if not self.answers:
            yield AnsweredText(rendered(where, messages, template))
            return
        first = 0 if len(parts) == 1 else len(messages) - len(parts[-1])  # of the completion
        number = 0
        for text, start in answers(where, messages, template, first):
            yield AnsweredText(text, start)
            number += 1
        self.without_answer += number == 0

    def _reading(self) -> str | None:
        """A sentence for the user; None where a single column of text is read as it is."""
        names = joined_names([repr(name) for name in self._columns])
        if self._chat is not None:
            encoder = self._options.encoder
            how = f"{names}, written by the chat template of {encoder.name if encoder else 'the tokenizer'}"
        elif len(self._columns) == 1:
            return None
        elif self._is_alpaca:
            how = f"{names}, joined by the prompt of Stanford Alpaca"
        elif self._is_question:
            how = f'{names}, joined as "Question: ... (new line) Answer: ..."'
        else:
            how = f"{names}, joined as they are"
        if not self.answers:
            return f"texts are {how}"
        context = self._options.context or 0
        length = (self._options.text_row_length or 0) - context
        return f"a row is an answer, its first {length:,} tokens after the {context:,} tokens before it, in {how}"


def wants_answers(options: CorpusOptions, has_answers: bool) -> bool:
    """Whether a corpus is to be cut into answers, where it has any."""
    is_asked = options.cut == "answers" or (options.cut == "auto" and options.row_length is None)
    return has_answers and is_asked and options.context is not None


def _template(columns: tuple[str, ...], options: CorpusOptions, where: object) -> ChatTemplate:
    names = joined_names(columns)
    encoder = options.encoder
    if encoder is None:
        raise CorpusError(
            f"{where} has chats in the column {names!r}, which become text only by a tokenizer's chat template; render "
            f"them into a text column: text = tokenizer.apply_chat_template({columns[0]}, tokenize=False)."
        )
    template = encoder.chat_template() if encoder.chat_template else None
    if template is None:
        raise CorpusError(
            f"{where} has chats in the column {names!r}, but the tokenizer of {encoder.name} has no chat template; put "
            "the one of the training beside its files (chat_template.jinja), or name a tokenizer with one: --tokenizer."
        )
    return template
