"""Mutations of bytes as data: drawn by hypothesis in the tests, and by a seeded generator in the benchmark."""

import random
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

KINDS = ("flip", "insert", "delete", "truncate", "duplicate", "overwrite", "number", "word", "line")
_WORD = re.compile(rb"[\w.:/~-]+")
#: Values that often break readers: extreme integers, partial characters, nesting, quotes, tags and directives.
TOKENS = (
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",  # a surrogate
    b"\xe2\x80\xa8",  # a line separator
    b"\\ud800",
    b"\n",
    b"\r",
    b"\t",
    b"-",
    b"1e999",
    b"NaN",
    b"null",
    b"9" * 30,
    b"9" * 5000,
    b"[" * 3000,
    b'{"a":' * 3000,
    b"(" * 300,
    b"x" * 300,
    b"&a [*a]",
    b"*a",
    b"!!python/object/apply:os.getcwd []",
    b"!!bool ja",
    b"!!int ''",
    b"!!timestamp now",
    b"2026-13-45",
    b"0x" + b"f" * 5000,
    b"<<: {batch: 3}\n",
    b"? [a]\n: b\n",
    b"-1",
    b"true",
    b"[[1, -2], {}]",
    b'{"a": 1}',
    b"b: &b [*names, *names, *names]\n",
    b"(-12, -9)",
    b"(4294967296, 4294967296)",
    b"~nobody-of-that-name/x",
    b'"\\0"',
    b"# a comment\n",
    b"%YAML 9.9\n---\n",
    b"--- {}\n",
)
NUMBERS = (0, 1, -1, 2, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, -(2**63))


@dataclass(frozen=True, slots=True)
class Edit:
    """One change. at: its offset, modulo the length of the file; size: number of bytes; data: the bytes to write;
    number: an integer to write, as 8 or 4 bytes."""

    kind: str
    at: int
    size: int
    data: bytes
    number: int


def apply_edits(content: bytes, edits: Sequence[Edit]) -> bytes:
    """Apply the edits one after the other."""
    for edit in edits:
        content = _apply_edit(content, edit)
    return content


def _apply_edit(content: bytes, edit: Edit) -> bytes:
    at = edit.at % (len(content) + 1)
    before, piece, after = content[:at], content[at : at + edit.size], content[at + edit.size :]
    match edit.kind:
        case "flip":
            return before + bytes(byte ^ (1 << edit.size % 8) for byte in content[at : at + 1]) + content[at + 1 :]
        case "insert":
            return before + edit.data + content[at:]
        case "delete":
            return before + after
        case "truncate":
            return before
        case "duplicate":
            return before + piece + piece + after
        case "word":  # replaces a value and keeps the syntax around it
            words = list(_WORD.finditer(content)) or [re.match(b"", content)]
            word = words[edit.at % len(words)]
            return content[: word.start()] + edit.data + content[word.end() :]
        case "line":
            start = content.rfind(b"\n", 0, at) + 1
            return content[:start] + edit.data + b"\n" + content[start:]
        case "overwrite":
            return before + edit.data + content[at + len(edit.data) :]
    packed = struct.pack("<Q", edit.number % (1 << 64))[: 4 if edit.size % 2 else 8]
    return before + packed + content[at + len(packed) :]


def draw_edits(draw: random.Random) -> list[Edit]:
    """One to three edits; half of them are within the first 64 bytes, where headers are."""
    return [
        Edit(
            kind=draw.choice(KINDS),
            at=draw.randrange(64) if draw.random() < 0.5 else draw.randrange(1 << 16),
            size=draw.choice((1, 2, 3, 4, 8, 9, 50)),
            data=draw.choice(TOKENS) if draw.random() < 0.6 else draw.randbytes(draw.randrange(1, 9)),
            number=draw.choice(NUMBERS),
        )
        for _ in range(draw.choice((1, 1, 2, 3)))
    ]
