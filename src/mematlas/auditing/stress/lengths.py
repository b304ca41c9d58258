"""What one model says: tokens recited after each prompt, and the loss on kept and control rows.

LENGTHS/<name>.parquet   length, one a prompt; null where it was not asked
       /<name>-losses.parquet   loss, one a kept or control row, in nats per token of its first C + K tokens

Both are kept, so that a stopped stress test goes on with the next model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.auditing.stress.prompts import Prompt
from mematlas.auditing.stress.rows import StressRow
from mematlas.experiments.training.probe_sets import measure_model
from mematlas.experiments.training.recital import recited_after
from mematlas.io.paths import make_folder, write_atomically
from mematlas.models.base import Model
from mematlas.progress import Progress

_PART: Final = 512  # prompts between two reports of progress


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """lengths: recited tokens after each prompt, null where it was not asked; losses: nats per token of each row."""

    lengths: pl.Series
    losses: NDArray[np.float64]


def answers_of(
    name: str,
    load: Callable[[], Model],
    prompts: Sequence[Prompt],
    rows: Sequence[StressRow],
    sizes: tuple[int, int],
    folder: Path,
    progress: Progress,
) -> Answers:
    """The answers of one model, which is loaded if they are not in `folder` yet.

    rows: whose loss is measured; sizes: tokens of the original prompt, and tokens of a row whose loss is measured, at
    most; name: of the files.
    """
    lengths_file, losses_file = folder / f"{name}.parquet", folder / f"{name}-losses.parquet"
    is_done = lengths_file.is_file() and losses_file.is_file()
    progress.start(name, len(prompts), len(prompts) if is_done else 0, "prompts")
    if not is_done:
        make_folder(folder)
        model = load()
        losses = pl.DataFrame({"loss": _losses(model, rows, sizes)}, schema={"loss": pl.Float64})
        lengths = pl.DataFrame({"length": _lengths(model, prompts, progress)}, schema={"length": pl.Int64})
        write_atomically(losses_file, losses.write_parquet)
        write_atomically(lengths_file, lengths.write_parquet)
    progress.stop()
    return Answers(pl.read_parquet(lengths_file)["length"], pl.read_parquet(losses_file)["loss"].to_numpy())


def _lengths(model: Model, prompts: Sequence[Prompt], progress: Progress) -> list[int | None]:
    lengths: list[int | None] = []
    for start in range(0, len(prompts), _PART):
        part = prompts[start : start + _PART]
        asked = [prompt for prompt in part if prompt.reason is None]
        runs = iter(recited_after(model, [p.tokens for p in asked], [p.truth for p in asked]).tolist())
        lengths += [next(runs) if prompt.reason is None else None for prompt in part]
        progress.advance(len(part))
    return lengths


def _losses(model: Model, rows: Sequence[StressRow], sizes: tuple[int, int]) -> NDArray[np.float64]:
    """Nats per token of every row's first tokens."""
    context, most = sizes
    losses = np.empty(len(rows))
    lengths = np.array([min(len(row.tokens), most) for row in rows], dtype=np.int64)
    for length in np.unique(lengths):
        members = np.flatnonzero(lengths == length).tolist()
        tokens = np.stack([rows[number].tokens[:length] for number in members])
        losses[members] = measure_model(model, tokens, context)["loss"]
    return losses
