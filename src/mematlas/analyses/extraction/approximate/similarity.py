"""How alike the greedy text and the true continuation of each row are, and which definitions call it memorized.

Source: P2, granularity axis. M compares position by position, so that the same words one token later count as misses;
the measures of metrics/similarity.py do not mind.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.frames.levels import LEVELS, level
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.study_tables import Cell, Tables, read_tables
from mematlas.errors import StudyError
from mematlas.metrics.extractable import extractable
from mematlas.metrics.similarity import bleu, common_subsequences, edit_distances
from mematlas.study import Study

VERBATIM: Final = "verbatim"
BLEU: Final = "BLEU > 0.75"
EDIT: Final = "edit distance <= 0.1"
LCS: Final = "LCS share >= 0.9"
POSITIONS: Final = "M >= 0.9"
DEFINITIONS: Final = (VERBATIM, BLEU, EDIT, LCS, POSITIONS)
DEFINITION: Final = pl.Enum(DEFINITIONS)
LEVEL: Final = pl.Enum(LEVELS)
_AT_ONCE: Final = 20_000  # rows whose texts are in memory together: about 100 MB as Python lists at 32 tokens
_LINE: Final = ("model", "parameters", "latest", "role", "row", "context", "continuation")


def has_texts(tables: Tables) -> bool:
    """Whether both the greedy texts and the rows' own tokens were kept."""
    return "free" in tables.signals and "tokens" in tables.features


def similarity_lines(study: Study, run: str | None = None) -> pl.DataFrame:
    """One line a scored (model, row) at the cell nearest to 32 + 32 of which both texts are known.

    Returns:
        model, parameters, latest (the last checkpoint of its size, or a control model), role, row, context,
        continuation (L, tokens); matches (positions that agree), recited (M = 1), level (of M); edits (Levenshtein
        distance, tokens), common (longest common subsequence, tokens), edit_similarity (1 - edits / L), lcs (common /
        L), bleu (null where L < 4); missed (M < 0.6), shifted (missed, though edit_similarity >= 0.8); unequal (the
        recorded text has another M than the score).

    Raises:
        StudyError: the run is not finished, has no signals "free", no row features, or no scored row.
    """
    study.scan_signals("free", run)
    study.scan_features("tokens", run)
    tables = read_tables(study, run)
    cell = nearest_cell(tables)
    if cell is None:
        raise StudyError("The study has no scored training row.")
    return pl.concat(lines for lines, _ in measured(tables, cell))


def definition_lines(study: Study, run: str | None = None) -> pl.DataFrame:
    """The columns of `similarity_lines`, each line once a definition: definition (its name), holds (whether it calls
    the row memorized) and added (it does, though the row is not recited). BLEU has no line where it is null.

    Raises:
        StudyError: as `similarity_lines`.
    """
    return by_definition(similarity_lines(study, run))


def by_definition(lines: pl.DataFrame) -> pl.DataFrame:
    """As `definition_lines`, from the lines of `similarity_lines`."""
    length = pl.col("continuation").cast(pl.Int64)
    holds = {
        VERBATIM: pl.col("recited"),
        BLEU: pl.col("bleu") > 0.75,
        EDIT: 10 * pl.col("edits") <= length,
        LCS: 10 * pl.col("common") >= 9 * length,
        POSITIONS: 10 * pl.col("matches") >= 9 * length,
    }
    named = [
        lines.with_columns(definition=pl.lit(name, DEFINITION), holds=rule).drop_nulls("holds")
        for name, rule in holds.items()
    ]
    return pl.concat(named).with_columns(added=pl.col("holds") & ~pl.col("recited"))


# ------------------------------------------------------------------------------------------------------ model by model


