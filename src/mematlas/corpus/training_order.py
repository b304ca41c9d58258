"""A corpus in the order in which training showed its rows: a row stands in it as often as it was shown."""

import hashlib
from pathlib import Path

import numpy as np

from mematlas.corpus.base import Corpus, as_positions
from mematlas.errors import CorpusError
from mematlas.types import Ids, Provenance, TokenRows


class ShownRows:
    """The rows of `corpus` one after the other as they were shown; see Corpus for the methods.

    Args:
        order: shape (presentations,), positions in the corpus.
        fingerprint: of the corpus and the order.
    """

    def __init__(self, corpus: Corpus, order: Ids, fingerprint: str) -> None:
        self.fingerprint, self.details = fingerprint, corpus.details
        self._corpus, self._order = corpus, order

    def __len__(self) -> int:
        return len(self._order)

    def read(self, positions: Ids, width: int) -> TokenRows:
        return self._corpus.read(self._order[positions], width)

    def provenance(self, positions: Ids) -> Provenance:
        return self._corpus.provenance(self._order[positions])


def read_order(path: Path, corpus: Corpus) -> ShownRows:
    """The corpus as the .npy file at `path` orders it: positions of rows, each as often as the row was shown.

    Raises:
        CorpusError: the file is absent or no .npy file of such positions.
    """
    try:
        found = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise CorpusError(f"There is no training order {path}; check the path, or leave it out.") from None
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path} is no readable .npy file ({error}); save the order with numpy.save.") from None
    if not isinstance(found, np.ndarray) or found.ndim != 1 or found.dtype.kind not in "iu" or not found.size:
        raise CorpusError(f"{path} must hold one row of integers, positions of the corpus' rows as they were shown.")
    if not 0 <= found.min() <= found.max() < len(corpus):
        raise CorpusError(
            f"{path} names the positions {found.min()} to {found.max()}, but the corpus has the rows 0 to "
            f"{len(corpus) - 1}; is it the order of another corpus?"
        )
    order = as_positions(found)
    digest = hashlib.blake2b(order.tobytes(), digest_size=10, person=b"training order")
    return ShownRows(corpus, order, f"{corpus.fingerprint}-{digest.hexdigest()}")
