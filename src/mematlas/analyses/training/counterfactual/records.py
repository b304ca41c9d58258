"""The tables of the finding `counterfactual`, each a function of the records of `subset_scores`.

Source: Zhang et al. (P10), sections 3 to 5; the null distribution, the prediction for copies and q are our choice.
"""

from typing import Any, Final

import numpy as np
import polars as pl
from scipy import stats

from mematlas.analyses.training.counterfactual.subset_scores import SubsetArrays, subset_arrays
from mematlas.stats.counterfactual import (
    BIN_EDGES,
    Influence,
    influence,
    memorization,
    permuted_memorization,
    split_half_correlation,
)
from mematlas.stats.estimates.intervals import Z

SEED: Final = 0
PERMUTATIONS: Final = 200  # our choice: of the subsets among the models
SPLITS: Final = 20  # our choice: of the models into two groups
MIN_MODELS: Final = 4  # our choice: in each of the two groups
MAX_INFLUENCE_ROWS: Final = 4096  # our choice: rows whose pairs are tested; of more rows a random sample
CHARTED_ROWS: Final = 500  # our choice: rows drawn as points
MEASURED, PREDICTED, ON_COPIES = "measured", "predicted", "influence on the other copies"
ROWS, LEARNT = "rows", "learnt in full"
OTHERS, COPIES = "other rows", "copies of the row"
MEM_COLUMNS: Final = {
    "row": "id of the row",
    "group": "lowest id of the rows of the same text",
    "copies": "rows of the same text, this one included; null where tokens are not known",
    "source": "source of the row",
    "mem": "in - out: counterfactual memorization; null with fewer than 2 models on a side",
    "mem_lower": "lower end of its 95 % interval: mem - 1.96 se",
    "mem_upper": "upper end of it",
    "se": "standard error: sqrt(s_in^2 / n_in + s_out^2 / n_out)",
    "q": "p-value of mem = 0 among all rows (Benjamini, Hochberg); of a randomized experiment, so not mem / se",
    "in": "mean score of the models trained on the row",
    "out": "mean score of the other models",
    "simplicity": "mean score of all models",
    "n_in": "models trained on the row",
    "n_out": "other models",
    "charted": f"whether the charts show it: {CHARTED_ROWS} random rows at most",
}
SIMPLICITY_COLUMNS: Final = {
    "row": "id of the row; those that the charts show",
    "what": f"{ROWS}: as measured; {LEARNT}: mem of a row of this simplicity that all models trained on it know, (1 - "
    "simplicity) / (1 - r)",
    "simplicity": "r in + (1 - r) out: mean score of all models, if as many of them as of other rows had been trained "
    "on it",
    "mem": "counterfactual memorization",
}
COPY_COLUMNS: Final = {
    "source": "source of the rows",
    "copies": "rows of the same text",
    "what": f"{MEASURED}: mem; {PREDICTED}: mem of single rows of the source times (1 - r)^(copies - 1), for a text "
    f"that models know if trained on any copy; {ON_COPIES}: mean influence of a row on them",
    "rows": "rows with a known mem",
    "groups": "texts, each counted once in the mean",
    "value": "mean over texts of the mean over their rows",
    "value_lower": "lower end of its 95 % interval, Student's t over texts",
    "value_upper": "upper end of it",
    "error": "its standard error",
}
CONVERGENCE_COLUMNS: Final = {
    "models": "models in each of two disjoint random groups",
    "correlation": f"Spearman's correlation of mem between them, mean of {SPLITS} pairs of groups",
    "correlation_lower": "lower end of the middle 95 % of them",
    "correlation_upper": "upper end of it",
}
NULL_COLUMNS: Final = {
    "membership": "true: as trained; permuted: each model with the subset of another one",
    "mean": f"mean mem of the rows; for permuted membership the mean of {PERMUTATIONS} permutations",
    "mean_lower": "lower end of the middle 95 % of the permutations",
    "mean_upper": "upper end of it",
    "deviation": "standard deviation of mem among the rows; for permuted membership the mean of the permutations",
    "rows": "rows with a known mem",
}
INFLUENCE_COLUMNS: Final = {
    "source": "row trained on",
    "target": "row scored",
    "influence": "mean score of the target in models trained on the source, minus that in the others",
    "se": "standard error, as of mem",
    "z": "the same among models not trained on the target / its standard error if the source changes nothing; pairs "
    "with |z| of 4 or more are listed",
    "q": "p-value of no influence among all pairs tested (Benjamini, Hochberg); at least that of an exact test",
    "copy": "whether both have the same text",
    "tested": "pairs tested: without those of a row with itself, and of rows that are always trained on together",
}
HISTOGRAM_COLUMNS: Final = {
    "target": f"{OTHERS}: rows of another text; {COPIES}",
    "influence": "middle of the bin, 0.05 wide",
    "pairs": "pairs tested with such an influence",
    "share": "pairs / all pairs of the kind",
}


