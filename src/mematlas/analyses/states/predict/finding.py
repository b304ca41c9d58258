"""Whether the tokens that a model recites can be predicted, before it generates and while it does.

Source: P1 (table of the predictor, Fig. 7). The predictors are fitted by `mematlas fit`; here their predictions for
held-out rows are evaluated and compared with baselines, guessing, and a predictor of shuffled labels. The numbers are
computed in scores.py (one seed) and over_seeds.py (over seeds).
"""

from itertools import pairwise
from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.proportions import format_percent
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import by_interval, format_bounds, format_count
from mematlas.analyses.states.predict.charts import prediction_charts
from mematlas.analyses.states.predict.rows import rows_of_interest
from mematlas.analyses.states.predict.tables import Frames, prediction_frames, prediction_tables, seed_frames
from mematlas.analyses.states.predict.trends import SEES_PHRASES, TRENDS, interval_verdict, prediction_trends
from mematlas.findings.finding import Finding
from mematlas.stats.estimates.intervals import standard_error
from mematlas.study.clusters import names_documents
from mematlas.study.schemas.predictions import BASELINES, PREDICTOR, SHUFFLED

_QUESTION: Final = "whether it can be foretold which tokens a model recites"
_REMEDY: Final = "Record states: `mematlas score ... --signals hidden,free,truth`, then run `mematlas fit STUDY`."
_VERDICT_PHRASES: Final = {"shows": "above", "contradicts": "below", "cannot tell": "not above"}
Record = dict[str, Any]


def compute(tables: Tables) -> Finding:
    """How well predictors discriminate recited tokens of held-out training rows, for the largest model with any."""
    if tables.predictions is None:
        return ANALYSIS.insufficient_data(tables, _QUESTION, "predictions of held-out rows", _REMEDY)
    seeds = seed_frames(tables)
    frames = prediction_frames(tables, seeds)
    model = _headline_model(tables, frames)
    if model is None:
        missing = "a predictor's word on held-out training rows of which it is known what was recited"
        return ANALYSIS.insufficient_data(tables, _QUESTION, missing, _REMEDY)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(frames, model),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(frames, model),
        control=_control(frames, model),
        tables=prediction_tables(frames),
        charts=prediction_charts(frames, model),
        trends=prediction_trends(tables, seeds, model),
        caveats=_caveats(tables, frames, model),
        deviations=_DEVIATIONS,
        rows=rows_of_interest(tables, model),
        headline=_headline(frames, model),
        sentence=_sentence(frames, model),
    )


def _headline_model(tables: Tables, frames: Frames) -> str | None:
    """The largest model with a predictor of known AUROC, or else with any scored predictor."""
    predictors = frames["scores"].filter("own", method=PREDICTOR).drop_nulls("token_accuracy")
    models = [*reversed(tables.by_size), *reversed(tables.family)]
    for candidates in (predictors.drop_nulls("auroc"), predictors):
        if model := next((model for model in models if model in set(candidates["model"])), None):
            return model
    return None


def _score_record(frames: Frames, model: str, sees: str, method: str = PREDICTOR) -> Record | None:
    """The scores of a method at the longest continuation."""
    scores = frames["scores"].filter("own", model=model, sees=sees, method=method).sort("continuation")
    return scores.row(-1, named=True) if scores.height else None


def _gain_record(frames: Frames, model: str, sees: str) -> Record | None:
    """The predictor minus the best baseline in AUROC, at the longest continuation."""
    gains = frames["gains"].filter(model=model, sees=sees).drop_nulls("auroc_gain")
    gains = gains.filter(pl.col("continuation") == pl.col("continuation").max()).sort("auroc_gain", maintain_order=True)
    return gains.row(0, named=True) if gains.height else None


# ----------------------------------------------------------------------------------------------------- the sentences


def _claim(frames: Frames, model: str) -> str:
    records = {sees: record for sees in SEES_PHRASES if (record := _score_record(frames, model, sees))}
    parts: list[str] = []
    for sees, record in records.items():
        area = "no AUROC" if record["auroc"] is None else f"AUROC {record['auroc']:.3f}"
        accuracy = f"{SEES_PHRASES[sees]}, {100 * record['token_accuracy']:.1f} %"
        accuracy = accuracy if parts else f"{accuracy} {_accuracy_details(record)}"
        parts.append(f"{accuracy}, {area}{_gain_text(_gain_record(frames, model, sees))}")
    return f"{parts[0][0].upper()}{'; '.join(parts)[1:]}."


