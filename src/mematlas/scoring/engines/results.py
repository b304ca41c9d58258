"""What an engine returns for the rows of a shard: one result per context, from which the tables are computed."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mematlas.types import Ids


@dataclass(frozen=True, slots=True)
class ContextResult:
    """The result of one context for some rows of a shard.

    rows: indices of the rows in the shard; hit: [n, L]; margin: [n, L], +inf where nothing was decided; length: [n],
    number of columns that the row has; free: per-token records [n, L], {} if not requested; truth: [n, positions] from
    the row's position `truth_from` on (0 after a BOS, else 1), of which row i has `truth_length[i]`; {} if not
    requested or stored with a longer context; states: hidden states [n, positions, width] by kind (`records.states`),
    {} if not requested; layer: the layer of these states.
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

    def take(self, selection: NDArray[Any], rows: Ids) -> "ContextResult":
        """The results at `selection` (indices or a mask), assigned to the rows `rows` of the shard."""
        return replace(
            self,
            rows=rows,
            hit=self.hit[selection],
            margin=self.margin[selection],
            length=self.length[selection],
            truth_length=self.truth_length[selection],
            free={name: values[selection] for name, values in self.free.items()},
            truth={name: values[selection] for name, values in self.truth.items()},
            states={name: values[selection] for name, values in self.states.items()},
        )
