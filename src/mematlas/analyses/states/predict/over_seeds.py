"""Predictors over seeds: means with Student's interval, and differences between predictors paired by seed.

Our choice. A seed draws the split by documents, the weights and the order, so that an interval speaks of these and not
of other corpora; there is none for one seed, or where all seeds give the same number.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from mematlas.analyses.states.predict.predictions import KEYS
from mematlas.analyses.states.predict.scores import BIN, CONTROL, LEVEL, POSITION
from mematlas.stats.estimates.averages import means
from mematlas.study.schemas.predictions import BASELINES, MAJORITY, PREDICTOR

PLACE: Final = KEYS[:4]
MEASURES: Final = ("token_accuracy", "full_accuracy", "auroc", "auprc", "f1", "ece")
GAINS: Final = ("auroc_gain", "token_accuracy_gain", "full_accuracy_gain")
SIZES: Final = ("context_token", "context_full", "generated_token", "generated_full", "guess_token", "guess_full")
_COUNTS: Final = ("rows", "tokens")
_SIGNED: Final = ("_gain", "_change")  # differences of shares; all else is a share
_SCORED: Final = tuple(name.removesuffix("_gain") for name in GAINS)


def over_seeds(
    lines: pl.DataFrame, by: Sequence[str], values: Sequence[str], plain: Sequence[str] = ()
) -> pl.DataFrame:
    """One line a value of `by`, in order of appearance.

    Args:
        lines: one line a seed; rows and tokens, where there, are added up. values: shares, or differences of shares;
            they get a mean and its interval, cut to where they can lie; plain: get a mean alone.

    Returns:
        by, seeds, rows, tokens, plain, and value, value_lower, value_upper each.
    """
    counts = [name for name in _COUNTS if name in lines.columns]
    names = [f"{name}{end}" for name in values for end in ("", "_lower", "_upper")]
    found = []
    for key, group in lines.group_by(by, maintain_order=True):
        centers = means(group.select(*values, *plain).cast(pl.Float64).fill_null(np.nan).to_numpy())
        least = np.array([-1.0 if name.endswith(_SIGNED) else 0.0 for name in (*values, *plain)])
        ends = (np.clip(end, least, 1.0) for end in (centers.lower, centers.upper))
        columns = np.stack([centers.estimate, *ends], 1)
        numbers = [*columns[len(values) :, 0], *columns[: len(values)].ravel()]
        found.append((*key, group["seed"].n_unique(), *(group[name].sum() for name in counts), *numbers))
    types = {name: lines.schema[name] for name in by} | {name: pl.Int64() for name in ("seeds", *counts)}
    types |= {name: pl.Float64() for name in (*plain, *names)}
    return pl.DataFrame(found, schema=types, orient="row").fill_nan(None)


def prediction_scores(lines: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """`seed_scores` over seeds, with each tested model's parameters. models: model, parameters (null or 0: unknown)."""
    found = over_seeds(lines, (*PLACE, "continuation"), MEASURES, ("base_rate", "guess"))
    sizes = models.select(tested="model", parameters=pl.when(pl.col("parameters") > 0).then("parameters"))
    return found.join(sizes, on="tested", how="left", maintain_order="left")


def prediction_gains(lines: pl.DataFrame) -> pl.DataFrame:
    """The predictor minus each baseline, on the states that both were fitted to, paired by seed; from `seed_scores`."""
    own = lines.filter(pl.col("model") == pl.col("tested"))
    keys = ("model", "sees", "continuation", "seed")
    ours = own.filter(method=PREDICTOR).select(*keys, *_SCORED)
    others = own.filter(pl.col("method").is_in(BASELINES)).select(*keys, "method", *_SCORED)
    pairs = others.join(ours, on=keys, how="inner", suffix="_ours", maintain_order="left")
    apart = [(pl.col(f"{name}_ours") - pl.col(name)).alias(f"{name}_gain") for name in _SCORED]
    return over_seeds(pairs.with_columns(apart), ("model", "sees", "method", "continuation"), GAINS)


def prediction_transfer(lines: pl.DataFrame) -> pl.DataFrame:
    """What was fitted to another model beside what was fitted to the tested one itself, and the first minus the second,
    paired by seed; from `seed_scores`."""
    keys, names = ("tested", "sees", "method", "continuation", "seed"), ("auroc", "token_accuracy")
    own = lines.filter(pl.col("model") == pl.col("tested")).select(*keys, *(pl.col(n).alias(f"own_{n}") for n in names))
    other = lines.filter(pl.col("model") != pl.col("tested"))
    pairs = other.join(own, on=keys, how="left", maintain_order="left")
    apart = [(pl.col(name) - pl.col(f"own_{name}")).alias(f"{name}_change") for name in names]
    values = ("auroc", "own_auroc", "auroc_change", "token_accuracy", "own_token_accuracy", "token_accuracy_change")
    return over_seeds(pairs.with_columns(apart), (*PLACE, "continuation"), values, ("guess",))


def prediction_control(lines: pl.DataFrame) -> pl.DataFrame:
    """`seed_control` over seeds."""
    return over_seeds(lines, (*PLACE, "continuation"), CONTROL)


def prediction_levels(lines: pl.DataFrame) -> pl.DataFrame:
    """`seed_levels` over seeds, of predictors tested on their own model; levels without a row are left out."""
    own = lines.filter(pl.col("model") == pl.col("tested"))
    found = over_seeds(own, ("model", "sees", "method", "level"), LEVEL[:2], LEVEL[2:])
    return found.filter(pl.col("rows") > 0)


def prediction_calibration(lines: pl.DataFrame) -> pl.DataFrame:
    """`seed_calibration` over seeds, of predictors tested on their own model."""
    own = lines.filter(pl.col("model") == pl.col("tested"))
    return over_seeds(own, ("model", "sees", "method", "bin"), ("recited",), (BIN[0], BIN[2]))


def prediction_positions(lines: pl.DataFrame) -> pl.DataFrame:
    """`seed_positions` over seeds, of predictors tested on their own model."""
    own = lines.filter(pl.col("model") == pl.col("tested"))
    return over_seeds(own, ("model", "sees", "method", "position"), POSITION[:1], POSITION[1:])


def accuracy_by_size(lines: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """As P1's table, in percent: the predictor of each model before generating (context) and while (generated), beside
    what always saying the commoner class gives; from `seed_scores`. SIZES are null where there is no such predictor."""
    own, keys = lines.filter(pl.col("model") == pl.col("tested")), ("model", "continuation")
    ours = own.filter(method=PREDICTOR)
    found = over_seeds(ours, keys, (), ("guess",)).select(*keys, guess_token="guess")
    majority = _means(own.filter(method=MAJORITY), "guess").drop("guess_token")
    found = found.join(majority, on=keys, how="left", maintain_order="left")
    for sees in ("context", "generated"):
        found = found.join(_means(ours.filter(sees=sees), sees), on=keys, how="left", maintain_order="left")
    sizes = models.select("model", parameters=pl.when(pl.col("parameters") > 0).then("parameters"))
    found = found.join(sizes, on="model", how="left", maintain_order="left")
    return found.select("continuation", "model", "parameters", *(pl.col(name) * 100 for name in SIZES))


def _means(lines: pl.DataFrame, name: str) -> pl.DataFrame:
    found = over_seeds(lines, ("model", "continuation"), (), ("token_accuracy", "full_accuracy"))
    renamed = {"token_accuracy": f"{name}_token", "full_accuracy": f"{name}_full"}
    return found.select("model", "continuation", *renamed).rename(renamed)
