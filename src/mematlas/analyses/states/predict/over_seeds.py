"""Predictors over seeds: means with Student's interval, and transfer between models, paired by seed.

Our choice. A seed determines the split by documents, the initial weights and the order, so that intervals cover these
but not other corpora; there is no interval for a single seed, or where all seeds give the same number.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from mematlas.analyses.states.predict.predictions import KEYS
from mematlas.analyses.states.predict.scores import BIN_COLUMNS, CONTROL_COLUMNS, LEVEL_COLUMNS, POSITION_COLUMNS
from mematlas.stats.estimates.averages import means
from mematlas.study.schemas.predictions import MAJORITY, PREDICTOR

PREDICTOR_KEYS: Final = KEYS[:4]
SCORE_COLUMNS: Final = ("token_accuracy", "full_accuracy", "auroc", "auprc", "f1", "ece")
SIZE_COLUMNS: Final = (
    "context_token",
    "context_full",
    "generated_token",
    "generated_full",
    "guess_token",
    "guess_full",
)
_COUNTS: Final = ("rows", "tokens")
_DIFFERENCE_SUFFIXES: Final = ("_gain", "_change")  # differences of shares; all else is a share


def over_seeds(
    seed_records: pl.DataFrame, by: Sequence[str], values: Sequence[str], mean_only: Sequence[str] = ()
) -> pl.DataFrame:
    """Aggregates over seeds: one record per distinct value of `by`, in order of appearance.

    Args:
        seed_records: one record per seed. The columns rows and tokens, if present, are summed.
        values: shares, or differences of shares; each gets a mean and its interval, clipped to the possible range.
        mean_only: columns that get only a mean.

    Returns:
        by, seeds, rows, tokens, mean_only, and value, value_lower, value_upper for each of `values`.
    """
    counts = [name for name in _COUNTS if name in seed_records.columns]
    names = [f"{name}{bound}" for name in values for bound in ("", "_lower", "_upper")]
    records = []
    for key, group in seed_records.group_by(by, maintain_order=True):
        estimates = means(group.select(*values, *mean_only).cast(pl.Float64).fill_null(np.nan).to_numpy())
        lower_limits = np.array(
            [-1.0 if name.endswith(_DIFFERENCE_SUFFIXES) else 0.0 for name in (*values, *mean_only)]
        )
        bounds = (np.clip(bound, lower_limits, 1.0) for bound in (estimates.lower, estimates.upper))
        columns = np.stack([estimates.estimate, *bounds], 1)
        numbers = [*columns[len(values) :, 0], *columns[: len(values)].ravel()]
        records.append((*key, group["seed"].n_unique(), *(group[name].sum() for name in counts), *numbers))
    types = {name: seed_records.schema[name] for name in by} | {name: pl.Int64() for name in ("seeds", *counts)}
    types |= {name: pl.Float64() for name in (*mean_only, *names)}
    return pl.DataFrame(records, schema=types, orient="row").fill_nan(None)


def prediction_scores(seed_records: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """`seed_scores` over seeds, with each tested model's parameters.

    Args:
        models: model, parameters (null or 0: unknown).
    """
    means_table = over_seeds(seed_records, (*PREDICTOR_KEYS, "continuation"), SCORE_COLUMNS, ("base_rate", "guess"))
    sizes = models.select(tested="model", parameters=pl.when(pl.col("parameters") > 0).then("parameters"))
    return means_table.join(sizes, on="tested", how="left", maintain_order="left")


def prediction_transfer(seed_records: pl.DataFrame) -> pl.DataFrame:
    """Predictors fitted to another model, those fitted to the tested model itself, and their difference.

    Paired by seed; from `seed_scores`.
    """
    keys, names = ("tested", "sees", "method", "continuation", "seed"), ("auroc", "token_accuracy")
    own_model = seed_records.filter(pl.col("model") == pl.col("tested")).select(
        *keys, *(pl.col(n).alias(f"own_{n}") for n in names)
    )
    other_model = seed_records.filter(pl.col("model") != pl.col("tested"))
    pairs = other_model.join(own_model, on=keys, how="left", maintain_order="left")
    changes = [(pl.col(name) - pl.col(f"own_{name}")).alias(f"{name}_change") for name in names]
    values = ("auroc", "own_auroc", "auroc_change", "token_accuracy", "own_token_accuracy", "token_accuracy_change")
    return over_seeds(pairs.with_columns(changes), (*PREDICTOR_KEYS, "continuation"), values, ("guess",))


def prediction_control(seed_records: pl.DataFrame) -> pl.DataFrame:
    """`seed_control` over seeds."""
    return over_seeds(seed_records, (*PREDICTOR_KEYS, "continuation"), CONTROL_COLUMNS)


def prediction_levels(seed_records: pl.DataFrame) -> pl.DataFrame:
    """`seed_levels` over seeds, of predictors tested on their own model; levels without rows are left out."""
    own_model = seed_records.filter(pl.col("model") == pl.col("tested"))
    levels = over_seeds(own_model, ("model", "sees", "method", "level"), LEVEL_COLUMNS[:2], LEVEL_COLUMNS[2:])
    return levels.filter(pl.col("rows") > 0)


def prediction_calibration(seed_records: pl.DataFrame) -> pl.DataFrame:
    """`seed_calibration` over seeds, of predictors tested on their own model."""
    own_model = seed_records.filter(pl.col("model") == pl.col("tested"))
    return over_seeds(own_model, ("model", "sees", "method", "bin"), ("recited",), (BIN_COLUMNS[0], BIN_COLUMNS[2]))


def prediction_positions(seed_records: pl.DataFrame) -> pl.DataFrame:
    """`seed_positions` over seeds, of predictors tested on their own model."""
    own_model = seed_records.filter(pl.col("model") == pl.col("tested"))
    return over_seeds(own_model, ("model", "sees", "method", "position"), POSITION_COLUMNS[:1], POSITION_COLUMNS[1:])


def accuracy_by_size(seed_records: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """Accuracies in percent as in P1's table, from `seed_scores`.

    The predictor of each model before generating (context) and while generating (generated), and the accuracy of always
    predicting the majority class. SIZE_COLUMNS are null where there is no such predictor.
    """
    own_model, keys = seed_records.filter(pl.col("model") == pl.col("tested")), ("model", "continuation")
    predictor = own_model.filter(method=PREDICTOR)
    accuracies = over_seeds(predictor, keys, (), ("guess",)).select(*keys, guess_token="guess")
    majority = _mean_accuracies(own_model.filter(method=MAJORITY), "guess").drop("guess_token")
    accuracies = accuracies.join(majority, on=keys, how="left", maintain_order="left")
    for sees in ("context", "generated"):
        accuracies = accuracies.join(
            _mean_accuracies(predictor.filter(sees=sees), sees), on=keys, how="left", maintain_order="left"
        )
    sizes = models.select("model", parameters=pl.when(pl.col("parameters") > 0).then("parameters"))
    accuracies = accuracies.join(sizes, on="model", how="left", maintain_order="left")
    return accuracies.select("continuation", "model", "parameters", *(pl.col(name) * 100 for name in SIZE_COLUMNS))


def _mean_accuracies(seed_records: pl.DataFrame, name: str) -> pl.DataFrame:
    means_table = over_seeds(seed_records, ("model", "continuation"), (), ("token_accuracy", "full_accuracy"))
    renamed = {"token_accuracy": f"{name}_token", "full_accuracy": f"{name}_full"}
    return means_table.select("model", "continuation", *renamed).rename(renamed)
