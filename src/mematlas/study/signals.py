"""Records that a study contains beside its scores: hidden states, and signals cut to one cell of the grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mematlas.errors import StudyError
from mematlas.errors.libraries import missing_libraries
from mematlas.io.local_copies import fetch_all

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class HiddenStates:
    """Hidden states of some rows of a model, as `mematlas.scoring.records.states` writes them.

    rows: [n] row ids; levels: [n] score level, 0 to 4; hits: [n, continuation] 1 where the token of the free-running
    text is the true one, 0 where not, -1 where the row has none; states: [n, positions, width] float16, NaN where a row
    has none; context: number of positions that belong to the context; layer: "last", or its number as transformers'
    `output_hidden_states` counts (0: the embeddings).
    """

    rows: "NDArray[np.int64]"
    levels: "NDArray[np.int8]"
    hits: "NDArray[np.int8]"
    states: "NDArray[np.float16]"
    context: int
    layer: str = "last"


def read_states(paths: Sequence[Path]) -> HiddenStates:
    """Read and concatenate the hidden states of a model's shards.

    Raises:
        StudyError: they contain the states of no row.
    """
    import numpy as np

    with missing_libraries("Reading hidden states"):
        from safetensors import safe_open

    parts, context, layer = [], 0, "last"
    for path in fetch_all(paths):
        with safe_open(path, framework="numpy") as file:
            if len(file.get_tensor("rows")):
                context, layer = int(file.metadata()["context"]), file.metadata()["layer"]
                parts.append({name: file.get_tensor(name) for name in ("rows", "levels", "hits", "states")})
    if not parts:
        raise StudyError(f"{paths[0].parent} contains no hidden states: no row was long enough for the cell.")
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return HiddenStates(**joined, context=context, layer=layer)


def cut_signals(frame: "pl.LazyFrame", kind: str, align: str, context: int, continuation: int) -> "pl.LazyFrame":
    """Cut per-token lists to one cell of the grid; see `Study.signals`."""
    import polars as pl

    lists = [name for name, dtype in frame.collect_schema().items() if isinstance(dtype, pl.List)]
    cell = (pl.lit(context).cast(pl.Int32).alias("context"), pl.lit(continuation).cast(pl.Int32).alias("continuation"))
    if kind == "free" or align == "end":
        length = continuation if kind == "free" else context + continuation
        selected = frame.filter((pl.col("context") == context) & (pl.col("continuation") >= continuation))
    else:
        length = context + continuation
        selected = frame.filter(pl.col("context") + pl.col("continuation") >= length)
    return selected.with_columns(pl.col(name).list.head(length) for name in lists).with_columns(*cell)
