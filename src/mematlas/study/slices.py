"""`--shard i/n`: the share of a run's shards that one of n processes takes, without knowing of the others."""

import re
from dataclasses import dataclass

from mematlas.errors import OptionError


@dataclass(frozen=True, slots=True)
class ShardSlice:
    """The `number`-th of `of` shares, counted from 1. Which rows make a shard is the question's, never this."""

    number: int = 1
    of: int = 1

    def takes(self, index: int) -> bool:
        """Whether shard `index` (from 0) belongs to the share."""
        return index % self.of == self.number - 1


def parse_slice(text: str | None) -> ShardSlice:
    """The share that `--shard` names; all of it where the option is left out.

    Raises:
        OptionError: it is not i/n with 1 <= i <= n.
    """
    if text is None:
        return ShardSlice()
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip(), re.ASCII)
    if match is None:
        raise OptionError(f"--shard {text!r} is not i/n; the second of eight processes takes --shard 2/8.")
    number, of = int(match[1]), int(match[2])
    if not 1 <= number <= of:
        raise OptionError(
            f"--shard {number}/{of}: i counts from 1 to n; give 1/{max(of, 1)} to {max(of, 1)}/{max(of, 1)}."
        )
    return ShardSlice(number, of)
