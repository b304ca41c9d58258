"""Tests on held-out rows of the trends in P1's table of the predictor (over seeds) and its Figure 7 (over documents).

P1's predictor reads the states of generated tokens: that one is tested, or the one that predicts before generating if
there is no other.
"""

from collections.abc import Mapping
from math import hypot, isnan
from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import format_difference
from mematlas.analyses.states.predict.over_seeds import over_seeds
from mematlas.analyses.states.predict.predictions import predictor_outputs
from mematlas.analyses.states.predict.tables import Frames
from mematlas.analyses.trend_tests import Verdict
from mematlas.findings.finding import Trend
from mematlas.stats.estimates.clustered import ClusteredShares, cluster_sums, clustered_shares
from mematlas.study.schemas.predictions import PREDICTOR

_LOW_SCORES: Final = "fully-right-predictions-concentrate-on-low-scores"
_SIZE: Final = "predictor-accuracy-grows-with-size"
_LENGTH: Final = "predictor-accuracy-grows-with-continuation"
_FULL: Final = "full-accuracy-falls-with-continuation"
TRENDS: Final = (_LOW_SCORES, _SIZE, _LENGTH, _FULL)
_LOW_LEVELS: Final = 2  # our choice: M below 0.4 is a low score
SEES_PHRASES: Final = {"context": "before generating", "generated": "while generating"}
_RULE: Final = "A direction is shown if the interval leaves out"
Record = Mapping[str, Any]


def prediction_trends(tables: Tables, seeds: Frames, model: str) -> tuple[Trend, ...]:
    """The verdict on each of TRENDS.

    Args:
        seeds: from `seed_frames`.
        model: the headline model.
    """
    own_model = seeds["scores"].filter(pl.col("model") == pl.col("tested"), method=PREDICTOR)
    available = own_model.filter(model=model)["sees"].unique().to_list()
    sees = "generated" if "generated" in available else "context"
    own_model = own_model.filter(sees=sees)
    model_scores = own_model.filter(model=model)
    return (
        _low_scores(tables, tables.reference.continuation, model, sees),
        _accuracy_by_size(tables, own_model, sees),
        _change_with_length(_LENGTH, model_scores, "token_accuracy", +1, model, sees),
        _change_with_length(_FULL, model_scores, "full_accuracy", -1, model, sees),
    )


def interval_verdict(record: Record, name: str, sign: int = 1, null_value: float = 0.0) -> Verdict:
    """ "shows" if the interval is beyond `null_value` on the side of `sign`, "contradicts" if on the other side.

    If several seeds all give the same number, so that there is no interval, that number decides.
    """
    if record[name] is None or (record["seeds"] < 2 and record[f"{name}_lower"] is None):
        return "cannot tell"
    interval = [record[f"{name}_lower"], record[f"{name}_upper"]]
    interval = [record[name]] if interval[0] is None else interval
    distances = [sign * (end - null_value) for end in interval]
    return "shows" if min(distances) > 0 else "contradicts" if max(distances) < 0 else "cannot tell"


def _low_scores(tables: Tables, length: int, model: str, sees: str) -> Trend:
    """Share of low scores among the rows predicted wholly right, against that among the other rows.

    Where the two are equal, rows predicted right have low scores as often as all rows do: that is no concentration,
    however many rows have low scores. Rows are held out by several seeds; the unit is their cluster, not the seed.
    """
    rows = _rows_predicted(tables, length, model, sees)
    groups = rows.filter("right"), rows.filter(~pl.col("right"))
    if not groups[0].height:
        return Trend(_LOW_SCORES, "cannot tell", f"no row of {model} is predicted wholly right {SEES_PHRASES[sees]}")
    right, others = (_low_share(group) for group in groups)
    low_of_all = float(np.average(rows["low"].to_numpy(), weights=rows["weight"].to_numpy()))
    test = (
        f"rows of {model} predicted wholly right {SEES_PHRASES[sees]} that have M < 0.4: "
        f"{right.estimate[0]:.3g} of {groups[0].height:,}, of the others {{others}}. "
        f"All held-out rows: {low_of_all:.3g}. "
    )
    if not groups[1].height:
        return Trend(_LOW_SCORES, "cannot tell", f"{test.format(others='none, as all are right')}Nothing to compare")
    difference = float(right.estimate[0] - others.estimate[0])
    lower = difference - hypot(right.estimate[0] - right.lower[0], others.upper[0] - others.estimate[0])
    upper = difference + hypot(right.upper[0] - right.estimate[0], others.estimate[0] - others.lower[0])
    verdict: Verdict = "shows" if lower > 0 else "contradicts" if upper < 0 else "cannot tell"
    interval = f"{difference:+.3g}"
    interval += "" if isnan(lower + upper) else f" (95 % interval {lower:+.3g} to {upper:+.3g}, over documents)"
    others_text = f"{others.estimate[0]:.3g} of {groups[1].height:,}"
    return Trend(_LOW_SCORES, verdict, f"{test.format(others=others_text)}Difference: {interval}. {_RULE} 0")


