"""The strings whose shortest prompts are looked for: continuations of rows, random tokens, and those of a file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mematlas.errors import OptionError
from mematlas.probes.rows.opening import CLASSES, ProbedRows
from mematlas.types import Encoder, Ids

if TYPE_CHECKING:
    import polars as pl

STRING_CLASSES: Final = (*CLASSES, "random", "given")


@dataclass(frozen=True, slots=True, eq=False)
class String:
    """A string. kind: of STRING_CLASSES; row: id, None of those that are no row's; tokens [k]; before: the true tokens
    before it, none of those that are no row's."""

    kind: str
    row: int | None
    tokens: Ids
    before: Ids


def choose_strings(
    rows: ProbedRows, table: "pl.DataFrame", each: int, given: list[Ids], vocabulary: int, seed: int
) -> list[String]:
    """The first `each` rows of every class that share no 13 tokens with each other, as many random strings of the same
    length, and the given ones.

    Args:
        rows: the probed rows; table: their class and cluster, in the same order.
    """
    nothing = np.zeros(0, np.int64)
    strings = []
    for name in CLASSES:
        own = table.with_row_index("index").filter(**{"class": name})
        for index in own.unique("cluster", keep="first", maintain_order=True)["index"].head(each).to_list():
            before, tokens = np.split(rows.tokens[index], [rows.context])
            strings.append(String(name, int(rows.row[index]), tokens, before))
    drawn = np.random.default_rng([seed, 1]).integers(0, vocabulary, (each, rows.continuation))
    strings += [String("random", None, tokens, nothing) for tokens in drawn]
    return strings + [String("given", None, tokens, nothing) for tokens in given]


def read_strings(path: Path, encoder: Encoder | None, vocabulary: int) -> list[Ids]:
    """The strings in a file of UTF-8 with one a line: texts, or lists of token ids such as [5, 7]. Empty lines are
    passed over.

    Raises:
        OptionError: the file is absent, empty or no text, a text has no tokenizer, or an id is not the model's.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = (
            "is no text in UTF-8" if isinstance(error, UnicodeDecodeError) else f"cannot be read ({error.strerror})"
        )
        raise OptionError(f"--strings {path} {reason}; name a file with one string a line.") from None
    strings = [_tokens(line, encoder, path, number) for number, line in enumerate(lines, 1) if line.strip()]
    if not strings:
        raise OptionError(f"--strings {path} has no string; write one a line.")
    for tokens in strings:
        if not len(tokens) or tokens.min() < 0 or tokens.max() >= vocabulary:
            raise OptionError(
                f"--strings {path}: {tokens.tolist()[:8]} are no ids of the model, which are 0 to {vocabulary - 1}; "
                "check that the file belongs to it."
            )
    return strings


def _tokens(line: str, encoder: Encoder | None, path: Path, number: int) -> Ids:
    try:
        ids = json.loads(line)
        if isinstance(ids, list) and all(type(token) is int for token in ids):
            return np.array(ids, np.int64)
    except ValueError:
        pass  # a text
    if encoder is None:
        raise OptionError(
            f"--strings {path}: line {number} is a text, and the model has no tokenizer; write token ids as in [5, 7], "
            "or name a tokenizer with --tokenizer."
        )
    return np.array(encoder.encode([line])[0], np.int64)
