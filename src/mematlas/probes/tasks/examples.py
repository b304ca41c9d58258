"""The examples of a task: input, output, the prompt before the output, and pairs of n-grams that the user gives.

    input,output,prompt
    the capital of France,Paris,"Question: what is the capital of France?\\nAnswer: "

Without a column `prompt`, prompts are made from a template with {input} and {output}.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mematlas.corpus.records import Record, read_table
from mematlas.errors import CorpusError, OptionError
from mematlas.probes.items.task_file import Item, ItemColumns, read_items
from mematlas.probes.items.templates import Template, parse_template

_COLUMN: Final = "prompt"


@dataclass(frozen=True, slots=True)
class GivenPair:
    """Two texts of an example with a similarity of the user's own: one of its input, one of its output."""

    first: str
    second: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Example:
    """An item as it is asked. before: the prompt, without blanks at its end; gap: these blanks; given: its pairs."""

    item: Item
    before: str
    gap: str
    given: tuple[GivenPair, ...] = ()

    @property
    def text(self) -> str:
        """Prompt and right output."""
        return self.before + self.gap + self.item.output

    @property
    def start(self) -> int:
        """The character at which the output begins."""
        return len(self.before) + len(self.gap)


def read_examples(
    path: Path, columns: ItemColumns, template: str | None, pairs: str | None, format: str | None = None
) -> tuple[Example, ...]:
    """The examples of a task file, in its order.

    Args:
        template: for files without the column `prompt`; pairs: name of the column with pairs, None without one.

    Raises:
        CorpusError: the file cannot be read, or lacks a column.
        OptionError: there is neither a column `prompt` nor a template, or both.
    """
    items = read_items(path, columns, format)
    records = list(read_table(path, format))
    has_prompts = any(record.get(_COLUMN) not in (None, "") for _, record in records)
    if has_prompts == (template is not None):
        raise OptionError(
            f"--template is for task files without prompts, and {path} has a column prompt; leave one of them out."
            if has_prompts
            else f"{path} has no column prompt; give --template 'Question: {{input}} Answer: {{output}}', or add it."
        )
    made = None if template is None else Template("template", parse_template(template))
    return tuple(
        _example(item, where, record, made, pairs) for item, (where, record) in zip(items, records, strict=True)
    )


def _example(item: Item, where: str, record: Record, template: Template | None, pairs: str | None) -> Example:
    given = () if pairs is None else _pairs(where, record, pairs)
    if template is not None:
        return Example(item, template.before(item), template.gap, given)
    prompt = record.get(_COLUMN)
    if not isinstance(prompt, str) or not prompt.strip():
        raise CorpusError(f"{where} has no text in the column prompt ({prompt!r}); fill it, as in the other records.")
    return Example(item, prompt.rstrip(), prompt[len(prompt.rstrip()) :] or " ", given)


def _pairs(where: str, record: Record, name: str) -> tuple[GivenPair, ...]:
    """The pairs of a record: a list of [text of the input, text of the output, similarity], as JSON in CSV files."""
    value: Any = record.get(name)
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
        if not isinstance(parsed, Sequence):
            raise TypeError
        return tuple(GivenPair(str(first), str(second), float(number)) for first, second, number in parsed)
    except (TypeError, ValueError):
        raise CorpusError(
            f"{where}: the column {name!r} has no pairs ({str(value)[:60]!r}); write a list of lists, "
            '[["text of the input", "text of the output", 0.8]].'
        ) from None