def _rows_predicted(tables: Tables, length: int, model: str, sees: str) -> pl.DataFrame:
    """Held-out rows whose first `length` tokens are known, a record per seed: cluster, weight, low, right."""
    assert tables.predictions is not None
    predictions = tables.predictions.filter(model=model, tested=model, sees=sees)
    frames = [pl.DataFrame(schema={"row": pl.Int64, "weight": pl.Float64, "low": pl.Boolean, "right": pl.Boolean})]
    for output in predictor_outputs(predictions, methods=(PREDICTOR,)):
        right = output.is_right[:, :length].all(1)
        columns = {"row": output.rows, "weight": output.weights, "low": output.levels < _LOW_LEVELS, "right": right}
        frames.append(pl.DataFrame(columns).filter(output.complete_rows(length)))
    rows = tables.with_cluster(pl.concat(frames))
    return rows if "cluster" in rows.columns else rows.with_columns(cluster="row")


def _low_share(rows: pl.DataFrame) -> ClusteredShares:
    """The weighted share of low scores; weights are scaled to sum to their effective sample size (Kish 1965)."""
    scale = pl.col("weight").sum() / (pl.col("weight") ** 2).sum()
    scaled = rows.with_columns(pl.col("weight") * scale)
    clusters = scaled.group_by("cluster", maintain_order=True).agg(
        hits=(pl.col("weight") * pl.col("low")).sum(), rows=pl.col("weight").sum()
    )
    return clustered_shares(cluster_sums(clusters["hits"].to_numpy(), clusters["rows"].to_numpy()))


def _accuracy_by_size(tables: Tables, own_model: pl.DataFrame, sees: str) -> Trend:
    """Token accuracy of the largest minus that of the smallest model, at the longest continuation, paired by seed."""
    known_models = own_model.drop_nulls("token_accuracy")["model"].unique().to_list()
    sized = [model for model in tables.by_size if model in known_models and tables.parameters(model) is not None]
    if len(sized) < 2:
        return Trend(_SIZE, "cannot tell", "the study lacks predictors of two models of different, known size")
    longest = own_model.filter(pl.col("continuation") == pl.col("continuation").max())
    difference = _paired_difference(
        longest.filter(model=sized[-1]), longest.filter(model=sized[0]), "token_accuracy", "guess"
    )
    if difference is None:
        return Trend(_SIZE, "cannot tell", f"predictors of {sized[0]} and {sized[-1]} have no seed in common")
    test = (
        f"token accuracy {SEES_PHRASES[sees]} of {sized[-1]} minus {sized[0]} at {longest['continuation'][0]} tokens: "
        f"{format_difference(difference, 'token_accuracy_change')}, {difference['seeds']} seeds. Guessing changes by "
        f"{difference['guess_change']:+.3g}. {_RULE} 0"
    )
    return Trend(_SIZE, interval_verdict(difference, "token_accuracy_change"), test)


def _change_with_length(trend: str, model_scores: pl.DataFrame, name: str, sign: int, model: str, sees: str) -> Trend:
    """The longest continuation minus the shortest, paired by seed."""
    lengths = model_scores.drop_nulls(name)["continuation"].unique().sort().to_list()
    if len(lengths) < 2:
        return Trend(trend, "cannot tell", f"the predictor of {model} was measured at fewer than two continuations")
    difference = _paired_difference(
        model_scores.filter(continuation=lengths[-1]), model_scores.filter(continuation=lengths[0]), name, "guess"
    )
    if difference is None:
        return Trend(trend, "cannot tell", f"no seed of {model} has both continuations")
    quantity = name.replace("_", " ")
    test = (
        f"{quantity} of {model} {SEES_PHRASES[sees]} at {lengths[-1]} minus at {lengths[0]} tokens: "
        f"{format_difference(difference, f'{name}_change')}, {difference['seeds']} seeds. Guessing changes by "
        f"{difference['guess_change']:+.3g} of tokens. {_RULE} 0"
    )
    return Trend(trend, interval_verdict(difference, f"{name}_change", sign), test)


def _paired_difference(scores: pl.DataFrame, other_scores: pl.DataFrame, *names: str) -> Record | None:
    """Means over seeds of the first minus the second, as NAME_change; None without a common seed."""
    joined = scores.join(other_scores, on="seed", suffix="_other").drop_nulls(names[0]).drop_nulls(f"{names[0]}_other")
    changes = [(pl.col(name) - pl.col(f"{name}_other")).alias(f"{name}_change") for name in names]
    return (
        _mean_over_seeds(joined.with_columns(changes), *(f"{name}_change" for name in names)) if joined.height else None
    )


def _mean_over_seeds(seed_scores: pl.DataFrame, name: str, mean_only: str) -> Record:
    mean = over_seeds(seed_scores.select("seed", name, mean_only, all=pl.lit(0)), ("all",), (name,), (mean_only,))
    return mean.row(0, named=True)
