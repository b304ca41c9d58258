"""Similarity of the greedy text and the true continuation of each row, and which definitions call it memorized.

Source: P2, granularity axis. M compares position by position, so that the same text shifted by one token counts as
misses; the measures of metrics/similarity.py are robust to shifts.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.study_tables import Cell, Tables, read_tables
from mematlas.errors import StudyError
from mematlas.metrics.extractable import extractable
from mematlas.metrics.levels import LEVELS, level
from mematlas.metrics.similarity import bleu, edit_distances, longest_common_subsequences
from mematlas.study import Study

VERBATIM: Final = "verbatim"
BLEU: Final = "BLEU > 0.75"
EDIT: Final = "edit distance <= 0.1"
LCS: Final = "LCS share >= 0.9"
POSITIONS: Final = "M >= 0.9"
DEFINITIONS: Final = (VERBATIM, BLEU, EDIT, LCS, POSITIONS)
DEFINITION_TYPE: Final = pl.Enum(DEFINITIONS)
LEVEL_TYPE: Final = pl.Enum(LEVELS)
_BATCH_ROWS: Final = 20_000  # rows whose texts are in memory together: about 100 MB as Python lists at 32 tokens
_KEY_COLUMNS: Final = ("model", "parameters", "latest", "role", "row", "cluster", "context", "continuation")


def has_texts(tables: Tables) -> bool:
    """Whether both the greedy texts and the rows' own tokens were recorded."""
    return "free" in tables.signals and "tokens" in tables.features


def similarity_lines(study: Study, run: str | None = None) -> pl.DataFrame:
    """One record per scored model and row with both texts known, at the cell nearest to 32 + 32.

    Returns:
        model, parameters, latest (the last checkpoint of its size, or a control model), role, row, cluster (as in
        `recount.lines`), context, continuation (L, tokens); matches (positions that agree), recited (M = 1), level (of
        M); edits (Levenshtein distance, tokens), common (longest common subsequence, tokens), edit_similarity (1 -
        edits / L), lcs (common / L), bleu (null where L < 4); missed (M < 0.6), shifted (missed, though edit_similarity
        >= 0.8); unequal (the recorded text has another M than the score).

    Raises:
        StudyError: the run is not finished, has no signals "free", no row features, or no scored row.
    """
    study.scan_signals("free", run)
    study.scan_features("tokens", run)
    tables = read_tables(study, run)
    cell = nearest_cell(tables)
    if cell is None:
        raise StudyError("The study has no scored training row.")
    return pl.concat(similarities for similarities, _ in compare_models(tables, cell))


def definition_lines(study: Study, run: str | None = None) -> pl.DataFrame:
    """The records of `similarity_lines`, once per definition.

    Returns:
        the columns of `similarity_lines`, definition (its name), holds (whether it calls the row memorized) and added
        (it does, although the row is not recited). Rows with null BLEU have no record for the BLEU definition.

    Raises:
        StudyError: as `similarity_lines`.
    """
    return by_definition(similarity_lines(study, run))


def by_definition(similarities: pl.DataFrame) -> pl.DataFrame:
    """`definition_lines`, computed from the records of `similarity_lines`."""
    length = pl.col("continuation").cast(pl.Int64)
    rules = {
        VERBATIM: pl.col("recited"),
        BLEU: pl.col("bleu") > 0.75,
        EDIT: 10 * pl.col("edits") <= length,
        LCS: 10 * pl.col("common") >= 9 * length,
        POSITIONS: 10 * pl.col("matches") >= 9 * length,
    }
    parts = [
        similarities.with_columns(definition=pl.lit(name, DEFINITION_TYPE), holds=rule).drop_nulls("holds")
        for name, rule in rules.items()
    ]
    return pl.concat(parts).with_columns(added=pl.col("holds") & ~pl.col("recited"))


# ------------------------------------------------------------------------------------------------------ model by model


