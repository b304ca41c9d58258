"""The stupid oracle: a corpus as Python lists, every question answered by looking at every place."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from mematlas.types import Provenance, TokenRows


@dataclass
class Rows:
    """A corpus made by hand. documents: a number a row, None where unknown."""

    rows: list[list[int]]
    documents: list[int | None] = field(default_factory=list)
    details: dict[str, object] = field(default_factory=dict)
    fingerprint: str = "made by hand"

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, positions, width):
        ids = np.zeros((len(positions), width), np.int64)
        for line, position in enumerate(positions):
            row = self.rows[position][:width]
            ids[line, : len(row)] = row
        return TokenRows(ids, np.array([min(len(self.rows[position]), width) for position in positions]))

    def provenance(self, positions):
        known = self.documents or [None] * len(self.rows)
        nothing = [None] * len(positions)
        return Provenance([known[position] for position in positions], nothing, nothing)


class Oracle:
    def __init__(self, rows: Rows, eod: int | None = None, joined: bool = False) -> None:
        self.tokens, self.row_of, self.document_of = [], [], []
        document, before = -1, None  # before: what is known of the last row that holds a token
        known = rows.documents or [None] * len(rows)
        for number, row in enumerate(rows.rows):
            same = joined or (known[number] is not None and known[number] == before)
            for place, token in enumerate(row):
                ended = eod is not None and self.tokens and self.tokens[-1] == eod
                if (place == 0 and not same) or ended or not self.tokens:
                    document += 1
                self.tokens.append(token)
                self.row_of.append(number)
                self.document_of.append(document)
                before = known[number]

    def places(self, ngram, scope, beyond=0):
        n, found = len(ngram), []
        for place in range(len(self.tokens) - n - beyond + 1):
            if self.tokens[place : place + n] != list(ngram):
                continue
            stretch = slice(place, place + n + beyond)
            belongs = {"rows": self.row_of, "documents": self.document_of, "stream": [0] * len(self.tokens)}[scope]
            if len(set(belongs[stretch])) == 1:
                found.append(place)
        return found

    def documents(self, ngram, scope):
        return sorted({self.document_of[place] for place in self.places(ngram, scope)})

    def next_counts(self, context, scope):
        return dict(Counter(self.tokens[place + len(context)] for place in self.places(context, scope, 1)))