def _lead(frames: Frames, model: str) -> tuple[str, Record, Record | None]:
    """What a predictor sees, its scores and its gain: the first whose gain is known, or else the first."""
    sees = [name for name in SEES_PHRASES if _score_record(frames, model, name)]
    lead = next((name for name in sees if _gain_record(frames, model, name)), sees[0])
    record = _score_record(frames, model, lead)
    assert record is not None
    return lead, record, _gain_record(frames, model, lead)


def _headline(frames: Frames, model: str) -> str:
    """Whether the predictor beats the best baseline; without one, whether it beats chance."""
    _, record, gain = _lead(frames, model)
    if gain is not None:
        return by_interval(
            gain["auroc_gain_lower"],
            gain["auroc_gain_upper"],
            "Hidden states foretell what is recited better than baselines do",
            "Hidden states foretell what is recited worse than a baseline",
            "Hidden states foretell recitation not clearly better than a baseline",
        )
    if record["auroc"] is None:
        return "What is recited cannot be told apart: held-out tokens are alike"
    return by_interval(
        record["auroc_lower"],
        record["auroc_upper"],
        "Hidden states foretell what is recited better than chance",
        "Hidden states foretell what is recited worse than chance",
        "Hidden states do not clearly foretell what is recited",
        value=0.5,
    )


def _sentence(frames: Frames, model: str) -> str:
    """The AUROC and its gain over the best baseline, or the accuracy where there is no AUROC."""
    sees, record, gain = _lead(frames, model)
    rows = f"{format_count(record['rows'], 'held-out row')} of {model}"
    if record["auroc"] is None:
        accuracy, guess = (format_percent(record[name]) for name in ("token_accuracy", "guess"))
        return f"{accuracy} of tokens are told rightly {SEES_PHRASES[sees]}, by guessing {guess}, in {rows}."
    bounds = format_bounds(record["auroc_lower"], record["auroc_upper"], ".3f")
    area = f"AUROC {SEES_PHRASES[sees]} is {record['auroc']:.3f}"
    if gain is None:
        return f"{area} {bounds}, in {rows}."
    gained = f"{gain['auroc_gain']:+.3f} {format_bounds(gain['auroc_gain_lower'], gain['auroc_gain_upper'])}"
    return f"{area}, {gained} against {gain['method']}, in {rows}."


def _accuracy_details(record: Record) -> str:
    seeds = "one seed" if record["seeds"] == 1 else f"{record['seeds']} seeds"
    return (
        f"of tokens are rightly told to be recited by {record['model']} or not (guessing {100 * record['guess']:.1f} "
        f"%; {100 * record['base_rate']:.1f} % of {record['tokens']:,} in {record['rows']:,} held-out rows are, "
        f"{seeds})"
    )


def _gain_text(gain: Record | None) -> str:
    """The gain in AUROC over the best baseline, for the claim; empty without a baseline."""
    if gain is None:
        return ""
    difference = f"{gain['auroc_gain']:+.3f}"
    if gain["auroc_gain_lower"] is not None:
        interval = f"{gain['auroc_gain_lower']:+.3f} to {gain['auroc_gain_upper']:+.3f}"
        return (
            f", {_VERDICT_PHRASES[interval_verdict(gain, 'auroc_gain')]} {gain['method']} ({difference}, 95 % interval "
            f"{interval})"
        )
    if gain["seeds"] == 1 or gain["auroc_gain"] != 0:
        return f", {difference} against {gain['method']}"
    return f", {_VERDICT_PHRASES[interval_verdict(gain, 'auroc_gain')]} {gain['method']} ({difference} in every seed)"