def row_memorization(lines: pl.DataFrame) -> pl.DataFrame:
    """One record per row: MEM_COLUMNS."""
    arrays = subset_arrays(lines)
    result = memorization(arrays.members, arrays.scores)
    columns = {
        "mem": result.memorization,
        "mem_lower": result.memorization - Z * result.error,
        "mem_upper": result.memorization + Z * result.error,
        "se": result.error,
        "q": result.q,
        "in": result.inside,
        "out": result.outside,
        "simplicity": result.simplicity,
    }
    chosen = np.random.default_rng(SEED).permutation(arrays.rows.height)[:CHARTED_ROWS]
    frame = arrays.rows.with_columns(
        *(pl.Series(name, values, pl.Float64).fill_nan(None) for name, values in columns.items()),
        pl.Series("n_in", result.n_in, pl.Int64),
        pl.Series("n_out", result.n_out, pl.Int64),
        pl.int_range(pl.len()).is_in(chosen.tolist()).replace_strict({True: "yes", False: "no"}).alias("charted"),
    )
    return frame.select(*MEM_COLUMNS)


def memorization_by_simplicity(lines: pl.DataFrame) -> pl.DataFrame:
    """Two records per charted row, measured and on the line of rows learnt in full: SIMPLICITY_COLUMNS."""
    rows = row_memorization(lines).filter(pl.col("mem").is_not_null(), charted="yes")
    share = share_trained(rows)
    simplicity = share * pl.col("in") + (1 - share) * pl.col("out")
    frames = [
        rows.select("row", what=pl.lit(LEARNT), simplicity=simplicity, mem=(1 - simplicity) / (1 - share)),
        rows.select("row", "mem", what=pl.lit(ROWS), simplicity=simplicity),  # drawn above the line
    ]
    return pl.concat(frames, how="diagonal").select(*SIMPLICITY_COLUMNS)


def share_trained(rows: pl.DataFrame) -> float:
    """r: the share of models that a row was in, over all `rows` (n_in, n_out)."""
    n_in, n_out = int(rows["n_in"].to_numpy().sum()), int(rows["n_out"].to_numpy().sum())
    return n_in / max(1, n_in + n_out)


def memorization_by_copies(lines: pl.DataFrame) -> pl.DataFrame:
    """Mean memorization by the copies of a row, within each source of which some rows have copies: COPY_COLUMNS."""
    arrays = subset_arrays(lines)
    tested = _sampled(arrays)
    on_copies = tested.rows.select("row", on_copies=pl.Series(_influence(tested).on_copies, dtype=pl.Float64))
    rows = row_memorization(lines).join(on_copies, on="row", how="left")
    known = rows.with_columns(pl.col("source").fill_null("unknown")).filter(
        pl.col("mem").is_not_null(), pl.col("copies").is_not_null()
    )
    with_copies = known.filter(pl.col("copies") > 1)["source"].unique().sort().to_list()
    share_out = 1 - share_trained(known)
    records = []
    for source in with_copies:
        of_source = known.filter(source=source)
        single = _group_mean(of_source.filter(copies=1), "mem")
        for copies in of_source["copies"].unique().sort():
            alike = of_source.filter(copies=copies)
            size = {"source": source, "copies": copies, "rows": alike.height, "groups": alike["group"].n_unique()}
            records.append(size | {"what": MEASURED} | _group_mean(alike, "mem"))
            records.append(size | {"what": PREDICTED} | _scaled(single, share_out ** (copies - 1)))
            if copies > 1:
                records.append(size | {"what": ON_COPIES} | _group_mean(alike, "on_copies"))
    types = {
        **dict.fromkeys(("source", "what"), pl.String),
        **dict.fromkeys(("copies", "rows", "groups"), pl.Int64),
        **dict.fromkeys(("value", "value_lower", "value_upper", "error"), pl.Float64),
    }
    return pl.DataFrame(records, schema={name: types[name] for name in COPY_COLUMNS}, orient="row")


def _group_mean(rows: pl.DataFrame, column: str) -> dict[str, float | None]:
    """Mean over texts, its interval and standard error; null without texts, no interval of a single one."""
    means = rows.group_by("group").agg(pl.mean(column)).sort("group")[column].drop_nulls().drop_nans().to_numpy()
    if not len(means):
        return dict.fromkeys(("value", "value_lower", "value_upper", "error"))
    value = float(means.mean())
    if len(means) < 2:
        return {"value": value, "value_lower": None, "value_upper": None, "error": None}
    error = float(means.std(ddof=1) / np.sqrt(len(means)))
    half_width = float(stats.t.ppf(0.975, len(means) - 1)) * error
    return {"value": value, "value_lower": value - half_width, "value_upper": value + half_width, "error": error}


