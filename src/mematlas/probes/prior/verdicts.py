"""Which rows are memorized, and which are only probable after any prompt (K10).

memorized          log P(s|p) > log m and r > log n
generic            log P(s|p) > log m, but r is at most log n
not extractable    log P(s|p) is at most log m

n of the source is not published, and a fixed one misleads: texts of another kind than the others have high ratios
without being memorized. So n is the 95 % quantile of the control rows (our choice), beside one that the user gives.
"""

from collections.abc import Iterator
from math import log
from typing import Any, Final

import polars as pl

from mematlas.probes.rows.estimates import clustered_share
from mematlas.probes.rows.opening import CLASSES
from mematlas.stats.estimates.clustered import INTERVAL
from mematlas.stats.estimates.quantiles import quantile

QUANTILE: Final = 0.95
MEMORIZED: Final = "memorized"
GENERIC: Final = "generic"
NOT_EXTRACTABLE: Final = "not extractable"
OF_CONTROL: Final = "control"
OF_USER: Final = "given"
THRESHOLDS_COLUMNS: Final = {
    "threshold": "where log n comes from: the 95 % quantile of r over control rows, or --ratio",
    "rows": "control rows with a ratio; null for --ratio",
    "log_ratio": "log n, in nats: r above it counts as memorized",
    "log_ratio_lower": "lower end of its 95 % interval (order statistics, rows taken as independent)",
    "log_ratio_upper": "upper end of the same; null where too few rows lie beyond",
    "reason": "why there is none",
}
VERDICTS_COLUMNS: Final = {
    "threshold": THRESHOLDS_COLUMNS["threshold"],
    "set": "rows of the corpus, recited whole or not, and rows of the control",
    "rows": "rows with a ratio",
    "extractable": "rows whose continuation is more probable than m",
    "memorized": "extractable rows with r above log n",
    "generic": "the other extractable rows",
    "share": "generic rows over extractable ones; null if there is none",
    "share_lower": f"lower end of its interval ({INTERVAL})",
    "share_upper": "upper end of the same",
}


def thresholds(rows: pl.DataFrame, ratio: float | None) -> pl.DataFrame:
    """log n of the control rows, and of --ratio if it is given.

    Args:
        rows: class and log_ratio; ratio: n that the user gives.
    """
    control = rows.filter(pl.col("class") == "control")["log_ratio"].drop_nulls()
    found = quantile(control.to_numpy(), QUANTILE)
    reason = None
    if found.estimate is None:
        reason = f"20 control rows are needed, not {found.count}" if found.count else "no control row has a ratio"
    of_control = (OF_CONTROL, found.count, found.estimate, found.lower, found.upper, reason)
    of_user = [] if ratio is None else [(OF_USER, None, log(ratio), None, None, None)]
    types = (pl.String, pl.Int64, pl.Float64, pl.Float64, pl.Float64, pl.String)
    return pl.DataFrame([of_control, *of_user], schema=dict(zip(THRESHOLDS_COLUMNS, types, strict=True)), orient="row")


def judged(rows: pl.DataFrame, probability: float, log_ratio: float) -> pl.DataFrame:
    """The rows that have a ratio, with their verdict.

    Args:
        rows: log_probability and log_ratio; probability: m; log_ratio: log n.
    """
    known = rows.drop_nulls("log_ratio")
    extractable = pl.col("log_probability") > log(probability)
    of_extractable = pl.when(pl.col("log_ratio") > log_ratio).then(pl.lit(MEMORIZED)).otherwise(pl.lit(GENERIC))
    return known.with_columns(verdict=pl.when(extractable).then(of_extractable).otherwise(pl.lit(NOT_EXTRACTABLE)))


def verdicts(rows: pl.DataFrame, probability: float, found: pl.DataFrame) -> pl.DataFrame:
    """The rows of each set by verdict, for each threshold that there is.

    Args:
        rows: class, cluster, log_probability, log_ratio; probability: m; found: as `thresholds` gives them.
    """
    records = [
        {"threshold": threshold["threshold"], **counts}
        for threshold in found.drop_nulls("log_ratio").iter_rows(named=True)
        for counts in _counts(judged(rows, probability, threshold["log_ratio"]))
    ]
    types: dict[str, Any] = dict.fromkeys(VERDICTS_COLUMNS, pl.Int64)
    types |= {"threshold": pl.String, "set": pl.String}
    types |= dict.fromkeys(("share", "share_lower", "share_upper"), pl.Float64)
    return pl.DataFrame(records, schema=types).with_columns(pl.col(pl.Float64).fill_nan(None))


def _counts(rows: pl.DataFrame) -> Iterator[dict[str, Any]]:
    kind = pl.col("class").cast(pl.String)
    for name, chosen in {"corpus": kind != "control", **{name: kind == name for name in CLASSES}}.items():
        own = rows.filter(chosen)
        if own.is_empty():
            continue
        extractable = own.filter(pl.col("verdict") != NOT_EXTRACTABLE)
        generic = extractable.with_columns(generic=pl.col("verdict") == GENERIC)
        share, lower, upper = clustered_share(generic, "generic")
        count = int(generic["generic"].sum())
        yield {
            "set": name,
            "rows": own.height,
            "extractable": extractable.height,
            "memorized": extractable.height - count,
            "generic": count,
            "share": share,
            "share_lower": lower,
            "share_upper": upper,
        }
