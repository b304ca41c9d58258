"""What the predictor gains over each baseline on the same held-out rows, with intervals over documents.

Our choice. A gain is the mean over seeds of the difference within a seed. Seeds share rows, and differ in which they
hold out and in the start of the network: how much they differ does not tell what other documents would give. The error
is therefore that of the sum over clusters of rows (`mematlas.study.clusters`) of what each contributes to the gain, by
linearization, over all seeds; with Student's t at clusters - 1 degrees of freedom.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import t as student_t

from mematlas.analyses.frames.study_tables import read_tables
from mematlas.analyses.states.predict.predictions import PredictorOutput, predictor_outputs
from mematlas.stats.classification.token_predictions import auroc_influences
from mematlas.study import Study
from mematlas.study.schemas.predictions import BASELINES, PREDICTOR

GAIN_COLUMNS: Final = ("auroc_gain", "token_accuracy_gain", "full_accuracy_gain")
_KEYS: Final = ("model", "sees", "method", "continuation")
Floats = NDArray[np.float64]


def row_clusters(study: Study, run: str | None = None) -> pl.DataFrame | None:
    """The cluster of every row of a study: row, cluster; None where every row is independent.

    Raises:
        StudyError: the run is not finished.
    """
    return read_tables(study, run).clusters


def prediction_gains(
    predictions: pl.LazyFrame, lengths: Sequence[int], clusters: pl.DataFrame | None = None
) -> pl.DataFrame:
    """The predictor minus each baseline on the states of the model itself, at each continuation that a row reaches.

    Args:
        predictions: from `Study.scan_predictions`.
        clusters: row, cluster; None where every row is independent.

    Returns:
        model, sees, method (the baseline), continuation, seeds, clusters, and each of GAIN_COLUMNS with _lower, _upper:
        null where a score is undefined in all seeds, the ends also where nothing differs.
    """
    number_of = None if clusters is None else dict(clusters.select("row", "cluster").iter_rows())
    records: list[dict[str, Any]] = []
    for key, outputs in _by_states(predictions.filter(pl.col("model") == pl.col("tested"))):
        predictor = {output.key["seed"]: output for output in outputs if output.key["method"] == PREDICTOR}
        for method in BASELINES:
            pairs = [
                (predictor[output.key["seed"]], output)
                for output in outputs
                if output.key["method"] == method and output.key["seed"] in predictor
            ]
            longest = max((_reached(output) for pair in pairs for output in pair), default=0)
            records += [
                key | {"method": method, "continuation": length} | _gains(pairs, length, number_of)
                for length in sorted(lengths)
                if length <= longest
            ]
    numbers = [f"{name}{end}" for name in GAIN_COLUMNS for end in ("", "_lower", "_upper")]
    types = dict.fromkeys(_KEYS[:3], pl.String()) | dict.fromkeys(("continuation", "seeds", "clusters"), pl.Int64())
    return pl.DataFrame(records, schema={**types, **dict.fromkeys(numbers, pl.Float64())}, orient="row")


def _by_states(predictions: pl.LazyFrame) -> Iterator[tuple[dict[str, Any], list[PredictorOutput]]]:
    """The outputs of all methods and seeds for one model and what its predictor sees, one after the other."""
    key: dict[str, Any] = {}
    outputs: list[PredictorOutput] = []
    for output in predictor_outputs(predictions, methods=(PREDICTOR, *BASELINES)):
        output_key = {name: output.key[name] for name in ("model", "sees")}
        if output_key != key:
            if outputs:
                yield key, outputs
            key, outputs = output_key, []
        outputs.append(output)
    if outputs:
        yield key, outputs


def _reached(output: PredictorOutput) -> int:
    known = np.flatnonzero(output.is_known.any(0))
    return int(known[-1]) + 1 if len(known) else 0


def _gains(
    pairs: list[tuple[PredictorOutput, PredictorOutput]], length: int, number_of: dict[int, int] | None
) -> dict[str, Any]:
    """The gains of some pairs (predictor, baseline), one per seed."""
    record: dict[str, Any] = {"seeds": len(pairs), "clusters": 0}
    for name, contribution in zip(GAIN_COLUMNS, (_auroc, _token_accuracy, _full_accuracy), strict=True):
        seeds = []
        for pair in pairs:
            scores = [contribution(output, length) for output in pair]
            if scores[0] is not None and scores[1] is not None:
                difference = _sum_by_row(pair[0].rows, scores[0][1], pair[1].rows, -scores[1][1])
                seeds.append((scores[0][0] - scores[1][0], difference))
        lower = upper = estimate = None
        if seeds:
            estimate = float(np.mean([gain for gain, _ in seeds]))
            rows = np.concatenate([row for _, (row, _) in seeds])
            values = np.concatenate([value for _, (_, value) in seeds]) / len(seeds)
            clusters, half_width = _half_width(rows, values, number_of)
            record["clusters"] = max(record["clusters"], clusters)
            if half_width is not None:
                lower, upper = max(-1.0, estimate - half_width), min(1.0, estimate + half_width)
        record |= {name: estimate, f"{name}_lower": lower, f"{name}_upper": upper}
    return record


def _sum_by_row(
    rows: NDArray[np.int64], values: Floats, other_rows: NDArray[np.int64], other_values: Floats
) -> tuple[NDArray[np.int64], Floats]:
    """The rows of either, and the sums of their values."""
    distinct, index = np.unique(np.concatenate([rows, other_rows]), return_inverse=True)
    sums = np.bincount(index, np.concatenate([values, other_values]), minlength=len(distinct))
    return distinct, sums.astype(np.float64)


def _half_width(rows: NDArray[np.int64], values: Floats, number_of: dict[int, int] | None) -> tuple[int, float | None]:
    """The number of clusters, and half the width of the 95 % interval of the sum of `values`, if they vary."""
    labels = rows if number_of is None else np.array([number_of[row] for row in rows.tolist()], np.int64)
    _, index = np.unique(labels, return_inverse=True)
    sums = np.bincount(index, values)
    if len(sums) < 2 or np.abs(sums).max() < 1e-12:
        return len(sums), None
    error = (len(sums) / (len(sums) - 1) * float(sums @ sums)) ** 0.5
    return len(sums), float(student_t.ppf(0.975, len(sums) - 1)) * error


# ------------------------------------------------------- each score, and what each row contributes to it (sum 0)


def _auroc(output: PredictorOutput, length: int) -> tuple[float, Floats] | None:
    result = auroc_influences(*output.tokens(slice(length)))
    if result is None:
        return None
    row_of_token = np.nonzero(output.is_known[:, :length])[0]
    return result[0], np.bincount(row_of_token, result[1], minlength=len(output.rows)).astype(np.float64)


def _token_accuracy(output: PredictorOutput, length: int) -> tuple[float, Floats] | None:
    known = output.is_known[:, :length]
    return _weighted_mean(output.is_right[:, :length].sum(1), known.sum(1), output.weights)


def _full_accuracy(output: PredictorOutput, length: int) -> tuple[float, Floats] | None:
    complete = output.complete_rows(length)
    return _weighted_mean((output.is_right[:, :length].all(1) & complete), complete, output.weights)


def _weighted_mean(hits: NDArray[Any], counts: NDArray[Any], weights: Floats) -> tuple[float, Floats] | None:
    total = float(weights @ counts)
    if not total:
        return None
    mean = float(weights @ hits) / total
    return mean, weights * (hits - mean * counts) / total
