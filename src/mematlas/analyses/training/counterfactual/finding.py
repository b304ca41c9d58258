"""Counterfactual memorization: how much better a model is at a row because it was trained on it.

Source: Zhang et al. (P10). Several models, each trained on a random subset of rows, are compared on every row: those
that were trained on it with those that were not. Formulas: `mematlas.stats.counterfactual`.
"""

from collections.abc import Iterator
from typing import Any, Final

import polars as pl
from scipy import stats

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.proportions import format_percent
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import by_interval, format_bounds, format_count, format_signed
from mematlas.analyses.training.checkpoint_scores import one_trainings
from mematlas.analyses.training.counterfactual.pairs import (
    PAIR_CAVEATS,
    PAIR_CHARTS,
    pair_claim,
    pair_control,
    pair_effects,
    pair_scores_of,
    pair_sentence,
    pair_tables,
)
from mematlas.analyses.training.counterfactual.records import (
    MAX_INFLUENCE_ROWS,
    MEASURED,
    MIN_MODELS,
    PERMUTATIONS,
    share_trained,
)
from mematlas.analyses.training.counterfactual.subset_scores import subset_scores_of
from mematlas.analyses.training.counterfactual.tables import (
    counterfactual_charts,
    counterfactual_frames,
    counterfactual_tables,
)
from mematlas.findings.finding import Finding, Trend
from mematlas.stats.estimates.intervals import standard_error

Frames = dict[str, pl.DataFrame]
_TREND_NAME: Final = "copies-hide-memorization"
_QUESTION: Final = "what models owe to having been trained on a row"
_EXAMPLE_ROWS: Final = 10
_FALSE_DISCOVERIES: Final = 0.05
_SATURATED: Final = (
    0.9  # our choice: mean score inside above which most rows lie on the line (1 - simplicity) / (1 - r)
)
_CONVERGED: Final = 0.9  # our choice
#: The headlines where the difference is above 0, below 0, and not clear.
_HEADLINES: Final = (
    "Models know rows better because they were trained on them",
    "Models know rows worse if they were trained on them",
    "Being trained on a row makes no clear difference",
)


def compute(tables: Tables) -> Finding:
    """Compute counterfactual memorization at the reference cell, of rows that some models were trained on."""
    if tables.exposures is None:
        return _insufficient_data(tables, "a record of which models were trained on which rows")
    lines = subset_scores_of(tables)
    trained = lines.group_by("row").agg(n_in=pl.sum("trained"), n_out=(~pl.col("trained")).sum())
    if not trained.filter(pl.col("n_in") >= 2, pl.col("n_out") >= 2).height:
        pairs = pair_scores_of(tables)
        if pair_effects(pairs).height:
            return _of_pairs(tables, pairs)
        if one_trainings(tables):
            return _checkpoints_alone(tables)
        return _insufficient_data(
            tables, f"rows that 2 models were trained on and 2 were not, scored at {tables.reference} tokens"
        )
    frames = counterfactual_frames(lines)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(tables, lines, frames),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(frames),
        control=_control(frames),
        tables=counterfactual_tables(frames),
        charts=counterfactual_charts(frames),
        trends=(_trend(frames["mem"]),),
        caveats=tuple(_caveats(tables, lines, frames)),
        deviations=_DEVIATIONS,
        rows=_example_rows(frames["mem"]),
        headline=_headline(frames),
        sentence=_sentence(tables, lines, frames),
    )


def _insufficient_data(tables: Tables, missing: str) -> Finding:
    remedy = (
        "Train models on random subsets of rows: `mematlas experiment counterfactual FILE.yaml` writes such a study; "
        "or say what those of this one were trained on: `mematlas import exposures FILE --study STUDY`."
    )
    return ANALYSIS.insufficient_data(tables, _QUESTION, missing, remedy)


def _checkpoints_alone(tables: Tables) -> Finding:
    remedy = "What its checkpoints tell: `mematlas analyze STUDY --only did`."
    return ANALYSIS.insufficient_data(tables, _QUESTION, "models of several trainings", remedy)