def _scaled(mean: dict[str, float | None], factor: float) -> dict[str, float | None]:
    return {name: None if value is None else factor * value for name, value in mean.items()}


def memorization_convergence(lines: pl.DataFrame) -> pl.DataFrame:
    """Agreement of two disjoint groups of models, of doubling sizes: CONVERGENCE_COLUMNS."""
    arrays = subset_arrays(lines)
    sizes, size = [], len(arrays.members) // 2
    while size >= MIN_MODELS:
        sizes.append(size)
        size //= 2
    records = [
        (size, *split_half_correlation(arrays.members, arrays.scores, size, SPLITS, SEED)) for size in reversed(sizes)
    ]
    schema = dict.fromkeys(CONVERGENCE_COLUMNS, pl.Float64) | {"models": pl.Int64}
    return pl.DataFrame(records, schema=schema, orient="row").fill_nan(None)


def permuted_membership(lines: pl.DataFrame) -> pl.DataFrame:
    """Mean memorization as trained, and with the models' subsets exchanged among them: NULL_COLUMNS."""
    arrays = subset_arrays(lines)
    own = memorization(arrays.members, arrays.scores).memorization
    own = own[~np.isnan(own)]
    means, deviations = permuted_memorization(arrays.members, arrays.scores, PERMUTATIONS, SEED)
    lower, upper = np.quantile(means, (0.025, 0.975))
    records = [
        ("true", own.mean() if len(own) else None, None, None, own.std() if len(own) else None, len(own)),
        ("permuted", means.mean(), min(lower, means.mean()), max(upper, means.mean()), deviations.mean(), len(own)),
    ]
    schema = dict.fromkeys(NULL_COLUMNS, pl.Float64) | {"membership": pl.String, "rows": pl.Int64}
    return pl.DataFrame(records, schema=schema, orient="row").fill_nan(None)


def row_influence(lines: pl.DataFrame) -> pl.DataFrame:
    """The pairs of rows with the largest influences, the surest first: INFLUENCE_COLUMNS."""
    arrays = _sampled(subset_arrays(lines))
    result, rows = _influence(arrays), arrays.rows["row"].to_numpy()
    columns: dict[str, Any] = {
        "source": rows[result.source],
        "target": rows[result.target],
        "influence": result.influence,
        "se": result.error,
        "z": result.z,
        "q": result.q,
        "copy": np.where(result.is_copy, "yes", "no"),
    }
    types = dict.fromkeys(("influence", "se", "z", "q"), pl.Float64) | dict.fromkeys(("source", "target"), pl.Int64)
    frame = pl.DataFrame(columns, schema={name: types.get(name, pl.String) for name in columns})
    order = pl.col("z").abs()
    return frame.with_columns(tested=pl.lit(result.tested, pl.Int64)).sort(
        order, "source", "target", descending=[True, False, False]
    )


def influence_histogram(lines: pl.DataFrame) -> pl.DataFrame:
    """Numbers of pairs by their influence, for copies and for other rows: HISTOGRAM_COLUMNS."""
    histogram = _influence(_sampled(subset_arrays(lines))).histogram
    centers = np.round((BIN_EDGES[1:] + BIN_EDGES[:-1]) / 2, 3)
    frames = [
        pl.DataFrame({"target": kind, "influence": centers + 0.0, "pairs": counts}).with_columns(
            share=pl.col("pairs") / counts.sum()
        )
        for kind, counts in zip((OTHERS, COPIES), histogram, strict=True)
        if counts.sum()
    ]
    schema = {"target": pl.String, "influence": pl.Float64, "pairs": pl.Int64, "share": pl.Float64}
    return pl.concat([pl.DataFrame(schema=schema), *frames])


def _sampled(arrays: SubsetArrays) -> SubsetArrays:
    """The rows whose pairs are tested."""
    if arrays.rows.height <= MAX_INFLUENCE_ROWS:
        return arrays
    rows = np.sort(np.random.default_rng(SEED).choice(arrays.rows.height, MAX_INFLUENCE_ROWS, replace=False))
    return SubsetArrays(arrays.rows[rows], arrays.members[:, rows], arrays.scores[:, rows])


def _influence(arrays: SubsetArrays) -> Influence:
    return influence(arrays.members, arrays.scores, arrays.rows["group"].to_numpy())
