"""Hidden states of a bounded sample of rows, balanced over score levels: which rows, and the files that store them.

State i of a row is the output of the last layer (or of the one that `--hidden-layer` names) after its i-th token was
read; the next token is chosen from the last layer's state. Each row has context + continuation - 1 states: those of the
context's tokens, then those of the continuation's tokens except the last, as the model generated them ("free") or as
they truly are ("truth"). They are stored as float16, with NaN where a row or a text that ended early has none. The
files also say which tokens of the continuation were recited (free-running).
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
from mematlas.scoring.options import ScoringOptions, closest_to_32
from mematlas.study import write_marker
from mematlas.types import Grid, Ids

LEVELS: Final = 5  # score levels of 0.2, as in P1's transitions
_BYTES: Final = 2  # of one float16 number
_HEADER: Final = 512  # bytes of a file's header and of its marker


def hidden_cell(grid: Grid) -> tuple[int, int]:
    """The context whose states are stored and the continuation whose score levels are balanced: those closest to 32."""
    return closest_to_32(grid.contexts), closest_to_32(grid.continuations)


def states_per_row(grid: Grid) -> int:
    """Number of states per row."""
    return hidden_cell(grid)[0] + max(grid.continuations) - 1


def max_states_bytes(options: ScoringOptions, total: int, shards: int, width: int) -> int:
    """The most bytes that the states of one model can take, which they do if every level has enough rows.

    Args:
        total: number of rows of the run; shards: number of shards; width: numbers in a state.
    """
    rows = min(total, LEVELS * shards * rows_per_level(options, shards))
    bytes_per_row = (
        states_per_row(options.grid) * width * _BYTES + max(options.grid.continuations) + 9
    )  # hits; row id and level
    return (rows * bytes_per_row + shards * _HEADER) * len(options.hidden_kinds)


def check_disk_space(folder: Path, size: int, options: ScoringOptions) -> None:
    """Refuse states that do not fit on the disk of `folder`.

    Raises:
        StudyError: fewer than `size` bytes are free.
    """
    if is_remote(folder):  # object stores do not report free space
        return
    free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
    if size > free:
        raise StudyError(
            f"Hidden states of {options.hidden_rows:,} rows per model may take {size / 1e9:.1f} GB, but only "
            f"{free / 1e9:.1f} GB are free on the disk of {folder}; store fewer with --hidden-rows, or free some space."
        )


def rows_per_level(options: ScoringOptions, shards: int) -> int:
    """The most rows per score level and shard."""
    return -(-options.hidden_rows // (LEVELS * shards))


def write_states(
    folders: dict[str, Path],
    name: str,
    ids: Ids,
    results: Sequence[ContextResult],
    options: ScoringOptions,
    shard: tuple[int, int],
) -> None:
    """Write the states of a shard's sample of rows: one file per kind, each with its marker.

    Args:
        folders: folder of each kind of states.
        name: file name of the shard, without suffix.
        shard: its index, which seeds the sample, and the number of shards.
    """
    context, continuation = hidden_cell(options.grid)
    candidates = [result for result in results if result.context == context and result.states and len(result.rows)]
    chosen = _choose_rows(candidates, ids, continuation, rows_per_level(options, shard[1]), shard[0])
    for kind, folder in folders.items():
        width = candidates[0].states[kind].shape[2] if candidates else 0
        shape = (len(chosen), states_per_row(options.grid), width)
        states = np.full(shape, np.nan, np.float16)
        hits = np.full((len(chosen), max(options.grid.continuations)), -1, np.int8)
        for index, (result, row, _) in enumerate(chosen):
            values, length = result.states[kind][row], int(result.length[row])
            count = min(len(values), context + length - 1)
            states[index, :count] = values[:count]
            hits[index, :length] = result.hit[row][:length]
        tensors: dict[str, NDArray[Any]] = {
            "rows": np.array([ids[result.rows[row]] for result, row, _ in chosen], np.int64),
            "levels": np.array([level for *_, level in chosen], np.int8),
            "hits": hits,
            "states": states,
        }
        layer = candidates[0].layer if candidates else options.hidden_layer
        metadata = {"context": context, "continuation": max(options.grid.continuations), "layer": layer}
        _write(folder, name, tensors, metadata)


def _choose_rows(
    results: Sequence[ContextResult], ids: Ids, continuation: int, per_level: int, shard: int
) -> list[tuple[ContextResult, int, int]]:
    """The sample as (result, index of the row in it, level), by row id: at most `per_level` rows per level.

    The choice is random, seeded by the number of the shard.
    """
    candidates: list[tuple[int, int, int, int]] = []  # row id, number of the result, index in it, level
    for number, result in enumerate(results):
        matches = result.hit[:, :continuation].sum(1)
        levels = np.minimum(LEVELS - 1, LEVELS * matches // continuation)
        complete = np.flatnonzero(result.length >= continuation)
        rows = ids[result.rows[complete]].tolist()
        candidates += zip(rows, [number] * len(rows), complete.tolist(), levels[complete].tolist(), strict=True)
    candidates.sort()
    order = np.random.default_rng((0, shard)).permutation(len(candidates))
    sample: list[int] = []
    for level in range(LEVELS):
        sample += [index for index in order.tolist() if candidates[index][3] == level][:per_level]
    return [(results[number], row, level) for _, number, row, level in (candidates[index] for index in sorted(sample))]


def _write(folder: Path, name: str, tensors: dict[str, NDArray[Any]], values: dict[str, object]) -> None:
    from safetensors.numpy import save_file

    path = folder / f"{name}.safetensors"
    metadata = {key: str(value) for key, value in values.items()}
    write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata))
    write_marker(path, len(tensors["rows"]))