def _of_pairs(tables: Tables, lines: pl.DataFrame) -> Finding:
    """The finding where no row has two models on both sides; the claim is on the model with most rows."""
    effects, trend = pair_effects(lines), Trend(_TREND_NAME, "cannot tell", "no row has 2 models on both sides")
    largest = effects.sort("rows", descending=True, maintain_order=True).row(0, named=True)
    name = "difference" if largest["effect"] is None else "effect"
    lower, upper = largest[f"{name}_lower"], largest[f"{name}_upper"]
    error = None if lower is None else standard_error(lower, upper)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        pair_claim(tables, largest),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=abs(largest[name]) / error if error else None,
        control=pair_control(largest),
        tables=pair_tables(lines),
        charts=PAIR_CHARTS,
        trends=(trend,),
        caveats=PAIR_CAVEATS,
        deviations=_DEVIATIONS[:2],
        headline=by_interval(lower, upper, *_HEADLINES),
        sentence=pair_sentence(largest, name),
    )


def _claim(tables: Tables, lines: pl.DataFrame, frames: Frames) -> str:
    known = frames["mem"].drop_nulls("mem")
    models, share = lines["model"].n_unique(), share_trained(known)
    means = {name: known[name].to_numpy().mean() for name in ("in", "out", "mem")}
    surely = known.filter(pl.col("q") <= _FALSE_DISCOVERIES).height
    text = (
        f"At {tables.reference} tokens {models} models, each row in {format_percent(share)} of them on average, have "
        f"{_score_name(tables)} of {means['in']:.3f} on rows they were trained on and {means['out']:.3f} "
        f"on the others: counterfactual memorization is {means['mem']:.3f} on average over {known.height:,} "
        f"row{'s' * (known.height != 1)}, and is there in {surely:,} of them at a false discovery rate of 5 %"
    )
    if copies := _copies_clause(frames["by_copies"]):
        text += f"; {copies}"
    return f"{text}."


def _headline(frames: Frames) -> str:
    """Whether mean memorization lies outside of what permuted membership gives."""
    true, permuted = frames["null"].to_dicts()
    lower, upper = (true["mean"] - permuted[f"mean_{end}"] for end in ("upper", "lower"))
    return by_interval(lower, upper, *_HEADLINES)


def _sentence(tables: Tables, lines: pl.DataFrame, frames: Frames) -> str:
    """The scores of rows in models trained on them and in others, beside the difference under permuted membership."""
    known, permuted = frames["mem"].drop_nulls("mem"), frames["null"].row(1, named=True)
    score = "Mean M" if tables.graded else "The recited share"
    inside, difference = known["in"].to_numpy().mean(), known["mem"].to_numpy().mean()
    chance = format_bounds(permuted["mean_lower"], permuted["mean_upper"]).strip("()")
    text = f"{score} is {inside:.3f} in models trained on a row, {difference:+.3f} above others"
    return f"{text} (by chance {chance}; {format_count(known.height)})."


def _score_name(tables: Tables) -> str:
    return "a mean M" if tables.graded else "a recited share"


def _copies_clause(by_copies: pl.DataFrame) -> str:
    """Memorization of the source with most rows, by copies."""
    measured = by_copies.filter(what=MEASURED)
    if not measured.height:
        return ""
    source = measured.group_by("source").agg(pl.sum("rows")).sort("rows", "source", descending=[True, False])[0, 0]
    values = measured.filter(source=source).sort("copies")
    levels = " / ".join(f"{copies:,}" for copies in values["copies"])
    return f"by copies of the text ({levels}): {' / '.join(f'{value:.3f}' for value in values['value'])}"


def _control(frames: Frames) -> str:
    true, permuted = frames["null"].to_dicts()
    return (
        f"With permuted membership (each model has the subset of another, {PERMUTATIONS} times) the mean is "
        f"{format_signed(permuted['mean'])} (middle 95 %: {format_signed(permuted['mean_lower'])} to "
        f"{format_signed(permuted['mean_upper'])}). Rows vary around it by {permuted['deviation']:.3f}. As trained "
        f"it is {format_signed(true['mean'])}."
    )


def _strength(frames: Frames) -> float | None:
    """Mean memorization / the standard deviation of the mean under permuted membership."""
    true, permuted = frames["null"].to_dicts()
    width = permuted["mean_upper"] - permuted["mean_lower"]
    return abs(true["mean"] - permuted["mean"]) / (width / 3.92) if width > 0 else None


