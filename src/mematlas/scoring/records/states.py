"""Hidden states of a bounded sample of rows, balanced over score levels: which rows, and the files that keep them.

State i of a row is the last layer's (or another's, `--hidden-layer`) after its i-th token was read; from the last
layer's the next token is chosen. Row by row there are context + continuation - 1 of them: those of the context's
tokens, then those of the continuation's but the last, as the model wrote them ("free") or as they truly are ("truth").
They are kept as float16, NaN where a row, or a text that ended early, has none. Beside them stands which tokens of the
continuation were recited (free-running).
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mematlas.errors import StudyError
from mematlas.io.paths import is_remote, write_atomically
from mematlas.scoring.engines.results import ContextResult
from mematlas.scoring.options import ScoringOptions, nearest
from mematlas.study import write_marker
from mematlas.types import Grid, Ids

LEVELS: Final = 5  # score levels of 0.2, as in P1's transitions
_BYTES: Final = 2
_HEADER: Final = 512  # bytes of a file that are no numbers, and of its marker


def hidden_cell(grid: Grid) -> tuple[int, int]:
    """The context that states are kept of, and the continuation whose score levels are balanced: the nearest to 32."""
    return nearest(grid.contexts), nearest(grid.continuations)


def positions(grid: Grid) -> int:
    """States a row."""
    return hidden_cell(grid)[0] + max(grid.continuations) - 1


def announced_size(options: ScoringOptions, total: int, shards: int, width: int) -> int:
    """Bytes that a model's states will take at most, and do take where every level has rows enough.

    Args:
        total: rows of the run; width: numbers in a state.
    """
    rows = min(total, LEVELS * shards * quota(options, shards))
    a_row = positions(options.grid) * width * _BYTES + max(options.grid.continuations) + 9  # hits; row id and level
    return (rows * a_row + shards * _HEADER) * len(options.hidden_kinds)


def check_room(folder: Path, size: int, options: ScoringOptions) -> None:
    """Refuse states that the disk cannot hold.

    Raises:
        StudyError: less is free than they may take.
    """
    if is_remote(folder):  # a store does not tell
        return
    free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
    if size > free:
        raise StudyError(
            f"Hidden states of {options.hidden_rows:,} rows a model may take {size / 1e9:.1f} GB, but {free / 1e9:.1f} "
            f"GB are free on the disk that holds {folder}; ask for fewer with --hidden-rows, or free some space."
        )


def quota(options: ScoringOptions, shards: int) -> int:
    """Rows a score level and shard."""
    return -(-options.hidden_rows // (LEVELS * shards))


def write_states(
    folders: dict[str, Path],
    name: str,
    ids: Ids,
    results: Sequence[ContextResult],
    options: ScoringOptions,
    shard: tuple[int, int],
) -> None:
    """Write the states of a shard's sample, a file a kind, each with its marker.

    Args:
        folders: kind -> where its files go; name: of the shard; shard: its number, which seeds the choice, and how many
            there are.
    """
    context, continuation = hidden_cell(options.grid)
    kept = [result for result in results if result.context == context and result.states and len(result.rows)]
    chosen = _chosen(kept, ids, continuation, quota(options, shard[1]), shard[0])
    for kind, folder in folders.items():
        shape = (len(chosen), positions(options.grid), kept[0].states[kind].shape[2] if kept else 0)
        states = np.full(shape, np.nan, np.float16)
        hits = np.full((len(chosen), max(options.grid.continuations)), -1, np.int8)
        for line, (result, place, _) in enumerate(chosen):
            values, length = kept[result].states[kind][place], int(kept[result].length[place])
            there = min(len(values), context + length - 1)
            states[line, :there] = values[:there]
            hits[line, :length] = kept[result].hit[place][:length]
        tensors: dict[str, NDArray[Any]] = {
            "rows": np.array([ids[kept[result].rows[place]] for result, place, _ in chosen], np.int64),
            "levels": np.array([level for *_, level in chosen], np.int8),
            "hits": hits,
            "states": states,
        }
        layer = kept[0].layer if kept else options.hidden_layer
        facts = {"context": context, "continuation": max(options.grid.continuations), "layer": layer}
        _write(folder, name, tensors, facts)


def _chosen(
    results: Sequence[ContextResult], ids: Ids, continuation: int, most: int, shard: int
) -> list[tuple[int, int, int]]:
    """(result, place in it, level) of the rows to keep, by row id: at most `most` a level, seeded by the shard."""
    found: list[tuple[int, int, int, int]] = []
    for number, result in enumerate(results):
        matches = result.hit[:, :continuation].sum(1)
        levels = np.minimum(LEVELS - 1, LEVELS * matches // continuation)
        whole = np.flatnonzero(result.length >= continuation)
        rows = ids[result.rows[whole]].tolist()
        found += zip(rows, [number] * len(rows), whole.tolist(), levels[whole].tolist(), strict=True)
    found.sort()
    order = np.random.default_rng((0, shard)).permutation(len(found))
    taken: list[int] = []
    for level in range(LEVELS):
        taken += [place for place in order.tolist() if found[place][3] == level][:most]
    return [found[place][1:] for place in sorted(taken)]


def _write(folder: Path, name: str, tensors: dict[str, NDArray[Any]], facts: dict[str, object]) -> None:
    from safetensors.numpy import save_file

    path = folder / f"{name}.safetensors"
    metadata = {key: str(value) for key, value in facts.items()}
    write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata))
    write_marker(path, len(tensors["rows"]))
