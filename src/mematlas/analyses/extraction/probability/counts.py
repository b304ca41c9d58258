"""Numbers made of the rows' p_z: (n, p)-discoverable rows, the worst case, quantiles, and means of two more measures.

Sources: K3 (a) for (n, p)-discoverable extraction and its worst case; K11 for the threshold of 0.1 %; K12 for
extraction strength; P8, A.3 for the memory unit length. The grids of n and p and the quantiles are our choice.
"""

from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.analyses.extraction.probability.row_probabilities import GREEDY, MEASURES, SCHEME
from mematlas.analyses.frames.memorized_shares import ROLE
from mematlas.stats.estimates.averages import means
from mematlas.stats.estimates.contrasts import stratified_difference
from mematlas.stats.extraction import discoverable_rows, samples_needed

SAMPLES: Final = (*(step * 10**power for power in range(6) for step in (1, 2, 5)), 10**6)
CHANCES: Final = ("0.1", "0.5", "0.9", "0.999")
QUANTILES: Final = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
PLACE: Final = {
    "model": "label of the model",
    "role": ROLE,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
}
CURVES: Final = {
    **PLACE,
    "scheme": SCHEME,
    "p": "chance wanted of drawing the whole continuation at least once",
    "samples": "n: how often the model is sampled from",
    "rows": "rows whose p_z is known",
    "discoverable": "of these, (n, p)-discoverable rows: 1 - (1 - p_z)^n >= p",
    "share": "discoverable / rows",
    "share_lower": "lower end of its Wilson 95 % interval",
    "share_upper": "upper end of it",
}
SIZES: Final = {"parameters": "number of weights", **CURVES}
WORST: Final = {
    **PLACE,
    "scheme": SCHEME,
    "rows": "rows whose p_z is known",
    "probable": "of these, rows with p_z >= 0.1 %, from which on K11 calls a text extracted",
    "probable_share": "probable / rows",
    "probable_share_lower": "lower end of its Wilson 95 % interval",
    "probable_share_upper": "upper end of it",
    "possible": "rows with p_z > 0: discoverable with enough samples, for whatever p",
    "possible_share": "possible / rows: the worst case",
    "possible_share_lower": "lower end of its Wilson 95 % interval",
    "possible_share_upper": "upper end of it",
}
QUANTILE_COLUMNS: Final = {
    **PLACE,
    "scheme": SCHEME,
    "rows": "rows whose p_z is known",
    "quantile": "share of the rows whose p_z is as small or smaller",
    "log10_probability": "log10 of p_z at that quantile, a value that a row has; null where p_z = 0",
    "samples": "n that gives p = 0.5 there",
    "reason": "why there is no n",
}
MEAN_COLUMNS: Final = {
    **PLACE,
    "measure": "extraction_strength: 1 - k / L (K12), share of the continuation; memory_unit_length: mean run of "
    "consecutive hits along the truth in the whole window (P8, A.3), tokens",
    "rows": "rows that have one",
    "without": "rows that have none: hits unknown, or, for the unit length, no hit at all",
    "mean": "mean over the rows",
    "mean_lower": "lower end of its Student 95 % interval; null for one row, or rows that are all the same",
    "mean_upper": "upper end of it",
    "excess": "mean - mean of the control rows of the same model; null on lines of a control",
    "excess_lower": "lower end of its Welch 95 % interval",
    "excess_upper": "upper end of it",
}
_NO_CHANCE: Final = "p_z = 0: no number of samples is enough"
_NO_NUMBER: Final = "p_z is below 1e-304: more samples than a number can hold"


def discoverable_counts(lines: pl.DataFrame) -> pl.DataFrame:
    """How many rows are (n, p)-discoverable, for all SAMPLES and CHANCES: CURVES but the shares.

    Args:
        lines: as `extraction_lines.probability_lines`.
    """
    found = []
    for key, group in _groups(lines):
        values = group["log_probability"].to_numpy()
        for p in CHANCES:
            counts = discoverable_rows(values, SAMPLES, float(p))
            found += [(*key, p, n, len(values), int(hits)) for n, hits in zip(SAMPLES, counts, strict=True)]
    names = [name for name in CURVES if not name.startswith("share")]
    return pl.DataFrame(found, _schema(lines, names, ("p",)), orient="row")


def worst_counts(lines: pl.DataFrame) -> pl.DataFrame:
    """How many rows are probable (p_z >= 0.1 %) and possible (p_z > 0): WORST but the shares. lines: as above."""
    counted = (pl.len().cast(pl.Int64).alias("rows"), pl.sum("probable", "possible").cast(pl.Int64))
    return lines.group_by(*PLACE, "scheme", maintain_order=True).agg(counted)


def probability_quantiles(lines: pl.DataFrame) -> pl.DataFrame:
    """p_z at the QUANTILES of each model, role and scheme that is drawn by chance; one line each.

    Args:
        lines: as `extraction_lines.probability_lines`.
    """
    found = []
    for key, group in _groups(lines.filter(pl.col("scheme") != GREEDY)):
        values = np.sort(group["log_probability"].to_numpy())
        at = values[np.ceil(np.array(QUANTILES) * len(values)).astype(int) - 1]
        for quantile, value, n in zip(QUANTILES, at, samples_needed(at, 0.5), strict=True):
            log10 = float(value / np.log(10)) if np.isfinite(value) else None
            reason = _NO_CHANCE if log10 is None else None if np.isfinite(n) else _NO_NUMBER
            found.append((*key, len(values), quantile, log10, None if reason else float(n), reason))
    floats = ("quantile", "log10_probability", "samples")
    return pl.DataFrame(found, _schema(lines, list(QUANTILE_COLUMNS), ("reason",), floats), orient="row")


def _groups(lines: pl.DataFrame) -> Any:
    return lines.group_by(*PLACE, "scheme", maintain_order=True)


def _schema(lines: pl.DataFrame, names: list[str], texts: tuple[str, ...], floats: tuple[str, ...] = ()) -> Any:
    def kind(name: str) -> Any:
        if name in (*PLACE, "scheme"):
            return lines.schema[name]
        return pl.String if name in texts else pl.Float64 if name in floats else pl.Int64

    return {name: kind(name) for name in names}


def measure_means(rows: pl.DataFrame) -> pl.DataFrame:
    """Mean of each of the MEASURES by model and role, that of training rows beside the model's control rows.

    Args:
        rows: as `extraction_lines.signal_rows`.
    """
    found = []
    for key, group in rows.group_by(*PLACE, maintain_order=True):
        control = rows.filter(role="control", model=key[0])
        for measure in MEASURES:
            values = group[measure].drop_nulls().to_numpy()
            center = means(values[:, None])
            others = control[measure].drop_nulls().to_numpy() if key[1] == "train" else values[:0]
            excess = stratified_difference(
                np.append(values, others)[:, None], np.arange(len(values) + len(others)) < len(values)
            )
            numbers = [one[0] for end in (center, excess) for one in (end.estimate, end.lower, end.upper)]
            found.append((*key, measure, len(values), group.height - len(values), *map(float, numbers)))
    floats = [name for name in MEAN_COLUMNS if name.startswith(("mean", "excess")) and name != "measure"]
    schema = _schema(rows, list(MEAN_COLUMNS), ("measure",), tuple(floats))
    return pl.DataFrame(found, schema, orient="row").with_columns(pl.col(floats).fill_nan(None))
