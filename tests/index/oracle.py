"""A naive reference index: a corpus as Python lists, every query answered by checking every position."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from mematlas.types import Provenance, TokenRows


@dataclass
class Rows:
    """A corpus of given rows. documents: one number per row, None where unknown."""

    rows: list[list[int]]
    documents: list[int | None] = field(default_factory=list)
    details: dict[str, object] = field(default_factory=dict)
    fingerprint: str = "made by hand"

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, positions, width):
        ids = np.zeros((len(positions), width), np.int64)
        for index, position in enumerate(positions):
            row = self.rows[position][:width]
            ids[index, : len(row)] = row
        return TokenRows(ids, np.array([min(len(self.rows[position]), width) for position in positions]))

    def provenance(self, positions):
        documents = self.documents or [None] * len(self.rows)
        unknown = [None] * len(positions)
        return Provenance([documents[position] for position in positions], unknown, unknown)


class Oracle:
    def __init__(self, rows: Rows, eod: int | None = None, joined: bool = False) -> None:
        self.tokens, self.row_of, self.document_of = [], [], []
        document, previous = -1, None  # previous: document of the last row that has a token
        documents = rows.documents or [None] * len(rows)
        for number, row in enumerate(rows.rows):
            continues = joined or (documents[number] is not None and documents[number] == previous)
            for offset, token in enumerate(row):
                is_after_eod = eod is not None and self.tokens and self.tokens[-1] == eod
                if (offset == 0 and not continues) or is_after_eod or not self.tokens:
                    document += 1
                self.tokens.append(token)
                self.row_of.append(number)
                self.document_of.append(document)
                previous = documents[number]

    def positions(self, ngram, scope, following=0):
        n, positions = len(ngram), []
        for position in range(len(self.tokens) - n - following + 1):
            if self.tokens[position : position + n] != list(ngram):
                continue
            segment = slice(position, position + n + following)
            numbers = {"rows": self.row_of, "documents": self.document_of, "stream": [0] * len(self.tokens)}[scope]
            if len(set(numbers[segment])) == 1:
                positions.append(position)
        return positions

    def documents(self, ngram, scope):
        return sorted({self.document_of[position] for position in self.positions(ngram, scope)})

    def next_counts(self, context, scope):
        return dict(Counter(self.tokens[position + len(context)] for position in self.positions(context, scope, 1)))
