"""How the rows of a simulated study come: independent, or alike within documents."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Design:
    """`documents` of `size` rows each.

    icc: correlation of the normal variable behind two rows of a document; told: whether statistics are told which rows
    come from one document (if not, a negative control).
    """

    documents: int
    size: int = 1
    icc: float = 0.0
    told: bool = True

    @property
    def rows(self) -> int:
        return self.documents * self.size

    @property
    def clustered(self) -> bool:
        """Whether statistics are told of documents of several rows."""
        return self.size > 1 and self.told

    @property
    def document(self) -> Ids:
        """The document of each row, shape (rows,)."""
        return np.repeat(np.arange(self.documents), self.size)

    @property
    def labels(self) -> Ids | None:
        """What a statistic is given as clusters: None where rows are independent."""
        return self.document if self.clustered else None

    def __str__(self) -> str:
        return f"{self.documents} x {self.size}, ICC {self.icc:g}" if self.size > 1 else f"{self.documents} rows"


INDEPENDENT: Final = (Design(10), Design(48), Design(400))
CLUSTERED: Final = (Design(40, 10, 0.1), Design(40, 10, 0.3), Design(20, 20, 0.3))
#: Beyond what is promised: rows of a document are nearly copies of each other.
EXTREME: Final = (Design(40, 10, 0.9), Design(20, 20, 0.9))


def luck(random: np.random.Generator, design: Design, studies: int, columns: int = 1) -> Floats:
    """Standard normal luck of each row, correlated by design.icc within documents: (rows, studies * columns)."""
    width = studies * columns
    rows = random.normal(size=(design.rows, width))
    if design.size == 1:
        return rows
    documents = random.normal(size=(design.documents, width))
    return np.sqrt(design.icc) * documents.repeat(design.size, axis=0) + np.sqrt(1 - design.icc) * rows


def hits_of_documents(random: np.random.Generator, design: Design, share: float, studies: int) -> Ids:
    """Hits in each document, (documents, studies): binomial, with shares of documents from a beta distribution.

    design.icc is the correlation of two hits of a document here.
    """
    size = (design.documents, studies)
    if design.size == 1:
        return random.binomial(1, share, size)
    shape = (1 - design.icc) / design.icc
    return random.binomial(design.size, random.beta(share * shape, (1 - share) * shape, size))
