"""What of a text is the answer: a word, a line, or what the user's own pattern finds; and when two are the same."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from mematlas.errors import OptionError

Normalization = Literal["exact", "case"]
#: Letters and digits, with single signs inside: FR, GO:0008150, 3.14, en-GB. The longest one, so that 11 is never 1.
WORD: Final = r"\w+(?:[-./:+]\w+)*"
_LINE: Final = r"\S.*"


@dataclass(frozen=True, slots=True)
class AnswerParser:
    """Finds the answer in what a model writes.

    pattern: its first match in the first line that is not blank, or the match's first group; ends: texts of templates
    that end an answer; normalization: exact compares as written (in Unicode's form NFC), case ignores upper and lower.
    """

    kind: str
    pattern: "re.Pattern[str]"
    ends: tuple[str, ...] = ()
    normalization: Normalization = "exact"

    def parse(self, text: str) -> str | None:
        """The answer in a text; None if there is none."""
        line = next((line for line in text.splitlines() if line.strip()), "")
        for end in self.ends:
            line = line.partition(end)[0]
        match = self.pattern.search(line)
        if match is None:
            return None
        found = match.group(1) if match.re.groups else match.group()
        return found.strip() or None if found is not None else None

    def normal(self, answer: str) -> str:
        """The form in which answers are compared."""
        text = unicodedata.normalize("NFC", answer.strip())
        return text.casefold() if self.normalization == "case" else text

    def is_right(self, answer: str | None, truth: str) -> bool:
        """Whether a parsed answer is the true one; no answer never is."""
        return answer is not None and self.normal(answer) == self.normal(truth)


def make_parser(
    answer: str | None, normalization: Normalization, outputs: Iterable[str], ends: Iterable[str]
) -> AnswerParser:
    """The parser that the option --answer names: word, line or a pattern; by default word if all answers are words.

    Args:
        outputs: the right answers; ends: what follows answers in templates, which ends those that are lines.

    Raises:
        OptionError: the pattern is none, or does not find some right answer in itself.
    """
    outputs = list(outputs)
    if answer is None:
        answer = "word" if all(re.fullmatch(WORD, output) for output in outputs) else "line"
    try:
        pattern = re.compile({"word": WORD, "line": _LINE}.get(answer, answer))
    except re.error as error:
        raise OptionError(f"--answer {answer!r} is neither word nor line, nor a pattern: {error}.") from None
    own_ends = tuple(dict.fromkeys(end for end in ends if end)) if answer == "line" else ()
    parser = AnswerParser(answer, pattern, own_ends, normalization)
    for output in outputs:
        if not parser.is_right(parser.parse(output), output):
            raise OptionError(
                f"--answer {answer}: in the right answer {output!r} it finds {parser.parse(output)!r}, so that no "
                "answer could be right; use line, or a pattern that finds it whole."
            )
    return parser
