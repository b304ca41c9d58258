"""What an engine gives for the rows of a shard: one result a context, which the tables are made of."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mematlas.types import Ids


@dataclass(frozen=True, slots=True)
class ContextResult:
    """What one context gave for some rows of a shard (`rows`: their places in it).

    hit [n, L] bool, margin [n, L] (+inf where nothing was decided), length [n] columns that the row has;
    states: hidden states [n, positions, width] by kind (`scoring/hidden.py`), {} if not asked for; layer: theirs;
    free: per-token records [n, L], {} if not asked for; truth: [n, positions] from the row's position `truth_from` on
    (0 after a BOS, else 1), of which row i has `truth_length[i]`; {} if not asked for or kept with a longer context.
    """

    rows: Ids
    context: int
    hit: NDArray[np.bool_]
    margin: NDArray[np.float32]
    length: Ids
    free: dict[str, NDArray[Any]]
    truth: dict[str, NDArray[Any]]
    truth_from: int
    truth_length: Ids
    states: dict[str, NDArray[np.float16]] = field(default_factory=dict)
    layer: str = "last"

    def take(self, pick: NDArray[Any], rows: Ids) -> "ContextResult":
        """The results at `pick` (indices or a mask), as those of the shard's places `rows`."""
        return replace(
            self,
            rows=rows,
            hit=self.hit[pick],
            margin=self.margin[pick],
            length=self.length[pick],
            truth_length=self.truth_length[pick],
            free={name: values[pick] for name, values in self.free.items()},
            truth={name: values[pick] for name, values in self.truth.items()},
            states={name: values[pick] for name, values in self.states.items()},
        )
