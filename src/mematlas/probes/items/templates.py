"""Templates of prompts, and prompts made from them: solved examples first, then the question up to its answer.

A template is one line with both slots, such as "The ISO code of {input} is {output}." What follows the answer in it,
here the full stop, belongs to the examples, and ends answers of several words.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from mematlas.corpus.records import read_table
from mematlas.errors import CorpusError, OptionError, did_you_mean
from mematlas.probes.items.task_file import Item

_SLOT: Final = re.compile(r"\{(\w*)\}")
SLOTS: Final = ("input", "output")


@dataclass(frozen=True, slots=True)
class Template:
    """A template. name: of it in tables; language: of its words, None if it is not said."""

    name: str
    text: str
    language: str | None = None

    def before(self, item: Item) -> str:
        """The question, up to where its answer begins, without blanks there."""
        return self._head.rstrip().replace("{input}", item.input)

    @property
    def gap(self) -> str:
        """The blanks between question and answer."""
        return self._head[len(self._head.rstrip()) :]

    @property
    def end(self) -> str:
        """What follows the answer, without blanks around it."""
        return self.text.partition("{output}")[2].strip()

    def solved(self, item: Item) -> str:
        """The question with its answer, as an example."""
        head, _, tail = self.text.partition("{output}")
        return head.replace("{input}", item.input) + item.output + tail

    def fits(self, item: Item) -> bool:
        """Whether the item is asked with it: neither has a language, or both have the same."""
        return item.language is None or self.language is None or item.language == self.language

    @property
    def _head(self) -> str:
        return self.text.partition("{output}")[0]


def parse_template(text: str, where: str = "--template") -> str:
    """Check a template's slots; returns it without line ends around it.

    Raises:
        OptionError: a slot is missing, unknown, occurs twice, or the answer comes before the question.
    """
    text = text.strip("\r\n")
    names = _SLOT.findall(text)
    for name in names:
        if name not in SLOTS:
            raise OptionError(
                f"{where} {text!r} has the slot {{{name}}}, which is unknown.{did_you_mean(name, SLOTS)} The slots are "
                "{input} and {output}."
            )
    for slot in SLOTS:
        if names.count(slot) != 1:
            state = "lacks the slot" if slot not in names else "has more than once the slot"
            raise OptionError(
                f"{where} {text!r} {state} {{{slot}}}; write each once: 'The code of {{input}} is {{output}}.'"
            )
    if names != list(SLOTS) or "\n" in text or not text.partition("{output}")[0].strip():
        raise OptionError(f"{where} {text!r} must be one line in which {{input}} comes before {{output}}.")
    return text


def read_templates(values: Sequence[str]) -> tuple[Template, ...]:
    """Templates as the option gives them: each a template, or a file of them.

    A file has one template a line, or is a table with the column template and, if wanted, name and language.

    Raises:
        OptionError: a template has wrong slots, or two have one name.
        CorpusError: a file cannot be read.
    """
    templates: list[Template] = []
    for value in values:
        if "{" in value:
            templates.append(Template(f"template {len(templates) + 1}", parse_template(value)))
        else:
            templates += _of_file(Path(value), len(templates))
    names = [template.name for template in templates]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"--template: two templates are called {name!r}; give each its own name.")
    return tuple(templates)


def _of_file(path: Path, before: int) -> list[Template]:
    if not path.is_file():
        raise OptionError(f"--template {path} is neither a template with {{input}} and {{output}} nor a file of them.")
    if path.suffix == ".txt":
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CorpusError(f"{path} cannot be read ({error}); write one template a line, in UTF-8.") from None
        records = [(f"{path}, line {n}", {"template": line}) for n, line in enumerate(lines, 1) if line.strip()]
    else:
        records = [*read_table(path)]
    templates: list[Template] = []
    for where, record in records:
        text = record.get("template")
        if not isinstance(text, str) or not text.strip():
            raise CorpusError(f"{where} has no text in a column template; name the column so.")
        name = str(record.get("name") or f"template {before + len(templates) + 1}")
        templates.append(Template(name, parse_template(text, where), record.get("language") or None))
    if not templates:
        raise CorpusError(f"{path} has no template; write one a line.")
    return templates


def choose_examples(items: Sequence[Item], count: int, seed: int) -> tuple[Item, ...]:
    """Items that are solved in front of every question, drawn by the seed, with different answers if possible.

    Raises:
        OptionError: there are too few items.
    """
    if count and len(items) <= 2 * count:
        raise OptionError(
            f"--shots {count} are taken from the items and not asked, and there are {len(items)}; lower --shots."
        )
    order = [items[number] for number in np.random.default_rng([seed, 1]).permutation(len(items))]
    chosen: list[Item] = []
    for is_new in (True, False):  # others only where answers are fewer than examples
        for item in order:
            known = {other.output for other in chosen}
            if len(chosen) < count and item not in chosen and (item.output not in known) == is_new:
                chosen.append(item)
    return tuple(chosen)


def asked_items(items: Sequence[Item], examples: Sequence[Item]) -> tuple[Item, ...]:
    """The items that are not examples, nor of a group of one."""
    ids, groups = {item.id for item in examples}, {item.group for item in examples if item.group is not None}
    return tuple(item for item in items if item.id not in ids and item.group not in groups)


def prompt(template: Template, examples: Sequence[Item], item: Item) -> str:
    """The examples, one a line, and the question up to its answer."""
    return "\n".join([*(template.solved(example) for example in examples), template.before(item)])


def check_prompts(items: Sequence[Item], templates: Sequence[Template]) -> None:
    """Check that no question says its answer, and that each item has a template.

    Raises:
        CorpusError: the answer stands as a word in the question, or in what follows it in the template.
    """
    for item in items:
        fitting = [template for template in templates if template.fits(item)]
        if not fitting:
            raise CorpusError(
                f"The item {item.id!r} is of the language {item.language!r}, of which no template is; add one with "
                "--template, or empty the column language."
            )
        word = re.compile(rf"(?<!\w){re.escape(item.output)}(?!\w)")
        for template in fitting:
            if not item.choices and word.search(template.before(item)):
                raise CorpusError(
                    f"The answer {item.output!r} of the item {item.id!r} stands in its prompt "
                    f"({template.before(item)!r}), so that copying is no recall; reword the input, or leave it out."
                )
            if template.end and " " in item.output and template.end in item.output:
                raise CorpusError(
                    f"The answer {item.output!r} of the item {item.id!r} has {template.end!r}, which ends answers in "
                    f"{template.text!r}; end the template otherwise."
                )