def _trend(rows: pl.DataFrame) -> Trend:
    texts = rows.drop_nulls(["mem", "copies"]).group_by("group").agg(pl.first("copies"), pl.mean("mem")).sort("group")
    if texts.height < 4 or texts["copies"].n_unique() < 2 or texts["mem"].n_unique() < 2:
        return Trend(_TREND_NAME, "cannot tell", "there are no rows of texts with different numbers of copies")
    result = stats.pearsonr(texts["copies"], texts["mem"])
    lower, upper = result.confidence_interval(0.95)
    test = (
        f"Pearson's correlation of copies and memorization over {texts.height:,} texts is {result.statistic:.2f} (95 % "
        f"interval {lower:.2f} to {upper:.2f}). P10 reports -0.39"
    )
    return Trend(_TREND_NAME, "shows" if upper < 0 else "contradicts" if lower > 0 else "cannot tell", test)


def _caveats(tables: Tables, lines: pl.DataFrame, frames: Frames) -> Iterator[str]:
    rows = frames["mem"]
    known = rows.drop_nulls("mem")
    if known.height < rows.height:
        yield (
            f"{rows.height - known.height:,} of {rows.height:,} rows are left out: fewer than 2 models were trained on "
            "them, or fewer than 2 were not."
        )
    if known["in"].to_numpy().mean() > _SATURATED:
        yield (
            "Training is saturated: models know nearly all they were trained on, so memorization is (1 - simplicity) / "
            "(1 - r) and has no peak at intermediate simplicity."
        )
    if rows["copies"].is_null().all():
        yield (
            "Copies of rows are not known, though they hide memorization: a model may have been trained on another "
            "one (`mematlas features STUDY`)."
        )
    elif (rows["copies"] > 1).any():
        yield "Copies hide memorization: a model that was not trained on a row may have been trained on its copy."
    yield from _agreement_caveats(frames["convergence"], lines["model"].n_unique())
    if rows.height > MAX_INFLUENCE_ROWS:
        yield f"Influence was tested between {MAX_INFLUENCE_ROWS:,} random rows of {rows.height:,}."


def _agreement_caveats(convergence: pl.DataFrame, models: int) -> Iterator[str]:
    if not convergence.height:
        yield f"{models} models are too few to compare two groups of {MIN_MODELS}: the order may not be settled."
        return
    last = convergence.row(-1, named=True)
    if last["correlation"] is None:
        yield "Groups of models cannot be compared: all rows are memorized alike."
    elif last["correlation"] < _CONVERGED:
        yield (
            f"The order of rows is not settled: two groups of {last['models']} models agree with a correlation of "
            f"{last['correlation']:.2f}; take more models."
        )


def _example_rows(rows: pl.DataFrame) -> dict[int, str]:
    """The rows memorized most, one per text."""
    top = rows.filter(pl.col("q") <= _FALSE_DISCOVERIES, pl.col("mem") > 0)
    top = top.sort("mem", "row", descending=[True, False]).unique("group", keep="first", maintain_order=True)
    return {record["row"]: _row_reason(record) for record in top.head(_EXAMPLE_ROWS).iter_rows(named=True)}


def _row_reason(record: dict[str, Any]) -> str:
    copies = "" if record["copies"] is None else f", {record['copies']} row{'s' * (record['copies'] != 1)} of this text"
    return (
        f"mean score {record['in']:.2f} in {record['n_in']} models trained on it, {record['out']:.2f} in "
        f"{record['n_out']} others{copies}"
    )


_DEVIATIONS: Final = (
    "P10 scores every token of an example along the truth; here the score is M, of the continuation after the context.",
    "P10 takes 400 models with 25 % of the rows; here as many as the study has.",
    "Whether a difference is there is tested as in a randomized experiment, with the spread of all models; the "
    "standard error of P10's definition is 0 where the few models of a side agree. Influence is tested among models "
    "that were not trained on the target.",
)

ANALYSIS: Final = Analysis(
    "counterfactual",
    "Counterfactual memorization",
    "P10",
    "models trained on different subsets of the rows, and a record of who was trained on what (exposures)",
    compute,
    (_TREND_NAME,),
    granularity="approximate",
    retrievability="discoverable",
)
