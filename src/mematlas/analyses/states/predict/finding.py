"""Can it be foretold which tokens a model will recite, before it generates and while it does.

Source: P1 (table of the predictor, Fig. 7). The predictors are fitted by `mematlas fit`; here what they said of rows of
documents held out from fitting is judged, beside baselines, guessing, and a predictor of shuffled labels. The numbers
are made in prediction_scores.py (a seed) and prediction_seeds.py (over seeds).
"""

from itertools import pairwise
from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.states.predict.charts import prediction_charts
from mematlas.analyses.states.predict.rows import rows_of_interest
from mematlas.analyses.states.predict.tables import Frames, prediction_frames, prediction_tables, seed_frames
from mematlas.analyses.states.predict.trends import SEES_WORDS, TRENDS, judged, prediction_trends
from mematlas.findings.finding import Finding
from mematlas.stats.estimates.intervals import standard_error
from mematlas.study.schemas.predictions import BASELINES, PREDICTOR, SHUFFLED

_QUESTION: Final = "whether it can be foretold which tokens a model recites"
_REMEDY: Final = "Record hidden states with `mematlas score ... --signals hidden`, then run `mematlas fit STUDY`."
_WORDS: Final = {"shows": "above", "contradicts": "below", "cannot tell": "not above"}
Line = dict[str, Any]


def answer(tables: Tables) -> Finding:
    """How well predictors tell recited tokens of held-out training rows, of the largest model that has some."""
    if tables.predictions is None:
        return ANALYSIS.lacking(tables, _QUESTION, "predictions of held-out rows", _REMEDY)
    seeds = seed_frames(tables)
    frames = prediction_frames(tables, seeds)
    model = _spoken_of(tables, frames)
    if model is None:
        what = "a predictor's word on held-out training rows of which it is known what was recited"
        return ANALYSIS.lacking(tables, _QUESTION, what, _REMEDY)
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
    )


def _spoken_of(tables: Tables, frames: Frames) -> str | None:
    """The largest model with a predictor whose AUROC is known; else with a predictor of which anything is."""
    own = frames["scores"].filter("own", method=PREDICTOR).drop_nulls("token_accuracy")
    models = [*reversed(tables.by_size), *reversed(tables.family)]
    for known in (own.drop_nulls("auroc"), own):
        if found := next((model for model in models if model in set(known["model"])), None):
            return found
    return None


def _line(frames: Frames, model: str, sees: str, method: str = PREDICTOR) -> Line | None:
    """What a method reaches at the longest continuation."""
    found = frames["scores"].filter("own", model=model, sees=sees, method=method).sort("continuation")
    return found.row(-1, named=True) if found.height else None


def _gain(frames: Frames, model: str, sees: str) -> Line | None:
    """The predictor minus the best baseline in AUROC, at the longest continuation."""
    found = frames["gains"].filter(model=model, sees=sees).drop_nulls("auroc_gain")
    found = found.filter(pl.col("continuation") == pl.col("continuation").max()).sort("auroc_gain", maintain_order=True)
    return found.row(0, named=True) if found.height else None


# --------------------------------------------------------------------------------------------------------- the words


def _claim(frames: Frames, model: str) -> str:
    lines = {sees: line for sees in SEES_WORDS if (line := _line(frames, model, sees))}
    said: list[str] = []
    for sees, line in lines.items():
        area = "no AUROC" if line["auroc"] is None else f"AUROC {line['auroc']:.3f}"
        right = f"{SEES_WORDS[sees]}, {100 * line['token_accuracy']:.1f} %"
        right = right if said else f"{right} {_whose(line)}"
        said.append(f"{right}, {area}{_beside(_gain(frames, model, sees))}")
    return f"{said[0][0].upper()}{'; '.join(said)[1:]}."


def _whose(line: Line) -> str:
    seeds = "one seed" if line["seeds"] == 1 else f"{line['seeds']} seeds"
    return (
        f"of tokens are rightly told to be recited by {line['model']} or not (guessing {100 * line['guess']:.1f} %; "
        f"{100 * line['base_rate']:.1f} % of {line['tokens']:,} in {line['rows']:,} held-out rows are, {seeds})"
    )


