"""Statistics of the rows' p_z: (n, p)-discoverable rows, the worst case, quantiles, and means of two more measures.

Sources: K3 (a) for (n, p)-discoverable extraction and its worst case; K11 for the threshold of 0.1 %; K12 for
extraction strength; P8, A.3 for the memory unit length. The grids of n and p and the quantiles are our choice.
"""

from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.analyses.extraction.probability.row_probabilities import GREEDY, MEASURES, SCHEME_DESCRIPTION
from mematlas.analyses.frames.memorized_shares import ROLE_DESCRIPTION
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS, with_interval_of_sums
from mematlas.stats.estimates.averages import means
from mematlas.stats.estimates.clustered import dense_labels, stacked_sums
from mematlas.stats.estimates.contrasts import stratified_difference
from mematlas.stats.extraction import discoverable_sums, samples_needed

SAMPLE_COUNTS: Final = (*(step * 10**power for power in range(6) for step in (1, 2, 5)), 10**6)
CHANCES: Final = ("0.1", "0.5", "0.9", "0.999")
QUANTILES: Final = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
KEY_COLUMNS: Final = {
    "model": "label of the model",
    "role": ROLE_DESCRIPTION,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
}
CURVE_COLUMNS: Final = {
    **KEY_COLUMNS,
    "scheme": SCHEME_DESCRIPTION,
    "p": "chance wanted of drawing the whole continuation at least once",
    "samples": "n: how often the model is sampled from",
    "rows": "rows whose p_z is known",
    "discoverable": "of these, (n, p)-discoverable rows: 1 - (1 - p_z)^n >= p",
    "share": "discoverable / rows",
    "share_lower": "lower end of its Wilson 95 % interval",
    "share_upper": "upper end of it",
    **SAMPLE_COLUMNS,
}
SIZE_COLUMNS: Final = {"parameters": "number of weights", **CURVE_COLUMNS}
WORST_CASE_COLUMNS: Final = {
    **KEY_COLUMNS,
    "scheme": SCHEME_DESCRIPTION,
    "rows": "rows whose p_z is known",
    "probable": "of these, rows with p_z >= 0.1 %, from which on K11 calls a text extracted",
    "probable_share": "probable / rows",
    "probable_share_lower": "lower end of its Wilson 95 % interval",
    "probable_share_upper": "upper end of it",
    "possible": "rows with p_z > 0: discoverable with enough samples, for whatever p",
    "possible_share": "possible / rows: the worst case",
    "possible_share_lower": "lower end of its Wilson 95 % interval",
    "possible_share_upper": "upper end of it",
    "clusters": SAMPLE_COLUMNS["clusters"],
    "probable_design_effect": f"of probable_share: {SAMPLE_COLUMNS['design_effect']}",
    "possible_design_effect": "of possible_share",
}
QUANTILE_COLUMNS: Final = {
    **KEY_COLUMNS,
    "scheme": SCHEME_DESCRIPTION,
    "rows": "rows whose p_z is known",
    "quantile": "share of the rows whose p_z is as small or smaller",
    "log10_probability": "log10 of p_z at that quantile, a value that a row has; null where p_z = 0",
    "samples": "n that gives p = 0.5 there",
    "reason": "why there is no n",
}
MEAN_COLUMNS: Final = {
    **KEY_COLUMNS,
    "measure": "extraction_strength: 1 - k / L (K12), share of the continuation; memory_unit_length: mean run of "
    "consecutive hits along the truth in the whole window (P8, A.3), tokens",
    "rows": "rows that have one",
    "without": "rows that have none: hits unknown, or, for the unit length, no hit at all",
    "mean": "mean over the rows",
    "mean_lower": "lower end of its Student 95 % interval; null for one cluster, or rows that are all the same",
    "mean_upper": "upper end of it",
    "clusters": SAMPLE_COLUMNS["clusters"],
    "design_effect": "variance of the mean over that of so many independent rows; 1 for independent rows",
    "excess": "mean - mean of the control rows of the same model; null on lines of a control",
    "excess_lower": "lower end of its Welch 95 % interval",
    "excess_upper": "upper end of it",
}
_ZERO_PROBABILITY: Final = "p_z = 0: no number of samples is enough"
_TOO_MANY_SAMPLES: Final = "p_z is below 1e-304: more samples than a number can hold"


