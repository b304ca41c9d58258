"""What each predictor got right, seed by seed: by continuation, score level, probability and position.

Source: P1, token-level and full accuracy (table of the predictor, Fig. 7). Our choice: every number beside what
guessing gives, each row weighing as many rows of the scored corpus as it stands for.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.analyses.frames.levels import LEVELS
from mematlas.analyses.states.predict.predictions import KEYS, Predicted, predicted
from mematlas.stats.classification.token_predictions import calibration, token_scores, weighted_auroc
from mematlas.study.schemas.predictions import PREDICTOR, SHUFFLED

DETAILED: Final = (PREDICTOR, SHUFFLED)  # methods that are looked at by probability and by position
WINDOW: Final = 4  # tokens that AUROC by position is taken over: our choice, one a row is too few
SCORES: Final = ("base_rate", "guess", "token_accuracy", "full_accuracy", "auroc", "auprc", "f1", "ece")
CONTROL: Final = ("flagged_tokens", "recited_tokens", "flagged_rows", "recited_rows")
LEVEL: Final = ("full_accuracy", "share", "rows_share")
BIN: Final = ("probability", "recited", "weight")
POSITION: Final = ("auroc", "base_rate")
_COLUMNS: Final = {
    "scores": (("continuation", "rows", "tokens"), SCORES),
    "control": (("continuation", "rows", "tokens"), CONTROL),
    "levels": (("level", "rows"), LEVEL),
    "calibration": (("bin", "tokens"), BIN),
    "positions": (("position", "tokens"), POSITION),
}
_KEY_TYPES: Final = {**dict.fromkeys(KEYS[:4], pl.String), "seed": pl.Int32}
Lines = Iterator[dict[str, Any]]
Make = Callable[[Predicted], Lines]


def seed_scores(predictions: pl.LazyFrame, lengths: Sequence[int]) -> pl.DataFrame:
    """Accuracy, AUROC, AUPRC, F1 and ECE of held-out training rows, one line a predictor, seed and continuation.

    Args:
        predictions: `Study.scan_predictions`. lengths: continuations in tokens, the first tokens of the longest; those
            that no row reaches have no line.

    Returns:
        KEYS, continuation, rows, tokens, base_rate, guess, token_accuracy, full_accuracy, auroc, auprc, f1, ece.
    """
    return _framed(predicted(predictions), lambda one: score_lines(one, lengths), "scores")


def seed_control(predictions: pl.LazyFrame, lengths: Sequence[int]) -> pl.DataFrame:
    """As `seed_scores`, of control rows: KEYS, continuation, rows, tokens and the shares of CONTROL."""
    return _framed(predicted(predictions, "control"), lambda one: control_lines(one, lengths), "control")


def seed_levels(predictions: pl.LazyFrame, length: int) -> pl.DataFrame:
    """As `seed_scores`, at one continuation, a line a score level: KEYS, level, rows and the shares of LEVEL."""
    return _framed(predicted(predictions), lambda one: level_lines(one, length), "levels")


def seed_calibration(predictions: pl.LazyFrame) -> pl.DataFrame:
    """As `seed_scores`, over all tokens, a line a bin of probability that holds some: KEYS, bin, tokens, BIN."""
    return _framed(predicted(predictions, methods=DETAILED), bin_lines, "calibration")


def seed_positions(predictions: pl.LazyFrame) -> pl.DataFrame:
    """As `seed_scores`, a line every WINDOW tokens: KEYS, position (of the first, from 1), tokens, POSITION."""
    return _framed(predicted(predictions, methods=DETAILED), position_lines, "positions")


def _framed(found: Iterator[Predicted], make: Make, kind: str) -> pl.DataFrame:
    return framed([line for one in found for line in make(one)], kind)


def framed(lines: list[dict[str, Any]], kind: str) -> pl.DataFrame:
    """Lines of scores, control, levels, calibration or positions as a frame, perhaps without a line."""
    counts, values = _COLUMNS[kind]
    types = _KEY_TYPES | dict.fromkeys(counts, pl.Int64) | dict.fromkeys(values, pl.Float64)
    return pl.DataFrame(lines, schema=types, orient="row")


def score_lines(one: Predicted, lengths: Sequence[int]) -> Lines:
    """See `seed_scores`."""
    for length in _reached(one, lengths):
        found, whole = token_scores(*one.tokens(slice(length))), one.whole(length)
        numbers = {name: getattr(found, name) for name in SCORES if hasattr(found, name)}
        yield {
            **one.key,
            "continuation": length,
            "rows": int(one.known[:, :length].any(1).sum()),
            "tokens": found.count,
            **numbers,
            "token_accuracy": found.accuracy,
            "full_accuracy": _share(one.right[:, :length].all(1), one.weights, whole),
        }


def control_lines(one: Predicted, lengths: Sequence[int]) -> Lines:
    """See `seed_control`; a row is flagged where every token is called recited."""
    flagged, recited = one.known & (one.probability >= 0.5), one.known & (one.hit == 1)
    for length in _reached(one, lengths):
        known, whole = one.known[:, :length], one.whole(length)
        weights = np.broadcast_to(one.weights[:, None], known.shape)
        yield {
            **one.key,
            "continuation": length,
            "rows": int(known.any(1).sum()),
            "tokens": int(known.sum()),
            "flagged_tokens": _share(flagged[:, :length], weights, known),
            "recited_tokens": _share(recited[:, :length], weights, known),
            "flagged_rows": _share(flagged[:, :length].all(1), one.weights, whole),
            "recited_rows": _share(recited[:, :length].all(1), one.weights, whole),
        }


def level_lines(one: Predicted, length: int) -> Lines:
    """See `seed_levels`; share: of all rows predicted wholly right, rows_share: of all rows."""
    whole, right = one.whole(length), one.right[:, :length].all(1)
    for level in range(len(LEVELS)):
        here = one.levels == level
        yield {
            **one.key,
            "level": level,
            "rows": int((whole & here).sum()),
            "full_accuracy": _share(right, one.weights, whole & here),
            "share": _share(here, one.weights, whole & right),
            "rows_share": _share(here, one.weights, whole),
        }


def bin_lines(one: Predicted) -> Lines:
    """See `seed_calibration`."""
    found = calibration(*one.tokens(slice(None)))
    for place in np.flatnonzero(found.count):
        yield {
            **one.key,
            "bin": int(place) + 1,
            "tokens": int(found.count[place]),
            "probability": float(found.probability[place]),
            "recited": float(found.share[place]),
            "weight": float(found.weight[place]),
        }


def position_lines(one: Predicted) -> Lines:
    """See `seed_positions`."""
    for place in range(0, one.known.shape[1], WINDOW):
        p, y, w = one.tokens(slice(place, place + WINDOW))
        if len(y):
            rate = float(np.average(y, weights=w))
            numbers = {"auroc": weighted_auroc(p, y, w), "base_rate": rate}
            yield {**one.key, "position": place + 1, "tokens": len(y), **numbers}


def _reached(one: Predicted, lengths: Sequence[int]) -> list[int]:
    """Lengths that some row's tokens are known to the end of."""
    there = np.flatnonzero(one.known.any(0))
    longest = int(there[-1]) + 1 if len(there) else 0
    return sorted(length for length in lengths if length <= longest)


def _share(true: Any, weights: Any, among: Any) -> float | None:
    """Weighted share; None where there is nothing to count."""
    return float(np.average(true[among], weights=weights[among])) if among.any() else None