def _beside(gain: Line | None) -> str:
    """What the AUROC gains over the best baseline; empty where nothing is beside."""
    if gain is None:
        return ""
    difference = f"{gain['auroc_gain']:+.3f}"
    if gain["auroc_gain_lower"] is not None:
        ends = f"{gain['auroc_gain_lower']:+.3f} to {gain['auroc_gain_upper']:+.3f}"
        return f", {_WORDS[judged(gain, 'auroc_gain')]} {gain['method']} ({difference}, 95 % interval {ends})"
    if gain["seeds"] == 1:
        return f", {difference} against {gain['method']}"
    return f", {_WORDS[judged(gain, 'auroc_gain')]} {gain['method']} ({difference} in every seed)"


def _control(frames: Frames, model: str) -> str | None:
    said = []
    for sees, when in SEES_WORDS.items():
        shuffled = _line(frames, model, sees, SHUFFLED)
        if shuffled and shuffled["auroc"] is not None:
            said.append(f"Fitted to shuffled labels the predictor has AUROC {_interval(shuffled, 'auroc')} {when}.")
        control = frames["control"].filter(model=model, tested=model, sees=sees, method=PREDICTOR).sort("continuation")
        control = control.drop_nulls("flagged_tokens")
        if control.height:
            line = control.row(-1, named=True)
            said.append(
                f"In control rows it calls {100 * line['flagged_tokens']:.1f} % of the tokens recited {when}; "
                f"{100 * line['recited_tokens']:.1f} % are."
            )
    return " ".join(said) or None


def _interval(line: Line, name: str) -> str:
    if line[f"{name}_lower"] is None:
        return f"{line[name]:.3f} (no interval)"
    return f"{line[name]:.3f} (95 % interval {line[f'{name}_lower']:.3f} to {line[f'{name}_upper']:.3f})"


def _strength(frames: Frames, model: str) -> float | None:
    """AUROC gained over the best baseline / its standard error, before generating if that is known."""
    gains = [gain for sees in SEES_WORDS if (gain := _gain(frames, model, sees))]
    known = [gain for gain in gains if gain["auroc_gain_lower"] is not None]
    if not known:
        return None
    return abs(known[0]["auroc_gain"]) / standard_error(known[0]["auroc_gain_lower"], known[0]["auroc_gain_upper"])


def _caveats(tables: Tables, frames: Frames, model: str) -> tuple[str, ...]:
    scores = frames["scores"]
    methods, seeds = scores.filter("own", model=model)["method"], int(scores["seeds"].to_numpy().max())
    unread = ", ".join(_without_transfer(tables, frames))
    missing = " or ".join(when for sees, when in SEES_WORDS.items() if _line(frames, model, sees) is None)
    said = {
        "One seed: nothing tells how far off another split or start would be.": seeds == 1,
        "Seeds share rows: an interval speaks of splits and starts on this sample of rows, not of other corpora.": (
            seeds > 1
        ),
        "Where held-out tokens are all recited, or all are not, there is no AUROC.": scores["auroc"].null_count(),
        f"No predictor was tested on another model: {unread}. States of another width cannot be read.": unread,
        f"Nothing was predicted {missing}.": missing,
        f"No baseline stands beside the predictor of {model}.": not methods.is_in(BASELINES).any(),
        f"No predictor of shuffled labels stands beside that of {model}.": SHUFFLED not in methods,
        "There are no predictions of control rows.": not frames["control"].height,
        "The best baseline is chosen on the rows that it is tested on, which flatters it.": frames["gains"].height,
    }
    return tuple(words for words, holds in said.items() if holds)


def _without_transfer(tables: Tables, frames: Frames) -> list[str]:
    """Pairs of models next in size that were not tested on one another."""
    known = [model for model in tables.by_size if model in set(frames["scores"].filter("own")["model"])]
    read = set(frames["transfer"].select("model", "tested").iter_rows())
    return [f"{one} on {other}" for one, other in pairwise(known) if (one, other) not in read]


_DEVIATIONS: Final = (
    "P1 does not say of which rows its accuracies are, nor what guessing gives: here of rows of documents held out "
    "from fitting, each weighing as many rows of the scored corpus as it stands for, with what guessing gives beside.",
    "One predictor at the longest continuation, read at its first tokens; P1's table may have one for each length.",
    "P1 predicts from the states of generated tokens; a predictor that sees the context alone is ours.",
    "AUROC, AUPRC, F1, calibration, baselines, shuffled labels and intervals over seeds are ours.",
    "Full accuracy is of rows all of whose tokens are known; tokens behind an early end of the text are left out.",
)

ANALYSIS: Final = Analysis(
    "predict",
    "Predicting what is recited",
    "P1, table of the predictor and Figure 7",
    "predictions of held-out rows (`mematlas score --signals hidden`, then `mematlas fit STUDY`)",
    answer,
    TRENDS,
)