def compare_models(tables: Tables, cell: Cell) -> Iterator[tuple[pl.DataFrame, int]]:
    """The records of `similarity_lines`, model by model, each with the number of scored rows that lack a text."""
    for model in tables.models["model"]:
        scores = _scores(tables, cell, model).collect(engine="streaming").sort("row")
        texts = _texts(tables, cell, model)
        batches = [
            _compare_texts(scores[start : start + _BATCH_ROWS], texts, cell)
            for start in range(0, max(1, scores.height), _BATCH_ROWS)
        ]
        similarities = pl.concat(batches)
        is_control = model in tables.control_models
        role = pl.lit("control model") if is_control else pl.col("role")
        constants = {
            "model": pl.lit(model),
            "parameters": pl.lit(tables.parameters(model), pl.Int64),
            "latest": pl.lit(is_control or model in tables.by_size),
            "context": pl.lit(cell.context, pl.Int32),
            "continuation": pl.lit(cell.continuation, pl.Int32),
        }
        yield (
            similarities.with_columns(role=role, **constants).pipe(_similarity_columns),
            scores.height - similarities.height,
        )


def _scores(tables: Tables, cell: Cell, model: str) -> pl.LazyFrame:
    cell_scores = tables.scores.filter(model=model, context=cell.context, continuation=cell.continuation)
    known_scores = cell_scores.select("row", "matches", extractable.expression().alias("recited")).drop_nulls("recited")
    return known_scores.join(tables.clustered_rows.select("row", "role", pl.col("cluster").cast(pl.Int64)), on="row")


def _texts(tables: Tables, cell: Cell, model: str) -> pl.LazyFrame:
    """row, generated, true: lists as long as the continuation; null entries after an early end of the text."""
    aligned_at_end = tables.settings.get("align", "start") == "end"
    first, length = max(tables.contexts) if aligned_at_end else cell.context, cell.continuation
    free = tables.cell_signals("free", cell).filter(model=model).select("row", generated="token")
    true = tables.features["tokens"].select("row", true=pl.col("tokens").list.slice(first, length))
    is_complete = (pl.col("generated").list.len() == length) & (pl.col("true").list.drop_nulls().list.len() == length)
    return free.join(true, on="row").filter(is_complete)


def _compare_texts(scores: pl.DataFrame, texts: pl.LazyFrame, cell: Cell) -> pl.DataFrame:
    """The scores of the rows with both texts, with positions, edits, common and bleu; `scores` has ascending rows."""
    in_batch = pl.col("row").is_between(scores["row"].min(), scores["row"].max())
    joined = scores.lazy().join(texts.filter(in_batch), on="row").collect().sort("row")
    generated, true = (_matrix(joined[name], cell.continuation) for name in ("generated", "true"))
    return joined.drop("generated", "true").with_columns(
        positions=pl.Series((generated == true).sum(1), dtype=pl.Int64),
        edits=pl.Series(edit_distances(generated, true), dtype=pl.Int64),
        common=pl.Series(longest_common_subsequences(generated, true), dtype=pl.Int64),
        bleu=pl.Series(bleu(generated, true), dtype=pl.Float64).fill_nan(None),
    )


def _matrix(lists: pl.Series, length: int) -> NDArray[np.int64]:
    return lists.explode().fill_null(-1).cast(pl.Int64).to_numpy().reshape(-1, length)


def _similarity_columns(similarities: pl.DataFrame) -> pl.DataFrame:
    """The columns of `similarity_lines`."""
    length = pl.col("continuation").cast(pl.Int64)
    score_matches = pl.col("matches").cast(pl.Int64)
    similarities = similarities.with_columns(
        matches=pl.coalesce(score_matches, "positions"), unequal=(score_matches != pl.col("positions")).fill_null(False)
    )
    derived: dict[str, Any] = {
        "level": level().replace_strict(list(range(len(LEVELS))), list(LEVELS), return_dtype=LEVEL_TYPE),
        "edit_similarity": 1 - pl.col("edits") / length,
        "lcs": pl.col("common") / length,
        "missed": 5 * pl.col("matches") < 3 * length,
        "shifted": (5 * pl.col("matches") < 3 * length) & (5 * pl.col("edits") <= length),
    }
    columns = ("matches", "recited", "edits", "common", "bleu", "unequal", *derived)
    return similarities.with_columns(**derived).select(*_KEY_COLUMNS, *columns)
