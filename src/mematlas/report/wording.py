"""What a report says of a finding at first sight, and texts with citations and code as HTML."""

import re
from typing import Final

from markupsafe import Markup, escape

from mematlas.findings.finding import Finding
from mematlas.literature.published import PAPERS
from mematlas.report.display_text import printable

#: The most words of a sentence that is not folded away.
MAX_WORDS: Final = 25


def headline(finding: Finding) -> str:
    """What was found, in a few words; the title where the finding has no such words."""
    return finding.headline or finding.title


def short_sentence(finding: Finding) -> str:
    """The finding's numbers in one short sentence; "" where it has none, and its claim is too long for one."""
    if finding.sentence:
        return finding.sentence
    return finding.claim if word_count(finding.claim) <= MAX_WORDS else ""


def word_count(sentence: str) -> int:
    """The number of words, a number being one as well; signs alone are none."""
    return sum(any(letter.isalnum() for letter in word) for word in sentence.split())


def rich_text(text: str) -> Markup:
    """Escaped text with the parts between backticks as code, and papers such as P1 explained to who points at them."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(printable(text))))
    return Markup(re.sub(r"(?<![\w`&#])[PK]\d+\b(?![^<]*</code>)", _citation, marked))


def _citation(match: re.Match[str]) -> str:
    paper = PAPERS.get(match[0])
    return match[0] if paper is None else f'<abbr title="{escape(paper)}">{match[0]}</abbr>'


def sentence(text: str) -> str:
    """A clause as a sentence. Its first word is capitalized only if it has letters alone, unlike most model names."""
    first = text.split(" ", 1)[0]
    return (text[:1].upper() + text[1:] if first.isalpha() else text).rstrip(".") + "."
