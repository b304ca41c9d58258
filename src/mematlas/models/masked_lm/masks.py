"""Fixed evaluation masks for masked language models: which tokens of a row are hidden, the same for every model.

Source: P8 (Tirumala et al. 2022), which hides 15 % of the positions, and states neither seed nor number of masks. Our
choice: four masks, drawn from a hash of the row's tokens. So the masks depend neither on the batch, shard or place of a
row nor on its id, and rows with the same text have the same masks, in every study.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mematlas.types import Ids


@dataclass(frozen=True, slots=True)
class Masking:
    """share: of the positions of a row that one mask hides; masks: number of masks of a row; seed: of their choice."""

    share: float = 0.15
    masks: int = 4
    seed: int = 0

    def hidden(self, length: int) -> int:
        """The number of positions that one mask hides in a row of `length` tokens: at least 1."""
        return max(1, round(self.share * length))

    def asked(self, length: int) -> int:
        """The number of tokens that a model is asked for in such a row, over all masks."""
        return self.masks * self.hidden(length)

    def positions(self, tokens: Ids, special: Ids) -> Ids | None:
        """The positions that each mask hides, ascending: [masks, hidden]. A position may be hidden by several masks.

        Args:
            tokens: [length] of a row; special: ids that are never hidden, such as that of a separator.

        Returns:
            None if fewer tokens than one mask hides are not special.
        """
        hidden, allowed = self.hidden(len(tokens)), ~np.isin(tokens, special)
        if allowed.sum() < hidden:
            return None
        keys = _random_keys(tokens, self.seed, self.masks)
        keys[:, ~allowed] = np.iinfo(np.uint64).max
        return np.sort(np.argsort(keys, axis=1, kind="stable")[:, :hidden], axis=1)

    def to_json(self) -> dict[str, Any]:
        """As the settings of a run record it."""
        return asdict(self)


def _random_keys(tokens: Ids, seed: int, masks: int) -> NDArray[np.uint64]:
    """Uniform random numbers [masks, length] from a hash of the seed and the tokens."""
    text = np.concatenate([[seed], tokens]).astype("<i8").tobytes()
    digest = hashlib.shake_128(text).digest(8 * masks * len(tokens))
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64).reshape(masks, len(tokens))


def masking_line(settings: Mapping[str, Any]) -> str:
    """How tokens were hidden in a run of masked models, from its settings, in words."""
    (length,), (asked,), masking = settings["context"], settings["continuation"], settings["masking"]
    return (
        f"rows of {length} tokens, {asked} hidden ones asked for ({masking['share']:.0%} of a row at a time, "
        f"{masking['masks']} masks, seed {masking['seed']})"
    )


#: The only masks that are used: P8's share, and our choice of their number.
MASKING: Final = Masking()
