"""Can training rows be told from rows the model never saw: membership inference and exposure.

Sources: K6 (loss, zlib ratio, Min-K%, Min-K%++, blind baseline), K5 (exposure), K9 (by repetitions). The numbers are
made in membership.py and telling.py.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.extraction.membership.discrimination import (
    FEW,
    exposures_by_repetitions,
    membership_aurocs,
    membership_by_repetitions,
    membership_exposures,
    membership_sweep,
)
from mematlas.analyses.extraction.membership.row_scores import (
    BLIND,
    LOSS,
    MIN_K_PLUS_PLUS,
    PERCENT,
    reference_model,
    scored_rows,
)
from mematlas.analyses.extraction.membership.tables import inference_charts, inference_tables
from mematlas.analyses.frames import copies_as_repetitions as by_copies
from mematlas.analyses.frames.memorized_shares import nearest_cell
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import listed
from mematlas.analyses.trend_tests import Verdict
from mematlas.findings.finding import Finding, Trend
from mematlas.stats.estimates.intervals import standard_error

_QUESTION: Final = "whether training rows can be told from rows the models never saw"
_TREND: Final = "membership-shows-with-repetitions"
_MARGIN: Final = 0.55  # our choice: a bag of words whose interval lies above it is a warning
_FRAMES: Final = {
    "scores": membership_aurocs,
    "sweep": membership_sweep,
    "repetitions": membership_by_repetitions,
    "exposure": membership_exposures,
    "exposure-by-repetitions": exposures_by_repetitions,
}
Frames = dict[str, pl.DataFrame]
Line = dict[str, Any]


def answer(tables: Tables) -> Finding:
    """How well each score tells members of each model at the cell nearest to 32 + 32, and how far rows are exposed."""
    cell = nearest_cell(tables)
    if "truth" not in tables.signals or cell is None:
        return _lacking(tables, "per-token signals of the true text (truth)")
    if not tables.has_control:
        return _lacking(tables, "rows of a control corpus")
    frames, incomplete = _frames(tables, cell)
    model = _spoken_of(tables, frames)
    if model is None:
        return _lacking(tables, f"{FEW} training rows and {FEW} control rows with log-probabilities")
    blind = _line(frames, model, BLIND)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(frames, model, cell, blind),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(_line(frames, model, LOSS), blind),
        control=_control(frames, model, blind),
        tables=inference_tables(frames),
        charts=inference_charts(frames, model),
        trends=(_trend(frames, model),),
        caveats=_caveats(tables, frames, blind, incomplete),
        deviations=_DEVIATIONS,
    )


def _lacking(tables: Tables, what: str) -> Finding:
    remedy = (
        "Score rows of the corpus and of one that no model saw: `mematlas score MODEL ... --corpus PATH --control PATH "
        "--signals truth --study FOLDER`."
    )
    return ANALYSIS.lacking(tables, _QUESTION, what, remedy)


def _frames(tables: Tables, cell: Cell) -> tuple[Frames, int]:
    """The numbers by table, made one model after the other, and how many rows lack a log-probability."""
    parts: dict[str, list[pl.DataFrame]] = {name: [] for name in _FRAMES}
    incomplete = 0
    for rows in scored_rows(tables, cell):
        incomplete = max(incomplete, int(rows["incomplete"].sum()))
        for name, make in _FRAMES.items():
            parts[name].append(make(rows))
    return {name: pl.concat(found) for name, found in parts.items()}, incomplete


def _line(frames: Frames, model: str, score: str) -> Line | None:
    """The line of a score on all members, where both sides have enough rows."""
    found = frames["scores"].filter("shown", model=model, score=score)
    return next(found.iter_rows(named=True), None)


def _spoken_of(tables: Tables, frames: Frames) -> str | None:
    """The largest model that has enough rows."""
    models = [*reversed(tables.by_size), *reversed(tables.family)]
    return next((model for model in models if _line(frames, model, LOSS)), None)


def _confounded(blind: Line | None) -> bool:
    """Where both sides are wholly apart there is no interval."""
    return blind is not None and _end(blind, "lower") > _MARGIN


def _end(line: Line, which: str) -> float:
    end = line[f"auroc_{which}"]
    return float(line["auroc"] if end is None else end)


# --------------------------------------------------------------------------------------------------------- the words


def _auroc(line: Line) -> str:
    if line["auroc_lower"] is None:
        return f"{line['auroc']:.3f} (no interval)"
    return f"{line['auroc']:.3f} (95 % interval {line['auroc_lower']:.3f} to {line['auroc_upper']:.3f})"


def _shown(line: Line) -> str:
    """How often the rows of a bucket were shown, in words."""
    fewest, most = line["repetitions"], line["most"]
    times = "once" if most == 1 else f"{fewest:,} to {most:,} times"
    return f"rows shown {times}"


def _ends(frames: Frames, model: str, score: str = LOSS) -> list[Line]:
    """The lines of the least and the most often shown rows; fewer than two where buckets are."""
    found = frames["repetitions"].filter("shown", model=model, score=score).sort("repetitions").to_dicts()
    return [found[0], found[-1]] if len(found) > 1 else []


def _claim(frames: Frames, model: str, cell: Cell, blind: Line | None) -> str:
    loss, standard = _line(frames, model, LOSS), _line(frames, model, MIN_K_PLUS_PLUS)
    assert loss is not None
    said = (
        f"At {cell} tokens the loss of {model} tells {loss['members']:,} training rows from {loss['controls']:,} "
        f"control rows with AUROC {_auroc(loss)}"
    )
    said += f", {MIN_K_PLUS_PLUS} with {standard['auroc']:.3f}" if standard else ""
    if ends := [f"{_shown(end)} with {end['auroc']:.3f}" for end in _ends(frames, model)]:
        said += f"; {listed(ends)}"
    said += f"; a bag of words without a model reaches {_auroc(blind)}" if blind else ""
    said += ", so that the control differs in ways that need no model" if _confounded(blind) else ""
    return f"{said}."


def _control(frames: Frames, model: str, blind: Line | None) -> str:
    said = []
    if blind:
        said.append(
            f"A bag of words, which sees the tokens of a row and no model, tells {blind['members']:,} training rows "
            f"from {blind['controls']:,} control rows with AUROC {_auroc(blind)}."
        )
    others = frames["scores"].filter("shown", role="control model", score=LOSS).to_dicts()
    said += [f"The loss of {line['model']}, which never saw the corpus, has {_auroc(line)}." for line in others]
    exposed = next(frames["exposure"].filter("shown", model=model).iter_rows(named=True))
    said.append(
        f"Training rows are exposed by {exposed['exposure']:.2f} bits on average in {model}; a row never seen by "
        f"{exposed['chance']:.2f}, and {exposed['references']:,} references show {exposed['most_bits']:.2f} at most."
    )
    return " ".join(said)


def _trend(frames: Frames, model: str) -> Trend:
    ends = _ends(frames, model)
    if not ends:
        return Trend(_TREND, "cannot tell", f"{model} has no two groups of {FEW} rows shown differently often")
    least, most = ends
    test = (
        f"AUROC of the loss of {model}: {_auroc(least)} of {least['members']:,} {_shown(least)}, {_auroc(most)} of "
        f"{most['members']:,} {_shown(most)}; a direction is shown if the intervals are apart (the number itself where "
        "there is no interval)"
    )
    rises = _end(most, "lower") > _end(least, "upper")
    falls = _end(most, "upper") < _end(least, "lower")
    verdict: Verdict = "shows" if rises else "contradicts" if falls else "cannot tell"
    return Trend(_TREND, verdict, test)


def _strength(loss: Line | None, blind: Line | None) -> float | None:
    """AUROC above chance / its standard error; not picked where a bag of words does it too."""
    if loss is None or loss["auroc_lower"] is None or _confounded(blind):
        return None
    return abs(loss["auroc"] - 0.5) / standard_error(loss["auroc_lower"], loss["auroc_upper"])


def _caveats(tables: Tables, frames: Frames, blind: Line | None, incomplete: int) -> tuple[str, ...]:
    scores, reference = frames["scores"], reference_model(tables)
    controls = max(scores["controls"].to_list())
    said = {
        f"A bag of words tells members from the control (lower end above {_MARGIN:g}): no score shows memorization "
        "here by itself; take control rows from the same documents or dates.": _confounded(blind),
        "No bag of words was tried: it needs row features (`mematlas features STUDY`) and 20 rows of each side.": (
            blind is None
        ),
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
        by_copies.told(tables) if by_copies.by_copies(tables) else "": by_copies.by_copies(tables) is not None,
    }
    return tuple(words for words, holds in said.items() if holds)


_DEVIATIONS: Final = (
    f"K6 sweeps K and takes the best; here K = {PERCENT} % is spoken of, and the table sweep holds the others.",
    "K6 scores whole texts; here the window of context and continuation, without its first token.",
    "The zlib ratio divides by bytes at level 9 of compression; K6's code uses zlib's default.",
    "K5 ranks a canary among random ones of its format by perplexity; here each training row among the control rows, "
    "with ties in the middle.",
    "Intervals take rows as independent; that of a true positive rate takes its threshold as given.",
)

ANALYSIS: Final = Analysis(
    "inference",
    "Membership inference",
    "K6 (Min-K%, Min-K%++); K5 (exposure); K9 (by duplicates)",
    "signals of the true text (`--signals truth`) of training and control rows",
    answer,
    (_TREND,),
    granularity="approximate",
    retrievability="discoverable",
)
