"""Texts and tables made safe to look at: in a terminal, on a page, in a notebook."""

import unicodedata
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final


def show_invisible(texts: Iterable[str]) -> str:
    """Text with a symbol for each character that is invisible or would change the direction of the page's text."""
    return "".join(_symbol(character) for text in texts for character in text)


def on_one_line(text: str) -> str:
    """As `show_invisible`, with nothing that moves to another line or column."""
    return "".join(_symbol(character)[:1] for character in text)


def _symbol(character: str) -> str:
    if character == "\n":
        return "⏎\n"
    if character == "\t":
        return "⇥\t"
    if ord(character) < 0x20:
        return chr(0x2400 + ord(character))
    is_hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
    return "\ufffd" if is_hidden else character


# ------------------------------------------------------------------------------------------------------------ notebooks

#: Colours that are readable on white and on black.
RECITED_STYLE: Final = "background:rgba(46,160,67,.30)"
MISSED_STYLE: Final = "text-decoration:underline wavy rgba(218,54,51,.9)"


def html_text(text: object) -> str:
    """Any value as text of HTML: escaped, with invisible characters made visible."""
    return escape(on_one_line(str(text)))


def html_table(header: Sequence[str], rows: Iterable[Sequence[object]], titles: Sequence[str] = ()) -> str:
    """A table of HTML; a value that is None is an empty cell. titles: explanations of columns, shown by the pointer."""
    titles = titles or [""] * len(header)
    heads = "".join(
        f'<th title="{html_text(title)}">{html_text(name)}</th>' for name, title in zip(header, titles, strict=True)
    )
    lines = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"


def _cell(value: object) -> str:
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else f"{value}"
    return f"<td>{html_text(text)}</td>"