def discoverable_shares(probabilities: pl.DataFrame) -> pl.DataFrame:
    """The share of rows that are (n, p)-discoverable, for all SAMPLE_COUNTS and CHANCES; columns CURVE_COLUMNS.

    Args:
        probabilities: from `probability_lines`.
    """
    names = [name for name in CURVE_COLUMNS if name not in ("share", "share_lower", "share_upper", *SAMPLE_COLUMNS)]
    schema = _schema(probabilities, names, ("p",))
    frames = []
    for key, group in _scheme_groups(probabilities):
        values, labels = group["log_probability"].to_numpy(), dense_labels(group["cluster"].to_numpy(), group.height)
        sums = stacked_sums([discoverable_sums(values, SAMPLE_COUNTS, float(p), labels) for p in CHANCES])
        cells = [(p, n) for p in CHANCES for n in SAMPLE_COUNTS]
        records = [(*key, p, n, len(values), int(hits)) for (p, n), hits in zip(cells, sums.hits.tolist(), strict=True)]
        frames.append(with_interval_of_sums(pl.DataFrame(records, schema, orient="row"), sums))
    if not frames:
        floats = dict.fromkeys(("share", "share_lower", "share_upper", "design_effect"), pl.Float64)
        return pl.DataFrame(schema=schema | floats | {"clusters": pl.Int64}).select(*CURVE_COLUMNS)
    return pl.concat(frames).select(*CURVE_COLUMNS)


def worst_case_counts(probabilities: pl.DataFrame, *by: str) -> pl.DataFrame:
    """How many rows are probable (p_z >= 0.1 %) and possible (p_z > 0): WORST_CASE_COLUMNS without the shares.

    Args:
        probabilities: from `probability_lines`; by: further columns to group by.
    """
    counts = (pl.len().cast(pl.Int64).alias("rows"), pl.sum("probable", "possible").cast(pl.Int64))
    return probabilities.group_by(*KEY_COLUMNS, "scheme", *by, maintain_order=True).agg(counts)


def probability_quantiles(probabilities: pl.DataFrame) -> pl.DataFrame:
    """p_z at the QUANTILES, by model, role and sampling scheme except greedy; one record each.

    Args:
        probabilities: from `probability_lines`.
    """
    records = []
    for key, group in _scheme_groups(probabilities.filter(pl.col("scheme") != GREEDY)):
        values = np.sort(group["log_probability"].to_numpy())
        quantile_values = values[np.ceil(np.array(QUANTILES) * len(values)).astype(int) - 1]
        for quantile, value, n in zip(QUANTILES, quantile_values, samples_needed(quantile_values, 0.5), strict=True):
            log10 = float(value / np.log(10)) if np.isfinite(value) else None
            reason = _ZERO_PROBABILITY if log10 is None else None if np.isfinite(n) else _TOO_MANY_SAMPLES
            records.append((*key, len(values), quantile, log10, None if reason else float(n), reason))
    floats = ("quantile", "log10_probability", "samples")
    return pl.DataFrame(records, _schema(probabilities, list(QUANTILE_COLUMNS), ("reason",), floats), orient="row")


def _scheme_groups(probabilities: pl.DataFrame) -> Any:
    return probabilities.group_by(*KEY_COLUMNS, "scheme", maintain_order=True)


def _schema(frame: pl.DataFrame, names: list[str], texts: tuple[str, ...], floats: tuple[str, ...] = ()) -> Any:
    def dtype(name: str) -> Any:
        if name in (*KEY_COLUMNS, "scheme"):
            return frame.schema[name]
        return pl.String if name in texts else pl.Float64 if name in floats else pl.Int64

    return {name: dtype(name) for name in names}


def measure_means(rows: pl.DataFrame) -> pl.DataFrame:
    """Mean of each of the MEASURES by model and role, and the excess of training rows over the model's control rows.

    Args:
        rows: from `signal_rows`.
    """
    records = []
    for key, group in rows.group_by(*KEY_COLUMNS, maintain_order=True):
        control = rows.filter(role="control", model=key[0])
        for measure in MEASURES:
            known = group.drop_nulls(measure)
            mean = means(known[measure].to_numpy()[:, None], clusters=known["cluster"].to_numpy())
            others = control.drop_nulls(measure) if key[1] == "train" else control.clear()
            both = pl.concat([known, others])
            is_member = np.arange(both.height) < known.height
            values, clusters = both[measure].to_numpy()[:, None], both["cluster"].to_numpy()
            excess = stratified_difference(values, is_member, clusters=clusters)
            numbers = [
                float(estimate[0])
                for result in (mean, excess)
                for estimate in (result.estimate, result.lower, result.upper)
            ]
            sample = int(mean.clusters[0]), float(mean.design_effect[0])
            counts = known.height, group.height - known.height
            records.append((*key, measure, *counts, *numbers[:3], *sample, *numbers[3:]))
    floats = ["design_effect", *(name for name in MEAN_COLUMNS if name.startswith(("mean", "excess")))]
    schema = _schema(rows, list(MEAN_COLUMNS), ("measure",), tuple(floats))
    return pl.DataFrame(records, schema, orient="row").with_columns(pl.col(floats).fill_nan(None))
