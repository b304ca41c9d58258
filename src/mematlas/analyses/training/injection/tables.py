"""Summaries of the curve: by showings, by frequency, the showings at which half the cap is reached, and illusions."""

from typing import Any, Final

import polars as pl

from mematlas.analyses.training.arms import block_means
from mematlas.analyses.training.injection.curve import CONTROL, CONTROL_MODEL, CURVE_COLUMNS, TREATMENT
from mematlas.stats.regression.isotonic import crossing

#: Lengths from which a sequence counts as recited (our choice).
THRESHOLDS: Final = (8, 16, 32)

#: What intervals are over: a sequence in the models of one seed.
_UNIT: Final = pl.format("{} {}", "group", "sequence")
_INTERVAL: Final = "of its 95 % interval (Student's t over sequences of all seeds)"
_KEYS: Final = {name: CURVE_COLUMNS[name] for name in ("model", "parameters", "kind")}
LENGTH_COLUMNS: Final = {
    **_KEYS,
    "arm": "treatment, or control model: the same sequences at the same steps, without the showings",
    "showings": "from so many showings on, and less than twice as many",
    "sequences": "sequences of all seeds, each with the mean over its measurements",
    "length": "mean V: tokens recited at most, over all prompts inside a sequence",
    "length_lower": f"lower end {_INTERVAL}",
    "length_upper": f"upper end {_INTERVAL}",
    "longest": "largest V",
}
FREQUENCY_COLUMNS: Final = {
    **_KEYS,
    "period": CURVE_COLUMNS["period"],
    "mode": CURVE_COLUMNS["mode"],
    "sequences": "sequences of all seeds",
    "showings": "mean number of showings",
    "V_treatment": "mean V at the end, in the treatment",
    "V_control": "mean V at the end, in the control",
    "dV": "mean of V_treatment - V_control",
    "dV_lower": f"lower end {_INTERVAL}",
    "dV_upper": f"upper end {_INTERVAL}",
    "text_treatment": "mean length in the treatment by P3's own measure, on text; null if not measured",
    "text_control": "the same in the control",
}
THRESHOLD_COLUMNS: Final = {
    **_KEYS,
    "cap": CURVE_COLUMNS["cap"],
    "sequences": "sequences of all seeds",
    "most": "most showings of a sequence",
    "n50": "showings at which the rising (isotonic) fit of V reaches half of the cap; null if it does not",
    "low": "lower end of its 95 % interval (bootstrap over sequences); null if it is beyond all showings",
    "high": "upper end of the same; null if it is beyond all showings",
    "reason": "why there is no n50",
}
ILLUSION_COLUMNS: Final = {
    **_KEYS,
    "threshold": "V from which a sequence counts as recited",
    "sequences": "sequences that were injected",
    "recited": "of these, recited by the treatment at the end",
    "copied": "of the recited ones, those whose prompts hold what is recited",
    "illusions": "recited by the control, which was never shown them",
}


def injection_lengths(curve: pl.DataFrame) -> pl.DataFrame:
    """The length recited, by number of showings, in both arms."""
    shown = curve.filter(pl.col("occurrences") > 0).with_columns(showings=_power_of_two(pl.col("occurrences")))
    by = ["model", "parameters", "kind", "showings"]
    parts = []
    for arm, name in ((TREATMENT, TREATMENT), (CONTROL, CONTROL_MODEL)):
        records = shown.group_by(*by, "group", "sequence", maintain_order=True).agg(
            length=pl.col(f"V_{arm}").mean(), longest=pl.col(f"V_{arm}").max()
        )
        longest = records.group_by(by).agg(pl.col("longest").max())
        averages = _means(records, "length", by).with_columns(pl.col("length_lower").clip(0))  # no length is negative
        joined = averages.join(longest, on=by, nulls_equal=True, maintain_order="left")
        parts.append(joined.with_columns(arm=pl.lit(name)))
    return _ordered(pl.concat(parts).select(*LENGTH_COLUMNS), "arm", "showings")


