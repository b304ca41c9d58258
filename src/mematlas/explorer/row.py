"""One row in full: its tokens, and what every model of the study made of them."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from mematlas.explorer.fields import reason_without_features, reason_without_predictions
from mematlas.explorer.lines import Lines, View
from mematlas.explorer.table import records
from mematlas.explorer.texts import Texts, Tokens
from mematlas.study import cut_signals
from mematlas.types import Ids

_TRUTH: Final = ("hit", "log_probability", "rank", "entropy", "margin")
_FREE: Final = ("log_probability", "entropy", "margin")
_COUNTS: Final = ("unigrams", "bigrams", "trigrams")
_PLACES: Final = {"row": "corpus_row", "source": "source", "document": "document", "offset": "offset"}
_MORE_PLACES: Final = {"same_row": "same_row", "training_step": "training_step"}

Record = dict[str, Any]


def describe_row(lines: Lines, texts: Texts, row: int, view: View) -> Record | None:
    """The row with this id at the view's cell; None if the study has no such row. What is not known is None, and
    `missing` says why."""
    positions = lines.positions_of(row)[:1]
    if not len(positions):
        return None
    start, stop = lines.grid.span(view.context, view.continuation)
    (tokens,) = texts.tokens(positions)
    window = None if tokens is None else tokens[start:stop]
    facts = records(lines, view, positions).row(0, named=True)
    places = _places(lines, positions, view)
    total = places[0]["elsewhere"] if places else None
    return {
        "row": row,
        "facts": {name: facts[name] for name in ("role", "source", "document", "repetitions", "copies", "kind")}
        | {"places_total": total},
        "cell": {"context": view.context, "continuation": view.continuation, "align": lines.grid.align},
        "tokens": None if window is None else {"ids": window, "texts": texts.pieces(window)},
        "counts": _counts(lines, positions, start, stop),
        "models": [_model(lines, texts, positions, view, model["label"], window) for model in lines.models],
        "places": None if places is None else [_place(lines, place) for place in places if place["place"] is not None],
        "missing": reasons(lines, texts),
    }


def reasons(lines: Lines, texts: Texts) -> dict[str, str | None]:
    """What a study may lack: name -> None if it is there, else why it is not."""
    features = reason_without_features(lines)
    absent = features or "the row features lack them"
    return {
        "tokens": texts.why_no_tokens(),
        "texts": texts.why_no_texts(),
        "counts": None if "counts" in lines.feature_kinds else absent,
        "places": None if "places" in lines.feature_kinds else features or "no row is recited, so none was looked up",
        "predictions": reason_without_predictions(lines),
        **{kind: _reason_without_signals(lines, kind) for kind in ("truth", "free")},
    }


def _reason_without_signals(lines: Lines, kind: str) -> str | None:
    if kind in lines.settings.get("signals", ()):
        return None
    if "imported" in lines.settings:
        return "published scores come without them"
    if "masking" in lines.settings:
        return "masked models have none"
    return f"not recorded; score with --signals {kind}"


def _counts(lines: Lines, positions: Ids, start: int, stop: int) -> Record | None:
    record = _record_of(lines, "counts", positions)
    return None if record is None else {name: (record[name] or [])[start:stop] for name in _COUNTS}


def _record_of(lines: Lines, kind: str, positions: Ids) -> Record | None:
    """The row's record in a table of features that has one per row; None without any."""
    if kind not in lines.feature_kinds:
        return None
    found = lines.read(lines.features_folder(kind), positions)
    return found.row(0, named=True) if found.height else None


def _places(lines: Lines, positions: Ids, view: View) -> list[Record] | None:
    """Where else in the corpus the continuation occurs; None if it was not looked up."""
    if "places" not in lines.feature_kinds:
        return None
    found = lines.read(lines.features_folder("places"), positions)
    if not found.height:
        return None
    found = found.filter(context=view.context, continuation=view.continuation).sort("place")
    return found.to_dicts() if found.height else None


