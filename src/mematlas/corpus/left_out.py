"""What of a corpus is not scored: documents and rows that are too short, ends of documents, files that are not read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

Unit = Literal["documents", "rows", "answers", "tokens", "files", "document names"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A part of a corpus that is not scored.

    count: number of documents, rows, answers, tokens, files or names of documents left out; total: of all, None if
    unknown; reason: a clause.
    """

    unit: Unit
    count: int
    total: int | None
    reason: str

    def __str__(self) -> str:
        if self.total is None:
            return f"{self.count:,} {self.unit[:-1] if self.count == 1 else self.unit}, {self.reason}"
        return f"{self.count:,} of {self.total:,} {self.unit}, {self.reason}"

    @property
    def is_over_half(self) -> bool:
        """Whether more than half of the documents, rows or answers are left out; the others are not judged."""
        return self.unit in ("documents", "rows", "answers") and self.total is not None and 2 * self.count > self.total


def left_out_line(parts: Sequence[LeftOut], role: str = "train") -> str | None:
    """One line that names all parts; None if nothing is left out."""
    beginning = "left out" if role == "train" else f"left out of the {role}"
    return f"{beginning}: {'; '.join(map(str, parts))}" if parts else None


def short_rows(count: int, total: int, needed: int) -> LeftOut:
    """Rows that have no score at all: they have fewer tokens than the smallest cell of the grid needs."""
    return LeftOut("rows", count, total, f"shorter than {needed:,} tokens")


def read_left_out(details: Mapping[str, Any], rows: int | None = None) -> list[LeftOut]:
    """What reading a corpus left out, from its `details`.

    Args:
        details: `Corpus.details`, as recorded in a run's settings, too.
        rows: number of the corpus' rows, from which the number of all its tokens follows; None if unknown.
    """
    length, documents, cut = details.get("row_length"), details.get("documents"), details.get("cut")
    short = details.get("short_documents", 0) if cut == "rows" else 0
    parts = [LeftOut("documents", short, documents, f"shorter than {length:,} tokens")] if short else []
    if details.get("without_answer"):
        parts.append(LeftOut("documents", details["without_answer"], None, "without an answer"))
    if details.get("short_prompts"):
        short_reason = f"with fewer than {details.get('context', 0):,} tokens before them"
        parts.append(LeftOut("answers", details["short_prompts"], documents, short_reason))
    scored = rows * length if rows is not None and length is not None and cut != "window" else None
    for name, (bytes_per_token, reason) in _TOKEN_DETAILS.items():
        dropped = 0 if cut == "answers" else details.get(name, 0) // bytes_per_token
        if dropped:
            total = None if scored is None else scored + dropped
            parts.append(LeftOut("tokens", dropped, total, reason or _reason_of_cut(cut, short)))
    if details.get("skipped_files"):
        names = details.get("skipped_names")
        parts.append(LeftOut("files", details["skipped_files"], None, f"not read ({names})" if names else "not read"))
    if details.get("unread_documents"):
        reason = details.get("unread_documents_reason", "of another kind")
        parts.append(LeftOut("document names", details["unread_documents"], None, reason))
    return parts


#: Names in `Corpus.details`: bytes per unit, and why these tokens are in no row; None: it depends on the cut.
_TOKEN_DETAILS: Final[dict[str, tuple[int, str | None]]] = {
    "dropped_tokens": (1, None),
    "dropped_tail_tokens": (1, "at the end of the file, where they fill no row"),
    "dropped_tail_bytes": (2, "at the end of the file, where they fill no row"),
}


def _reason_of_cut(cut: str | None, short_documents: int) -> str:
    """Why tokens of documents that were cut are in no row."""
    if cut == "window":
        return "after the one window of each document"
    short = "in those documents and " if short_documents else ""
    return f"{short}at the ends of documents, where they fill no row"


def left_out_to_json(parts: Iterable[LeftOut]) -> list[dict[str, Any]]:
    """The parts as a run's settings record them."""
    return [asdict(part) for part in parts]


def recorded_left_out(settings: Mapping[str, Any]) -> dict[str, list[LeftOut]]:
    """What was left out of each role's rows, from the settings of a run.

    Older runs did not record it; what is known of them are the details of the corpus.
    """
    recorded = settings.get("left_out")
    if recorded is None:
        parts = read_left_out(settings.get("corpus_details") or {})
        return {"train": parts} if parts else {}
    return {role: [LeftOut(**part) for part in parts] for role, parts in recorded.items()}
