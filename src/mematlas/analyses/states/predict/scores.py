"""Scores of each predictor, seed by seed: by continuation, score level, probability and position.

Source: P1, token-level and full accuracy (table of the predictor, Fig. 7). Our choice: every number is given with that
of guessing, and each row is weighted by the number of rows of the scored corpus that it represents.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.analyses.states.predict.predictions import KEYS, PredictorOutput, predictor_outputs
from mematlas.metrics.levels import LEVELS
from mematlas.stats.classification.token_predictions import calibration, token_scores, weighted_auroc
from mematlas.study.schemas.predictions import PREDICTOR, SHUFFLED

DETAILED_METHODS: Final = (PREDICTOR, SHUFFLED)  # methods scored by probability and by position
POSITION_WINDOW: Final = 4  # our choice: tokens per AUROC by position, as a single position has too few
SCORES: Final = ("base_rate", "guess", "token_accuracy", "full_accuracy", "auroc", "auprc", "f1", "ece")
CONTROL_COLUMNS: Final = ("flagged_tokens", "recited_tokens", "flagged_rows", "recited_rows")
LEVEL_COLUMNS: Final = ("full_accuracy", "share", "rows_share")
BIN_COLUMNS: Final = ("probability", "recited", "weight")
POSITION_COLUMNS: Final = ("auroc", "base_rate")
_TABLE_COLUMNS: Final = {
    "scores": (("continuation", "rows", "tokens"), SCORES),
    "control": (("continuation", "rows", "tokens"), CONTROL_COLUMNS),
    "levels": (("level", "rows"), LEVEL_COLUMNS),
    "calibration": (("bin", "tokens"), BIN_COLUMNS),
    "positions": (("position", "tokens"), POSITION_COLUMNS),
}
_KEY_TYPES: Final = {**dict.fromkeys(KEYS[:4], pl.String), "seed": pl.Int32}
Records = Iterator[dict[str, Any]]
RecordFunction = Callable[[PredictorOutput], Records]


def seed_scores(predictions: pl.LazyFrame, lengths: Sequence[int]) -> pl.DataFrame:
    """Accuracy, AUROC, AUPRC, F1 and ECE of held-out training rows, one record per predictor, seed and continuation.

    Args:
        predictions: from `Study.scan_predictions`.
        lengths: continuations in tokens, prefixes of the longest; those that no row reaches have no record.

    Returns:
        KEYS, continuation, rows, tokens, base_rate, guess, token_accuracy, full_accuracy, auroc, auprc, f1, ece.
    """
    return _collect(predictor_outputs(predictions), lambda output: score_records(output, lengths), "scores")


def seed_control(predictions: pl.LazyFrame, lengths: Sequence[int]) -> pl.DataFrame:
    """Like `seed_scores`, of control rows: KEYS, continuation, rows, tokens, CONTROL_COLUMNS."""
    return _collect(
        predictor_outputs(predictions, "control"), lambda output: control_records(output, lengths), "control"
    )


def seed_levels(predictions: pl.LazyFrame, length: int) -> pl.DataFrame:
    """Like `seed_scores`, at one continuation, one record per score level: KEYS, level, rows, LEVEL_COLUMNS."""
    return _collect(predictor_outputs(predictions), lambda output: level_records(output, length), "levels")


def seed_calibration(predictions: pl.LazyFrame) -> pl.DataFrame:
    """Like `seed_scores`, one record per nonempty bin of probability: KEYS, bin, tokens, BIN_COLUMNS."""
    return _collect(predictor_outputs(predictions, methods=DETAILED_METHODS), bin_records, "calibration")


def seed_positions(predictions: pl.LazyFrame) -> pl.DataFrame:
    """Like `seed_scores`, one record per POSITION_WINDOW tokens: KEYS, position (from 1), tokens, POSITION_COLUMNS."""
    return _collect(predictor_outputs(predictions, methods=DETAILED_METHODS), position_records, "positions")


def _collect(outputs: Iterator[PredictorOutput], record_function: RecordFunction, table: str) -> pl.DataFrame:
    return to_frame([record for output in outputs for record in record_function(output)], table)


def to_frame(records: list[dict[str, Any]], table: str) -> pl.DataFrame:
    """Records of one of _TABLE_COLUMNS as a data frame, possibly empty."""
    counts, values = _TABLE_COLUMNS[table]
    types = _KEY_TYPES | dict.fromkeys(counts, pl.Int64) | dict.fromkeys(values, pl.Float64)
    return pl.DataFrame(records, schema=types, orient="row")


def score_records(output: PredictorOutput, lengths: Sequence[int]) -> Records:
    """See `seed_scores`."""
    for length in _reached_lengths(output, lengths):
        scores, is_complete = token_scores(*output.tokens(slice(length))), output.complete_rows(length)
        numbers = {name: getattr(scores, name) for name in SCORES if hasattr(scores, name)}
        yield {
            **output.key,
            "continuation": length,
            "rows": int(output.is_known[:, :length].any(1).sum()),
            "tokens": scores.count,
            **numbers,
            "token_accuracy": scores.accuracy,
            "full_accuracy": _share(output.is_right[:, :length].all(1), output.weights, is_complete),
        }


def control_records(output: PredictorOutput, lengths: Sequence[int]) -> Records:
    """See `seed_control`; a row is flagged where every token is called recited."""
    flagged, recited = output.is_known & (output.probability >= 0.5), output.is_known & (output.hit == 1)
    for length in _reached_lengths(output, lengths):
        is_known, is_complete = output.is_known[:, :length], output.complete_rows(length)
        weights = np.broadcast_to(output.weights[:, None], is_known.shape)
        yield {
            **output.key,
            "continuation": length,
            "rows": int(is_known.any(1).sum()),
            "tokens": int(is_known.sum()),
            "flagged_tokens": _share(flagged[:, :length], weights, is_known),
            "recited_tokens": _share(recited[:, :length], weights, is_known),
            "flagged_rows": _share(flagged[:, :length].all(1), output.weights, is_complete),
            "recited_rows": _share(recited[:, :length].all(1), output.weights, is_complete),
        }


def level_records(output: PredictorOutput, length: int) -> Records:
    """See `seed_levels`; share: of all rows predicted wholly right, rows_share: of all rows."""
    is_complete, is_right = output.complete_rows(length), output.is_right[:, :length].all(1)
    for level in range(len(LEVELS)):
        at_level = output.levels == level
        yield {
            **output.key,
            "level": level,
            "rows": int((is_complete & at_level).sum()),
            "full_accuracy": _share(is_right, output.weights, is_complete & at_level),
            "share": _share(at_level, output.weights, is_complete & is_right),
            "rows_share": _share(at_level, output.weights, is_complete),
        }


def bin_records(output: PredictorOutput) -> Records:
    """See `seed_calibration`."""
    bins = calibration(*output.tokens(slice(None)))
    for index in np.flatnonzero(bins.count):
        yield {
            **output.key,
            "bin": int(index) + 1,
            "tokens": int(bins.count[index]),
            "probability": float(bins.probability[index]),
            "recited": float(bins.share[index]),
            "weight": float(bins.weight[index]),
        }


def position_records(output: PredictorOutput) -> Records:
    """See `seed_positions`."""
    for start in range(0, output.is_known.shape[1], POSITION_WINDOW):
        probability, hit, weight = output.tokens(slice(start, start + POSITION_WINDOW))
        if len(hit):
            rate = float(np.average(hit, weights=weight))
            numbers = {"auroc": weighted_auroc(probability, hit, weight), "base_rate": rate}
            yield {**output.key, "position": start + 1, "tokens": len(hit), **numbers}


def _reached_lengths(output: PredictorOutput, lengths: Sequence[int]) -> list[int]:
    """The lengths up to which the tokens of at least one row are known, ascending."""
    known_positions = np.flatnonzero(output.is_known.any(0))
    longest = int(known_positions[-1]) + 1 if len(known_positions) else 0
    return sorted(length for length in lengths if length <= longest)


def _share(mask: Any, weights: Any, subset: Any) -> float | None:
    """Weighted share of `mask` within `subset`; None if that is empty."""
    return float(np.average(mask[subset], weights=weights[subset])) if subset.any() else None