def measured(tables: Tables, cell: Cell) -> Iterator[tuple[pl.DataFrame, int]]:
    """The lines of `similarity_lines` of each model as given, and how many of its scored rows lack one of the texts."""
    for model in tables.models["model"]:
        scored = _scored(tables, cell, model).collect(engine="streaming").sort("row")
        texts = _texts(tables, cell, model)
        parts = [_compared(scored[at : at + _AT_ONCE], texts, cell) for at in range(0, max(1, scored.height), _AT_ONCE)]
        lines = pl.concat(parts)
        is_control = model in tables.control_models
        role = pl.lit("control model") if is_control else pl.col("role")
        constant = {
            "model": pl.lit(model),
            "parameters": pl.lit(tables.parameters(model), pl.Int64),
            "latest": pl.lit(is_control or model in tables.by_size),
            "context": pl.lit(cell.context, pl.Int32),
            "continuation": pl.lit(cell.continuation, pl.Int32),
        }
        yield lines.with_columns(role=role, **constant).pipe(_finished), scored.height - lines.height


def _scored(tables: Tables, cell: Cell, model: str) -> pl.LazyFrame:
    here = tables.scores.filter(model=model, context=cell.context, continuation=cell.continuation)
    known = here.select("row", "matches", extractable.expression().alias("recited")).drop_nulls("recited")
    return known.join(tables.rows.select("row", "role"), on="row")


def _texts(tables: Tables, cell: Cell, model: str) -> pl.LazyFrame:
    """row, generated, true: lists of as many entries as the continuation has; null behind a text that ended itself."""
    end = tables.question.get("align", "start") == "end"
    first, length = max(tables.contexts) if end else cell.context, cell.continuation
    free = tables.signals_of("free", cell).filter(model=model).select("row", generated="token")
    true = tables.features["tokens"].select("row", true=pl.col("tokens").list.slice(first, length))
    whole = (pl.col("generated").list.len() == length) & (pl.col("true").list.drop_nulls().list.len() == length)
    return free.join(true, on="row").filter(whole)


def _compared(scored: pl.DataFrame, texts: pl.LazyFrame, cell: Cell) -> pl.DataFrame:
    """`scored`, ascending rows, with positions, edits, common and bleu of those that have both texts."""
    span = pl.col("row").is_between(scored["row"].min(), scored["row"].max())
    both = scored.lazy().join(texts.filter(span), on="row").collect().sort("row")
    generated, true = (_matrix(both[name], cell.continuation) for name in ("generated", "true"))
    return both.drop("generated", "true").with_columns(
        positions=pl.Series((generated == true).sum(1), dtype=pl.Int64),
        edits=pl.Series(edit_distances(generated, true), dtype=pl.Int64),
        common=pl.Series(common_subsequences(generated, true), dtype=pl.Int64),
        bleu=pl.Series(bleu(generated, true), dtype=pl.Float64).fill_nan(None),
    )


def _matrix(lists: pl.Series, length: int) -> NDArray[np.int64]:
    return lists.explode().fill_null(-1).cast(pl.Int64).to_numpy().reshape(-1, length)


def _finished(lines: pl.DataFrame) -> pl.DataFrame:
    """The columns of `similarity_lines`."""
    length = pl.col("continuation").cast(pl.Int64)
    scored = pl.col("matches").cast(pl.Int64)
    lines = lines.with_columns(
        matches=pl.coalesce(scored, "positions"), unequal=(scored != pl.col("positions")).fill_null(False)
    )
    names: dict[str, Any] = {
        "level": level().replace_strict(list(range(len(LEVELS))), list(LEVELS), return_dtype=LEVEL),
        "edit_similarity": 1 - pl.col("edits") / length,
        "lcs": pl.col("common") / length,
        "missed": 5 * pl.col("matches") < 3 * length,
        "shifted": (5 * pl.col("matches") < 3 * length) & (5 * pl.col("edits") <= length),
    }
    columns = ("matches", "recited", "edits", "common", "bleu", "unequal", *names)
    return lines.with_columns(**names).select(*_LINE, *columns)
