"""How the excess of shown rows falls after its peak: to a floor (the forgetting baseline), or with the log of time.

Source: P8, section 5, which takes the smallest M that is reached as the baseline; that depends on where training ends.
The floor of a fitted exponential, and the law that competes with it, are our choice (`stats.regression.decay`).
"""

from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.analyses.training.arms import split_names
from mematlas.analyses.training.forgetting.excess import EXCESS_COLUMNS, block_excess, forgetting_excess
from mematlas.stats.regression.decay import LAWS, Decay, exponential, fit_decay

_BY: Final = ["group", "parameters", "branch", "times"]
BASELINE_COLUMNS: Final = {
    "group": "models that branched off from the same one",
    "parameters": "number of weights",
    "branch": "how often it was shown the rows",
    "times": "showings of every row",
    "points": "measurements from the peak of the excess on",
    "a": "of excess = a exp(-b t) + c, t in steps after the last showing",
    "b": "of the same: the rate per step",
    "c": "of the same: the excess that is left in the end",
    "c_lower": "lower end of its 95 % interval (jackknife over blocks of rows)",
    "c_upper": "upper end of the same",
    **{
        f"error_{law.replace('-', '_')}": f"{law}: root mean squared error at points left out, in units of M"
        for law in LAWS
    },
    "law": "the one that predicts points left out better than both others do, by more than chance",
    "reason": "why there is no floor or no law",
}

CURVE_COLUMNS: Final = {
    **{name: EXCESS_COLUMNS[name] for name in ("group", "branch", "times", "after")},
    "curve": "measured, or the fitted exponential",
    "excess": "excess of M",
}


def forgetting_baseline(probes: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """For every branch that was shown rows: the law of its excess from the peak on, and its floor."""
    excess = forgetting_excess(probes, models).filter((pl.col("t") >= 0) & (pl.col("times") > 0))
    blocks = block_excess(split_names(probes))
    types: dict[str, Any] = {**excess.select(_BY).schema, "points": pl.Int64, "law": pl.String, "reason": pl.String}
    schema = {name: types.get(name, pl.Float64) for name in BASELINE_COLUMNS}
    records = []
    for key, curve in excess.group_by(_BY, maintain_order=True):
        named = dict(zip(_BY, key, strict=True))
        of_branch = blocks.filter(group=named["group"], branch=named["branch"])
        records.append(named | _describe(_fit(_from_peak(curve), of_branch)))
    return pl.DataFrame(records, schema=schema)


def fitted_curves(baseline: pl.DataFrame, excess: pl.DataFrame) -> pl.DataFrame:
    """The excess from its peak on and the fitted exponential, for every branch with a floor, at the measured steps."""
    curves = []
    for record in baseline.drop_nulls("c").iter_rows(named=True):
        of_branch = excess.filter(group=record["group"], branch=record["branch"]).filter(pl.col("t") >= 0)
        measured = _from_peak(of_branch).filter(pl.col("after").is_not_null()).with_columns(curve=pl.lit("measured"))
        fitted = exponential(measured["t"].to_numpy(), record["a"], record["b"], record["c"])
        drawn = measured.with_columns(pl.Series("excess", fitted, pl.Float64), curve=pl.lit("fitted"))
        curves += [measured, drawn]
    empty = excess.clear().with_columns(curve=pl.lit(None, pl.String))
    return pl.concat([empty, *curves]).select(*CURVE_COLUMNS)


def _from_peak(curve: pl.DataFrame) -> pl.DataFrame:
    """The measurements from the largest excess on, by step."""
    ordered = curve.sort("t", maintain_order=True)
    return ordered.slice(int(ordered["excess"].arg_max() or 0))


def _fit(curve: pl.DataFrame, blocks: pl.DataFrame) -> Decay:
    """The decay of the blocks' excess at the steps of the curve."""
    wide = blocks.filter(pl.col("step").is_in(curve["step"].implode())).sort("block", "step")
    wide = wide.filter(pl.len().over("block") == curve.height)
    sizes = wide.group_by("block", maintain_order=True).agg(pl.col("n").first())["n"].to_numpy()
    values = wide["excess"].to_numpy().reshape(len(sizes), curve.height)
    return fit_decay(curve["t"].to_numpy(), values, np.asarray(sizes, float))


def _describe(fit: Decay) -> dict[str, Any]:
    errors = {f"error_{law.replace('-', '_')}": fit.errors.get(law) for law in LAWS}
    floor = {"c": fit.c, "c_lower": fit.lower, "c_upper": fit.upper}
    return {"points": fit.count, "a": fit.a, "b": fit.b, **floor, **errors, "law": fit.law, "reason": fit.reason}