def _control(frames: Frames, model: str) -> str | None:
    sentences = []
    for sees, phrase in SEES_PHRASES.items():
        shuffled = _score_record(frames, model, sees, SHUFFLED)
        if shuffled and shuffled["auroc"] is not None:
            sentences.append(
                f"Fitted to shuffled labels the predictor has AUROC {_format_interval(shuffled, 'auroc')} {phrase}."
            )
        control = frames["control"].filter(model=model, tested=model, sees=sees, method=PREDICTOR).sort("continuation")
        control = control.drop_nulls("flagged_tokens")
        if control.height:
            record = control.row(-1, named=True)
            sentences.append(
                f"In control rows it calls {100 * record['flagged_tokens']:.1f} % of the tokens recited {phrase}; "
                f"{100 * record['recited_tokens']:.1f} % are."
            )
    return " ".join(sentences) or None


def _format_interval(record: Record, name: str) -> str:
    if record[f"{name}_lower"] is None:
        return f"{record[name]:.3f} (no interval)"
    return f"{record[name]:.3f} (95 % interval {record[f'{name}_lower']:.3f} to {record[f'{name}_upper']:.3f})"


def _strength(frames: Frames, model: str) -> float | None:
    """AUROC gained over the best baseline / its standard error, before generating if that is known."""
    gains = [gain for sees in SEES_PHRASES if (gain := _gain_record(frames, model, sees))]
    with_interval = [gain for gain in gains if gain["auroc_gain_lower"] is not None]
    if not with_interval:
        return None
    return abs(with_interval[0]["auroc_gain"]) / standard_error(
        with_interval[0]["auroc_gain_lower"], with_interval[0]["auroc_gain_upper"]
    )


def _caveats(tables: Tables, frames: Frames, model: str) -> tuple[str, ...]:
    scores = frames["scores"]
    methods, seeds = scores.filter("own", model=model)["method"], int(scores["seeds"].to_numpy().max())
    untested = ", ".join(_without_transfer(tables, frames))
    missing = " or ".join(phrase for sees, phrase in SEES_PHRASES.items() if _score_record(frames, model, sees) is None)
    caveats = {
        "One seed: nothing tells how far off another split or start would be; intervals of gains are over documents.": (
            seeds == 1
        ),
        "The corpus names no documents: rows are held out, and rows of one document may be on both sides.": (
            not names_documents(tables.rows)
        ),
        "Seeds share rows: an interval over seeds speaks of splits and starts on this sample of rows, not of other "
        "corpora; those of gains are over documents.": seeds > 1,
        "Where held-out tokens are all recited, or all are not, there is no AUROC.": scores["auroc"].null_count(),
        f"No predictor was tested on another model: {untested}. States of another width cannot be read.": untested,
        f"Nothing was predicted {missing}.": missing,
        f"No baseline stands beside the predictor of {model}.": not methods.is_in(BASELINES).any(),
        f"No predictor of shuffled labels stands beside that of {model}.": SHUFFLED not in methods,
        "There are no predictions of control rows.": not frames["control"].height,
        "The best baseline is chosen on the rows that it is tested on, which flatters it.": frames["gains"].height,
    }
    return tuple(text for text, applies in caveats.items() if applies)


def _without_transfer(tables: Tables, frames: Frames) -> list[str]:
    """Pairs of models of adjacent size that were not tested on one another."""
    models = [model for model in tables.by_size if model in set(frames["scores"].filter("own")["model"])]
    tested = set(frames["transfer"].select("model", "tested").iter_rows())
    return [
        f"{fitted} on {other_model}" for fitted, other_model in pairwise(models) if (fitted, other_model) not in tested
    ]


_DEVIATIONS: Final = (
    "P1 does not say of which rows its accuracies are, nor what guessing gives: here of rows held out from "
    "fitting, with all of their document where it is known, each weighing as many rows of the scored corpus as it "
    "stands for, with what guessing gives beside.",
    "One predictor at the longest continuation, read at its first tokens; P1's table may have one for each length.",
    "P1 predicts from the states of generated tokens; a predictor that sees the context alone is ours.",
    "AUROC, AUPRC, F1, calibration, baselines, shuffled labels and intervals over seeds and documents are ours.",
    "Full accuracy is of rows all of whose tokens are known; tokens behind an early end of the text are left out.",
)

ANALYSIS: Final = Analysis(
    "predict",
    "Predicting what is recited",
    "P1, table of the predictor and Figure 7",
    "predictions of held-out rows (`mematlas score ... --signals hidden`, then `mematlas fit STUDY`)",
    compute,
    TRENDS,
)
