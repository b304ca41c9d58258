"""Which rows are copies of each other: those of one role with the same prompt and the same continuation.

A distinct text is a set of rows of one role whose tokens of context and continuation are equal in a cell (our choice).
Rows of one text have the same score. A text that stands in the training rows and in the control is one in each. Texts
are told apart by hashes of 64 bits of the stored tokens (`mematlas features`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from mematlas.study.token_hashes import span_hashes, token_hashes
from mematlas.types import Grid


def copied_rows(rows: pl.LazyFrame, tokens: pl.LazyFrame | None, settings: Mapping[str, Any]) -> pl.DataFrame | None:
    """The rows whose text other rows of their role have, too; None where no row is a copy, or tokens are not known.

    Tokens are read in pieces; what is held in memory is 8 bytes per row and window.

    Args:
        rows: row, role; tokens: row, tokens; settings: of the run ("context", "continuation", "align").

    Returns:
        row, context, continuation (tokens), text: the lowest of the ids of the rows with this text.
    """
    if tokens is None:
        return None
    grid = Grid(tuple(settings["context"]), tuple(settings["continuation"]), settings.get("align", "start"))
    spans = _spans(grid)
    hashed = _hash_spans(rows, tokens, sorted(set(spans.values())))
    frames = []
    for (context, continuation), span in spans.items():
        column = f"{span[0]}:{span[1]}"
        copies = hashed.filter(pl.col(column).is_not_null() & pl.col(column).is_duplicated())
        text = pl.col("row").min().over(column).alias("text")
        cell = [pl.lit(context, pl.Int32).alias("context"), pl.lit(continuation, pl.Int32).alias("continuation")]
        frames.append(copies.select("row", *cell, text))
    copied = pl.concat(frames)
    return copied if copied.height else None


def _spans(grid: Grid) -> dict[tuple[int, int], tuple[int, int]]:
    """The first position of the prompt, and the position after the continuation, of each cell."""
    cells = [(context, length) for context in grid.contexts for length in grid.continuations]
    return {cell: grid.span(*cell) for cell in cells}


def _hash_spans(rows: pl.LazyFrame, tokens: pl.LazyFrame, spans: list[tuple[int, int]]) -> pl.DataFrame:
    """row, and a column start:end for each span: the hash of its tokens and of the row's role."""
    names = [f"{start}:{end}" for start, end in spans]
    hashes = pl.Struct([pl.Field(str(number), pl.UInt64) for number in range(len(spans))])
    hashed = tokens.select(
        "row",
        pl.col("tokens").map_batches(lambda lists: span_hashes(lists, spans), hashes, is_elementwise=True),
    ).unnest("tokens")
    frame = rows.select("row", "role").join(hashed, on="row").collect(engine="streaming")
    role = pl.Series(token_hashes(frame["role"].rank("dense").to_numpy().astype("uint64")))
    return frame.select("row", *((pl.col(str(i)) + role).alias(name) for i, name in enumerate(names)))


def sum_by_text(records: pl.LazyFrame, keys: Sequence[str], first: Sequence[str] = ()) -> pl.LazyFrame:
    """One record per text: the columns `first` of its first row, rows, recited, recited_texts.

    Args:
        records: row, text, recited (Boolean), and the columns of `keys`, by which texts are counted apart, and `first`.

    Returns:
        keys, text, first; rows and recited: sums over the rows of the text; recited_texts: 1 if its first row is
        recited, else 0. Rows of a text have the same score, unless rounding decides a tie.
    """
    recited = pl.col("recited").cast(pl.Int64)
    return records.group_by(*keys, "text").agg(
        *(pl.col(name).sort_by("row").first() for name in first),
        pl.len().cast(pl.Int64).alias("rows"),
        recited.sum(),
        recited.sort_by("row").first().alias("recited_texts"),
    )


def count_texts(
    scored: pl.LazyFrame, copied: pl.DataFrame, keys: Sequence[str], unit: Sequence[str] = ()
) -> pl.DataFrame:
    """Numbers of distinct texts and of their rows: keys, unit (of a text's first row), texts, recited_texts, rows,
    recited.

    Args:
        scored: row, context, continuation, recited, keys and unit; copied: from `copied_rows`.
    """
    groups, rows = [*keys, *unit], pl.len().cast(pl.Int64)
    joined = scored.join(copied.lazy(), on=["row", "context", "continuation"], how="left")
    of_copies = sum_by_text(joined.filter(pl.col("text").is_not_null()), keys, unit)
    # rows without copies are not grouped one by one: there may be ten million of them
    single = joined.filter(pl.col("text").is_null()).group_by(groups)
    of_single = single.agg(rows=rows, recited=pl.col("recited").cast(pl.Int64).sum())
    counts = [
        of_single.select(*groups, "rows", "recited", texts="rows", recited_texts="recited"),
        of_copies.select(*groups, "rows", "recited", pl.lit(1, pl.Int64).alias("texts"), "recited_texts"),
    ]
    sums = pl.concat(counts).group_by(groups).agg(pl.col("texts", "recited_texts", "rows", "recited").sum())
    return sums.collect(engine="streaming").sort(groups)
