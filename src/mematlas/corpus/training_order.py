"""A corpus in the order in which training showed its rows; a row occurs in it as often as it was shown."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mematlas.corpus.base import Corpus, as_positions
from mematlas.errors import CorpusError
from mematlas.types import Ids, Provenance, TokenRows


class TrainingOrder:
    """The rows of `corpus` in the order in which they were shown; see Corpus for the methods.

    Args:
        order: shape (presentations,), positions in the corpus.
        fingerprint: of the corpus and the order.
    """

    def __init__(self, corpus: Corpus, order: Ids, fingerprint: str) -> None:
        self.fingerprint, self.details = fingerprint, corpus.details
        self._corpus, self._order = corpus, order
        self._follows = np.diff(order, prepend=order[:1]) == 1

    def __len__(self) -> int:
        return len(self._order)

    def read(self, positions: Ids, width: int) -> TokenRows:
        return self._corpus.read(self._order[positions], width)

    def provenance(self, positions: Ids) -> Provenance:
        return self._corpus.provenance(self._order[positions])

    def follows_previous(self, positions: Ids) -> NDArray[np.bool_]:
        """Whether the row shown just before the one at each position is the one before it in the corpus, too."""
        return self._follows[positions]


def read_training_order(path: Path, corpus: Corpus) -> TrainingOrder:
    """Read a training order from a .npy file: positions of rows, each as often as the row was shown.

    Raises:
        CorpusError: the file is absent, or not a .npy file of such positions.
    """
    try:
        order = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise CorpusError(f"There is no training order {path}; check the path, or leave it out.") from None
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path} is not a readable .npy file ({error}); save the order with numpy.save.") from None
    if not isinstance(order, np.ndarray) or order.ndim != 1 or order.dtype.kind not in "iu" or not order.size:
        raise CorpusError(
            f"{path} must be one array of integers, the positions of the corpus' rows in the order they were shown."
        )
    if not 0 <= order.min() <= order.max() < len(corpus):
        raise CorpusError(
            f"{path} names the positions {order.min()} to {order.max()}, but the corpus has the rows 0 to "
            f"{len(corpus) - 1}; is it the order of another corpus?"
        )
    order = as_positions(order)
    digest = hashlib.blake2b(order.tobytes(), digest_size=10, person=b"training order")
    return TrainingOrder(corpus, order, f"{corpus.fingerprint}-{digest.hexdigest()}")