def injection_frequencies(curve: pl.DataFrame) -> pl.DataFrame:
    """What every frequency gains at the end; sequences that were never shown have no period and no mode."""
    by = ["model", "parameters", "kind", "period", "mode"]
    last = _at_the_end(curve)
    values = last.group_by(by).agg(
        pl.col("V_treatment", "V_control", "text_treatment", "text_control").mean(),
        showings=pl.col("occurrences").cast(pl.Float64).mean(),
    )
    joined = _means(last, "dV", by).join(values, on=by, nulls_equal=True, maintain_order="left")
    return _ordered(joined.select(*FREQUENCY_COLUMNS), "period", "mode")


def injection_thresholds(curve: pl.DataFrame) -> pl.DataFrame:
    """The showings after which half of the cap is recited, for every size and kind."""
    by = ["model", "parameters", "kind", "cap"]
    shown = curve.filter(pl.col("mode").is_not_null()).sort("parameters", "group", "sequence", "step")
    records = []
    for key, group in shown.group_by(by, maintain_order=True):
        named: dict[str, Any] = dict(zip(by, key, strict=True))
        units = group.select(_UNIT).to_series().to_numpy()
        found = crossing(group["occurrences"].to_numpy(), group["V_treatment"].to_numpy(), units, named["cap"] / 2)
        most = int(group["occurrences"].max() or 0)  # type: ignore[arg-type]
        reason = f"not reached in {most:,} showings" if found.estimate is None else None
        numbers = {"n50": found.estimate, "low": found.low, "high": found.high}
        records.append({**named, "sequences": found.units, "most": most, **numbers, "reason": reason})
    types = dict(shown.select(by).schema) | {"sequences": pl.Int64, "most": pl.Int64, "reason": pl.String}
    schema = {name: types.get(name, pl.Float64) for name in THRESHOLD_COLUMNS}
    return _ordered(pl.DataFrame(records, schema=schema))


def injection_illusions(curve: pl.DataFrame) -> pl.DataFrame:
    """How many sequences are recited at the end, and how many by the control that was never shown them."""
    injected = _at_the_end(curve).filter(pl.col("mode").is_not_null())
    thresholds = pl.DataFrame({"threshold": THRESHOLDS}, schema={"threshold": pl.Int64})
    crossed = injected.join(thresholds, how="cross").filter(pl.col("threshold") <= pl.col("cap"))
    recited = pl.col("V_treatment") >= pl.col("threshold")
    counts = crossed.group_by("model", "parameters", "kind", "threshold").agg(
        sequences=pl.len().cast(pl.Int64),
        recited=recited.sum().cast(pl.Int64),
        copied=(recited & pl.col("copied")).sum().cast(pl.Int64),
        illusions=(pl.col("V_control") >= pl.col("threshold")).sum().cast(pl.Int64),
    )
    return _ordered(counts.select(*ILLUSION_COLUMNS), "threshold")


def mean_by_model(curve: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Mean V of the injected sequences of a kind at the end, by size: model, parameters, V_treatment with interval."""
    injected = _at_the_end(curve).filter(pl.col("mode").is_not_null(), kind=kind)
    return _means(injected, "V_treatment", ["model", "parameters"]).sort("parameters", "model")


def _ordered(records: pl.DataFrame, *by: str) -> pl.DataFrame:
    """Records by size, kind (text first, as charts show them) and `by`; the treatment before its control."""
    keys = ["parameters", "model", "kind", *by]
    return records.sort(keys, descending=[key in ("kind", "arm") for key in keys], nulls_last=True)


def _at_the_end(curve: pl.DataFrame) -> pl.DataFrame:
    return curve.filter(pl.col("step") == pl.col("step").max().over("group"))


def _means(records: pl.DataFrame, value: str, by: list[str]) -> pl.DataFrame:
    """The mean over sequences of all seeds, with its interval: by, sequences, value, lower and upper."""
    blocks = records.with_columns(block=_UNIT, n=pl.lit(1))
    return block_means(blocks, value, by).rename({"rows": "sequences"})


def _power_of_two(number: pl.Expr) -> pl.Expr:
    """The largest power of two that is not above the number."""
    return pl.lit(2, pl.Int64).pow(63 - number.cast(pl.Int64).bitwise_leading_zeros().cast(pl.Int64)).cast(pl.Int64)