def _place(lines: Lines, place: Mapping[str, Any]) -> Record:
    names = _PLACES | {name: column for name, column in _MORE_PLACES.items() if column in place}
    in_study = len(lines.positions_of(place["corpus_row"])) > 0
    return {name: place[column] for name, column in names.items()} | {"in_study": in_study}


# ---------------------------------------------------------------------------------------------------------- one model


def _model(lines: Lines, texts: Texts, positions: Ids, view: View, label: str, window: Tokens) -> Record:
    """What a model made of the row."""
    scores = _scores(lines, positions, view, label)
    generated = _signals(lines, positions, view, label, "free")
    truth = _signals(lines, positions, view, label, "truth")
    matches = scores["matches"]
    predicted = _predicted(lines, positions, view, label)
    return {
        "label": label,
        **scores,
        "m": None if matches is None or not lines.is_graded else matches / view.continuation,
        "hit": _hits(scores, generated, window, view, lines.grid.align),
        "truth": None if truth is None else {name: truth.get(name) for name in _TRUTH},
        "generated": None
        if generated is None
        else {"ids": generated["token"], "texts": texts.pieces(generated["token"] or [])}
        | {name: generated.get(name) for name in _FREE},
        "predicted": predicted,
    }


def _scores(lines: Lines, positions: Ids, view: View, label: str) -> Record:
    """matches, verbatim, margin, level, and the reason why they are missing."""
    found = lines.read(lines.scores_folder(label), positions, row_shards=True)
    if found.height:
        found = found.filter(context=view.context, continuation=view.continuation)
    if not found.height:
        reason = "not scored yet" if lines.is_complete else "not among the recited rows that were published"
        level = None if lines.is_complete else lines.levels[0]
        return {"matches": None, "verbatim": None, "margin": None, "level": level, "reason": reason}
    record = found.with_columns(level=lines.level_of(view.continuation)).row(0, named=True)
    return {name: record[name] for name in ("matches", "verbatim", "margin", "level", "reason")}


def _signals(lines: Lines, positions: Ids, view: View, label: str, kind: str) -> Record | None:
    """A model's per-token records of the row, cut to the cell; None if there are none."""
    if kind not in lines.settings.get("signals", ()):
        return None
    found = lines.read(lines.signals_folder(kind, label), positions, row_shards=True)
    if not found.height:
        return None
    cut = cut_signals(found.lazy(), kind, lines.settings.get("align", "start"), view.context, view.continuation)
    cell = cut.collect()
    return cell.row(0, named=True) if cell.height else None


def _hits(scores: Record, generated: Record | None, window: Tokens, view: View, align: str) -> list[bool] | None:
    """Which tokens of the continuation the model gets right in its own text; None where that is not known."""
    if align == "masked":  # hidden tokens stand anywhere
        return None
    if scores["verbatim"] == view.continuation or scores["matches"] == view.continuation:
        return [True] * view.continuation
    if scores["matches"] == 0:
        return [False] * view.continuation
    if generated is None or window is None or generated["token"] is None:
        return None
    true = window[view.context :]
    return [own == token for own, token in zip(generated["token"], true, strict=False)]


def _predicted(lines: Lines, positions: Ids, view: View, label: str) -> list[float | None] | None:
    """The probability of each token of the continuation to be recited, a mean over the predictors' seeds."""
    if not lines.has_predictions:
        return None
    row = lines.rows["row"][int(positions[0])]
    found = lines.predictions(label).filter(row=row).select("probability").collect()
    if not found.height:
        return None
    shortest = int(found["probability"].list.len().min() or 0)  # type: ignore[arg-type]
    values = np.array([values[:shortest] for values in found["probability"].to_list()], dtype=np.float64)
    mean: list[float | None] = values[:, : view.continuation].mean(axis=0).tolist()
    return mean
