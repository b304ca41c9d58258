"""`--shard i/n`: the slice of a run's shards that one of n independent processes scores."""

import re
from dataclasses import dataclass

from mematlas.errors import OptionError


@dataclass(frozen=True, slots=True)
class ShardSlice:
    """Slice `number` of `total`, counted from 1. It selects shards; which rows are in a shard does not depend on it."""

    number: int = 1
    total: int = 1

    def includes(self, index: int) -> bool:
        """Whether shard `index` (from 0) belongs to the slice."""
        return index % self.total == self.number - 1


def parse_slice(text: str | None) -> ShardSlice:
    """The slice that `--shard` names; all shards if the option is left out.

    Raises:
        OptionError: it is not i/n with 1 <= i <= n.
    """
    if text is None:
        return ShardSlice()
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip(), re.ASCII)
    if match is None:
        raise OptionError(f"--shard {text!r} is not i/n; the second of eight processes takes --shard 2/8.")
    number, total = int(match[1]), int(match[2])
    if not 1 <= number <= total:
        raise OptionError(
            f"--shard {number}/{total}: i counts from 1 to n; "
            f"give 1/{max(total, 1)} to {max(total, 1)}/{max(total, 1)}."
        )
    return ShardSlice(number, total)
