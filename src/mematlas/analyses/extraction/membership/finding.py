"""Whether training rows can be distinguished from rows the model never saw: membership inference and exposure.

Sources: K6 (loss, zlib ratio, Min-K%, Min-K%++, blind baseline), K5 (exposure), K9 (by repetitions). The numbers are
computed in row_scores.py and discrimination.py.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.extraction.membership.blind_check import why_unchecked
from mematlas.analyses.extraction.membership.discrimination import (
    MIN_ROWS,
    exposures_by_repetitions,
    membership_aurocs,
    membership_by_repetitions,
    membership_exposures,
    membership_sweep,
)
from mematlas.analyses.extraction.membership.row_scores import (
    BLIND,
    HEADLINE_PERCENT,
    LOSS,
    MIN_K_PLUS_PLUS,
    membership_scores,
    reference_model_label,
)
from mematlas.analyses.extraction.membership.tables import inference_charts, inference_tables
from mematlas.analyses.frames import copies_as_repetitions as by_copies
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import by_interval, format_bounds, format_count, join_with_and
from mematlas.analyses.trend_tests import Verdict
from mematlas.findings.finding import Finding, Trend
from mematlas.stats.estimates.intervals import standard_error

_QUESTION: Final = "whether training rows can be told from rows the models never saw"
_TREND_NAME: Final = "membership-shows-with-repetitions"
_BLIND_WARNING: Final = 0.55  # our choice: a bag of words whose interval lies above it is a warning
_FRAME_FUNCTIONS: Final = {
    "scores": membership_aurocs,
    "sweep": membership_sweep,
    "repetitions": membership_by_repetitions,
    "exposure": membership_exposures,
    "exposure-by-repetitions": exposures_by_repetitions,
}
Frames = dict[str, pl.DataFrame]
Record = dict[str, Any]


def compute(tables: Tables) -> Finding:
    """How well each score discriminates members of each model near 32 + 32, and the exposure of training rows."""
    cell = nearest_cell(tables)
    if "truth" not in tables.signals or cell is None:
        return _insufficient_data(tables, "per-token signals of the true text (truth)")
    if not tables.has_control:
        return _insufficient_data(tables, "rows of a control corpus")
    frames, incomplete = _frames(tables, cell)
    model = _headline_model(tables, frames)
    if model is None:
        return _insufficient_data(
            tables, f"{MIN_ROWS} training rows and {MIN_ROWS} control rows with log-probabilities"
        )
    blind = _score_record(frames, model, BLIND)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(frames, model, cell, blind),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(_score_record(frames, model, LOSS), blind),
        control=_control(frames, model, blind),
        tables=inference_tables(frames),
        charts=inference_charts(frames, model),
        trends=(_trend(frames, model),),
        caveats=(*_blind_caveats(tables, cell, blind), *_caveats(tables, frames, incomplete)),
        deviations=_DEVIATIONS,
        headline=_headline(_score_record(frames, model, LOSS), blind),
        sentence=_sentence(_score_record(frames, model, LOSS), blind, model),
    )


def _insufficient_data(tables: Tables, missing: str) -> Finding:
    remedy = (
        "Score rows of the corpus and of one that no model saw: `mematlas score MODEL ... --corpus PATH --control PATH "
        "--signals truth --study FOLDER`."
    )
    return ANALYSIS.insufficient_data(tables, _QUESTION, missing, remedy)


def _frames(tables: Tables, cell: Cell) -> tuple[Frames, int]:
    """The data frame of each table, computed model by model, and how many rows lack a log-probability."""
    parts: dict[str, list[pl.DataFrame]] = {name: [] for name in _FRAME_FUNCTIONS}
    incomplete = 0
    for rows in membership_scores(tables, cell):
        incomplete = max(incomplete, int(rows["incomplete"].sum()))
        for name, function in _FRAME_FUNCTIONS.items():
            parts[name].append(function(rows))
    return {name: pl.concat(pieces) for name, pieces in parts.items()}, incomplete


def _score_record(frames: Frames, model: str, score: str) -> Record | None:
    """The record of a score over all members, if both sides have enough rows."""
    records = frames["scores"].filter("shown", model=model, score=score)
    return next(records.iter_rows(named=True), None)


def _headline_model(tables: Tables, frames: Frames) -> str | None:
    """The largest model that has enough rows."""
    models = [*reversed(tables.by_size), *reversed(tables.family)]
    return next((model for model in models if _score_record(frames, model, LOSS)), None)


def _is_checked(blind: Record | None) -> bool:
    """Whether it is known, with an interval, how well a bag of words discriminates."""
    return blind is not None and blind["auroc_lower"] is not None


def _confounded(blind: Record | None) -> bool:
    """Whether the bag of words discriminates too, so that no score is evidence of memorization."""
    return blind is not None and _is_checked(blind) and blind["auroc_lower"] > _BLIND_WARNING


# ----------------------------------------------------------------------------------------------------- the sentences


def _format_auroc(record: Record) -> str:
    if record["auroc_lower"] is None:
        return f"{record['auroc']:.3f} (no interval)"
    return f"{record['auroc']:.3f} (95 % interval {record['auroc_lower']:.3f} to {record['auroc_upper']:.3f})"


def _format_repetitions(bucket: Record) -> str:
    """How often the rows of a bucket were shown, for a sentence."""
    fewest, most = bucket["repetitions"], bucket["most"]
    times = "once" if most == 1 else f"{fewest:,} to {most:,} times"
    return f"rows shown {times}"


def _extreme_buckets(frames: Frames, model: str, score: str = LOSS) -> list[Record]:
    """The records of the least and the most often shown rows; [] if there are fewer than two buckets."""
    buckets = frames["repetitions"].filter("shown", model=model, score=score).sort("repetitions").to_dicts()
    return [buckets[0], buckets[-1]] if len(buckets) > 1 else []


def _claim(frames: Frames, model: str, cell: Cell, blind: Record | None) -> str:
    loss, min_k = _score_record(frames, model, LOSS), _score_record(frames, model, MIN_K_PLUS_PLUS)
    assert loss is not None
    text = (
        f"At {cell} tokens the loss of {model} tells {loss['members']:,} training rows from {loss['controls']:,} "
        f"control rows with AUROC {_format_auroc(loss)}"
    )
    text += f", {MIN_K_PLUS_PLUS} with {min_k['auroc']:.3f}" if min_k else ""
    if buckets := [
        f"{_format_repetitions(bucket)} with {bucket['auroc']:.3f}" for bucket in _extreme_buckets(frames, model)
    ]:
        text += f"; {join_with_and(buckets)}"
    text += f"; a bag of words without a model reaches {_format_auroc(blind)}" if blind else ""
    text += ", so that the control differs in ways that need no model" if _confounded(blind) else ""
    text += "" if _is_checked(blind) else "; whether words alone, without a model, tell them apart is not known"
    return f"{text}."


def _headline(loss: Record | None, blind: Record | None) -> str:
    """Whether the loss tells members from others, unless words alone do so, or may do so."""
    assert loss is not None
    if _confounded(blind):
        return "Words alone tell training rows from control rows, without a model"
    apart = "The loss tells training rows from rows never seen"
    if not _is_checked(blind):
        apart = "The loss tells training rows apart, but perhaps words alone do"
    return by_interval(
        loss["auroc_lower"],
        loss["auroc_upper"],
        apart,
        "The loss is higher on training rows than on rows never seen",
        "The loss does not clearly tell training rows from others",
        value=0.5,
    )


def _sentence(loss: Record | None, blind: Record | None, model: str) -> str:
    """The AUROC of the loss, and of a bag of words."""
    assert loss is not None
    area = f"{loss['auroc']:.3f} {format_bounds(loss['auroc_lower'], loss['auroc_upper'], '.3f')}"
    of = f"{loss['members']:,} training and {format_count(loss['controls'], 'control row')}"
    words = f"; a bag of words reaches {blind['auroc']:.3f}" if blind else ""
    return f"The loss of {model} has AUROC {area} for {of}{words}."


def _control(frames: Frames, model: str, blind: Record | None) -> str:
    sentences = []
    if blind:
        sentences.append(
            f"A bag of words sees a row's tokens and no model. It tells {blind['members']:,} training rows "
            f"from {blind['controls']:,} control rows with AUROC {_format_auroc(blind)}."
        )
    control_models = frames["scores"].filter("shown", role="control model", score=LOSS).to_dicts()
    sentences += [
        f"The loss of {record['model']}, which never saw the corpus, has {_format_auroc(record)}."
        for record in control_models
    ]
    exposure = next(frames["exposure"].filter("shown", model=model).iter_rows(named=True))
    sentences.append(
        f"Training rows are exposed by {exposure['exposure']:.2f} bits on average in {model}; a row never seen by "
        f"{exposure['chance']:.2f}, and {exposure['references']:,} references show {exposure['most_bits']:.2f} at most."
    )
    return " ".join(sentences)


def _trend(frames: Frames, model: str) -> Trend:
    buckets = _extreme_buckets(frames, model)
    if not buckets:
        return Trend(
            _TREND_NAME, "cannot tell", f"{model} has no two groups of {MIN_ROWS} rows shown differently often"
        )
    least, most = buckets
    test = (
        f"AUROC of the loss of {model}: {_format_auroc(least)} of {least['members']:,} {_format_repetitions(least)}. "
        f"Of {most['members']:,} {_format_repetitions(most)}: {_format_auroc(most)}. A direction is shown if the "
        "intervals are apart; without an interval nothing is"
    )
    verdict: Verdict = "cannot tell"
    if least["auroc_lower"] is not None and most["auroc_lower"] is not None:
        rises, falls = most["auroc_lower"] > least["auroc_upper"], most["auroc_upper"] < least["auroc_lower"]
        verdict = "shows" if rises else "contradicts" if falls else "cannot tell"
    return Trend(_TREND_NAME, verdict, test)


def _strength(loss: Record | None, blind: Record | None) -> float | None:
    """AUROC above chance / its standard error; None if a bag of words discriminates too, or may do so."""
    if loss is None or loss["auroc_lower"] is None or _confounded(blind) or not _is_checked(blind):
        return None
    return abs(loss["auroc"] - 0.5) / standard_error(loss["auroc_lower"], loss["auroc_upper"])


def _blind_caveats(tables: Tables, cell: Cell, blind: Record | None) -> tuple[str, ...]:
    """What the bag of words says against the scores, or why it says nothing."""
    if blind is None:
        reason = why_unchecked(tables, cell)
        return (f"No bag of words stands beside the scores, so that no score shows memorization: {reason}.",)
    if not _is_checked(blind):
        return ("The bag of words has no interval, so that no score shows memorization: take rows of more documents.",)
    warning = (
        f"A bag of words tells members from the control (lower end above {_BLIND_WARNING:g}): no score shows "
        "memorization here by itself; take control rows from the same documents or dates."
    )
    return (warning,) if _confounded(blind) else ()


def _caveats(tables: Tables, frames: Frames, incomplete: int) -> tuple[str, ...]:
    scores, reference = frames["scores"], reference_model_label(tables)
    controls = max(scores["controls"].to_list())
    caveats = {
        f"The reference model {reference} was trained on the corpus too: what both have learned cancels out, and "
        "rows that both know by heart may fall below chance.": (len(tables.models) > 1 and not tables.control_models),
        "One model alone: there is no reference model.": len(tables.models) == 1,
        "No zlib ratio: it needs the text of the rows (`mematlas features STUDY`).": (
            not (scores["score"] == "zlib ratio").any()
        ),
        f"{MIN_K_PLUS_PLUS} is not known of models whose distribution never varies.": (
            not (scores["score"] == MIN_K_PLUS_PLUS).any()
        ),
        f"{incomplete:,} rows lack log-probabilities of tokens other than the first; theirs are means of the others.": (
            incomplete
        ),
        f"With {controls:,} control rows a true positive rate at 0.1 % false positives is not known.": controls < 1000,
        "How often rows were shown is not known: nothing is said by repetitions.": not frames["repetitions"].height,
        by_copies.copies_caveat(tables)
        if by_copies.with_copies_as_repetitions(tables)
        else "": by_copies.with_copies_as_repetitions(tables) is not None,
    }
    return tuple(text for text, applies in caveats.items() if applies)


_DEVIATIONS: Final = (
    f"K6 sweeps K and takes the best; here K = {HEADLINE_PERCENT} % is spoken of, and the table sweep holds the "
    "others.",
    "K6 scores whole texts; here the window of context and continuation, without its first token.",
    "The zlib ratio divides by bytes at level 9 of compression; K6's code uses zlib's default.",
    "K5 ranks a canary among random ones of its format by perplexity; here each training row among the control rows, "
    "with ties in the middle.",
    "Intervals are over documents where they are known.",
)

ANALYSIS: Final = Analysis(
    "inference",
    "Membership inference",
    "K6 (Min-K%, Min-K%++); K5 (exposure); K9 (by duplicates)",
    "signals of the true text (`--signals truth`) of training and control rows",
    compute,
    (_TREND_NAME,),
    granularity="approximate",
    retrievability="discoverable",
)
