"""A row in full: its tokens, what each model recites of them, and what it says instead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mematlas.display import MISSED_STYLE, RECITED_STYLE, html_text

Mark = bool | None  # recited, missed, or not known


@dataclass(frozen=True, slots=True)
class Piece:
    """Neighbouring tokens of one kind, as text; recited: whether the model gives them, None where that is not known."""

    text: str
    recited: Mark = None


@dataclass(frozen=True, slots=True)
class Recital:
    """What one model makes of a row.

    matches, verbatim, margin, reason: as in the table of scores; generated: the token ids of its greedy text, None if
    they are not known, with None behind an end of text; hits: for each position of the continuation whether the greedy
    token is the true one, None where that is not known.
    """

    model: str
    matches: int | None
    verbatim: int | None
    margin: float | None
    reason: str | None
    generated: tuple[int | None, ...] | None
    hits: tuple[Mark, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A row at one cell of the grid; a notebook shows it with the tokens that each model recites marked.

    context_tokens, true_tokens: ids of the prompt and of the continuation; None if the study does not have them;
    recitals: one per model; texts: token id -> its text; None if no tokenizer is at hand, and ids are shown instead;
    remarks: what is missing, with the remedy.
    """

    row: int
    role: str
    repetitions: int | None
    document: int | None
    source: str | None
    context: int
    continuation: int
    context_tokens: tuple[int, ...] | None
    true_tokens: tuple[int, ...] | None
    recitals: tuple[Recital, ...]
    texts: Mapping[int, str] | None = None
    remarks: tuple[str, ...] = ()

    def prompt(self) -> str | None:
        """The text of the context, or its ids; None if they are not known."""
        pieces = self._pieces(self.context_tokens, ())
        return None if pieces is None else "".join(piece.text for piece in pieces)

    def true(self, recital: Recital) -> list[Piece] | None:
        """The true continuation in pieces that the model recites or misses; None if its tokens are not known."""
        return self._pieces(self.true_tokens, recital.hits)

    def generated(self, recital: Recital) -> list[Piece] | None:
        """The model's own continuation in the same way; None if it is not known."""
        return self._pieces(recital.generated, recital.hits)

    def _pieces(self, ids: Sequence[int | None] | None, marks: Sequence[Mark]) -> list[Piece] | None:
        """Neighbours with the same mark as one piece; without a tokenizer, ids with a blank between them."""
        if ids is None:
            return None
        pieces: list[Piece] = []
        for position, token in enumerate(ids):
            if token is None:
                break
            text = f"{' ' if position else ''}{token}" if self.texts is None else self.texts[token]
            mark = marks[position] if position < len(marks) else None
            if pieces and pieces[-1].recited is mark:
                pieces[-1] = Piece(pieces[-1].text + text, mark)
            else:
                pieces.append(Piece(text, mark))
        return pieces

    def _repr_html_(self) -> str:
        facts = [self.role, None if self.repetitions is None else f"shown {self.repetitions:,} times", self.source]
        about = ", ".join(fact for fact in facts if fact)
        lines = [f"<b>Row {self.row}</b> ({html_text(about)}) at {self.context} + {self.continuation} tokens"]
        if (prompt := self.prompt()) is not None:
            lines.append(f"prompt: <code>{html_text(prompt)}</code>")
        for recital in self.recitals:
            matches = "not scored" if recital.matches is None else f"{recital.matches} of {self.continuation} tokens"
            verbatim = "" if recital.verbatim is None else f", {recital.verbatim} before the first miss"
            lines.append(f"<b>{html_text(recital.model)}</b>: {matches}{verbatim}")
            for name, pieces in (("true", self.true(recital)), ("generated", self.generated(recital))):
                if pieces is not None:
                    lines.append(f"{name}: <code>{''.join(map(_marked, pieces))}</code>")
        lines += [html_text(remark) for remark in self.remarks]
        return "<div>" + "".join(f"<div>{line}</div>" for line in lines) + "</div>"


def _marked(piece: Piece) -> str:
    if piece.recited is None:
        return html_text(piece.text)
    style, title = (RECITED_STYLE, "recited") if piece.recited else (MISSED_STYLE, "missed")
    return f'<span style="{style}" title="{title}">{html_text(piece.text)}</span>'
