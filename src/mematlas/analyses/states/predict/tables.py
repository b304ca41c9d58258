"""The tables of the finding `predict`, each with its recipe, and P1's published numbers."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.states.predict.gains import GAIN_COLUMNS, prediction_gains
from mematlas.analyses.states.predict.over_seeds import (
    SCORE_COLUMNS,
    SIZE_COLUMNS,
    accuracy_by_size,
    prediction_calibration,
    prediction_control,
    prediction_levels,
    prediction_positions,
    prediction_scores,
    prediction_transfer,
)
from mematlas.analyses.states.predict.predictions import KEY_DESCRIPTIONS, predictor_outputs
from mematlas.analyses.states.predict.scores import (
    CONTROL_COLUMNS,
    DETAILED_METHODS,
    LEVEL_COLUMNS,
    POSITION_WINDOW,
    bin_records,
    control_records,
    level_records,
    position_records,
    score_records,
    to_frame,
)
from mematlas.findings.finding import Table
from mematlas.literature.published import TABLES
from mematlas.study.schemas.predictions import BASELINES, MAJORITY, PREDICTOR

BEST: Final = "best baseline"
Frames = dict[str, pl.DataFrame]
_MODEL_KEYS: Final = {name: KEY_DESCRIPTIONS[name] for name in ("model", "sees", "method")}
_LENGTH_COLUMN: Final = {"continuation": "tokens from the border on"}
_COUNT_COLUMNS: Final = {
    "seeds": "seeds (split by documents, weights, order)",
    "rows": "rows of all seeds together; a row may be held out by several",
}
_TOKEN_COLUMN: Final = {"tokens": "their tokens whose prediction and truth are known"}
_INTERVAL_DESCRIPTIONS: Final = {
    "lower": "lower end of its Student 95 % interval over seeds",
    "upper": "upper end of it",
}
_DOCUMENT_INTERVAL: Final = {
    "lower": "lower end of its Student 95 % interval over clusters of rows (documents); null where nothing differs",
    "upper": "upper end of it",
}
_SCORE_DESCRIPTIONS: Final = {
    "token_accuracy": "share of tokens predicted right at a probability of 1/2",
    "full_accuracy": "share of rows with every token predicted right",
    "auroc": "area under the ROC curve of tokens; 0.5 tells nothing apart; null where one class is absent",
    "auprc": "average precision of recited tokens; chance is base_rate",
    "f1": "F1 of recited tokens at a probability of 1/2",
    "ece": "expected calibration error, 5 bins of equal width; above 0 by chance even for true probabilities, so that "
    "its interval is of its mean over seeds and never contains 0",
}
_GAIN_DESCRIPTIONS: Final = {
    "auroc_gain": "AUROC of the predictor minus that of the baseline",
    "token_accuracy_gain": "token accuracy, the same difference",
    "full_accuracy_gain": "full accuracy, the same difference",
}
_CHANGE_DESCRIPTIONS: Final = {
    "auroc": "AUROC of what was fitted to another model",
    "own_auroc": "AUROC of what was fitted to the tested model itself",
    "auroc_change": "the first minus the second",
    "token_accuracy": "token accuracy of what was fitted to another model",
    "own_token_accuracy": "token accuracy of what was fitted to the tested model itself",
    "token_accuracy_change": "the first minus the second",
}
_CONTROL_DESCRIPTIONS: Final = {
    "flagged_tokens": "share of tokens called recited",
    "recited_tokens": "share of tokens really recited",
    "flagged_rows": "share of rows with every token called recited",
    "recited_rows": "share of rows with every token really recited",
}
_BY_SIZE_DESCRIPTIONS: Final = dict(
    zip(
        SIZE_COLUMNS,
        (
            "token accuracy before generating, percent",
            "full accuracy before generating, percent",
            "token accuracy while generating, percent",
            "full accuracy while generating, percent",
            "token accuracy of saying the commoner class of the held-out rows, percent",
            "full accuracy of always the majority, percent; null without that baseline",
        ),
        strict=True,
    )
)


def with_interval_columns(
    columns: dict[str, str], values: Sequence[str], ends: dict[str, str] = _INTERVAL_DESCRIPTIONS
) -> dict[str, str]:
    """`columns`, with each of `values` followed by the ends of its interval."""
    result: dict[str, str] = {}
    for name, description in columns.items():
        interval = {f"{name}_{end}": end_description for end, end_description in ends.items()} if name in values else {}
        result |= {name: description} | interval
    return result


_PART_COLUMNS: Final = {
    "part": "the predictor, the best baseline in AUROC at the longest continuation, or the majority; null for the rest",
    "drawn": "whether it is one of these",
}
_COLUMNS: Final = {
    "scores": with_interval_columns(
        KEY_DESCRIPTIONS
        | {"parameters": "weights of the tested model", "latest": "whether it is the last checkpoint of its size"}
        | {"own": "whether model and tested are one"}
        | _PART_COLUMNS
        | _LENGTH_COLUMN
        | _COUNT_COLUMNS
        | _TOKEN_COLUMN
        | {"base_rate": "share of tokens recited", "guess": "accuracy of saying the commoner class: max(q, 1 - q)"}
        | _SCORE_DESCRIPTIONS,
        SCORE_COLUMNS,
    ),
    "gains": with_interval_columns(
        _MODEL_KEYS
        | _LENGTH_COLUMN
        | {"seeds": _COUNT_COLUMNS["seeds"]}
        | {"clusters": "clusters of the held-out rows of all seeds: documents, joined where they share 13 tokens"}
        | _GAIN_DESCRIPTIONS,
        GAIN_COLUMNS,
        _DOCUMENT_INTERVAL,
    ),
    "by-size": _LENGTH_COLUMN | {"model": "label", "parameters": "number of weights"} | _BY_SIZE_DESCRIPTIONS,
    "levels": with_interval_columns(
        _MODEL_KEYS
        | _PART_COLUMNS
        | {"level": "score level, 0 (M < 0.2) to 4 (M at least 0.8)"}
        | _COUNT_COLUMNS
        | {"full_accuracy": "share of the level's rows with every token predicted right"}
        | {"share": "share of all rows predicted wholly right that are of this level"}
        | {"rows_share": "share of all rows that are of this level"},
        LEVEL_COLUMNS[:2],
    ),
    "control": with_interval_columns(
        KEY_DESCRIPTIONS | _LENGTH_COLUMN | _COUNT_COLUMNS | _TOKEN_COLUMN | _CONTROL_DESCRIPTIONS, CONTROL_COLUMNS
    ),
    "transfer": with_interval_columns(
        KEY_DESCRIPTIONS
        | _LENGTH_COLUMN
        | _COUNT_COLUMNS
        | _TOKEN_COLUMN
        | {"guess": "accuracy of saying the commoner class of the tested model's tokens"}
        | _CHANGE_DESCRIPTIONS,
        tuple(_CHANGE_DESCRIPTIONS),
    ),
    "calibration": with_interval_columns(
        _MODEL_KEYS
        | {"bin": "of probability, 1 (below 0.2) to 5 (0.8 and more)", **_COUNT_COLUMNS, **_TOKEN_COLUMN}
        | {"probability": "mean probability of the bin's tokens", "weight": "share of all tokens"}
        | {"recited": "share of the bin's tokens recited"},
        ("recited",),
    ),
    "positions": with_interval_columns(
        _MODEL_KEYS
        | {
            "position": f"first of {POSITION_WINDOW} tokens that are taken together, 1: after the border",
            **_COUNT_COLUMNS,
            **_TOKEN_COLUMN,
        }
        | {"base_rate": "share of tokens recited", "auroc": _SCORE_DESCRIPTIONS["auroc"]},
        ("auroc",),
    ),
}
for _name in ("calibration", "positions"):
    _COLUMNS[_name].pop("rows")
_TITLES: Final = {
    "scores": "Recited tokens of held-out training rows predicted, by method and continuation",
    "gains": "The predictor minus each baseline",
    "by-size": "The predictor by model and continuation, in percent, as in P1's table",
    "levels": "Rows predicted wholly right by score level, as in P1's Figure 7",
    "control": "What is flagged in control rows, and what is recited there",
    "transfer": "Predictors of one model tested on another",
    "calibration": "Probabilities beside what came true",
    "positions": "How well recited tokens are told by position in the continuation",
}
_START: Final = 'found, lengths = study.scan_predictions(), study.run().question["continuation"]\n'
_SEEDS: Final = "recount.seed_scores(found, lengths)"
_RECIPES: Final = {
    "scores": f"{_START}answer = recount.prediction_scores({_SEEDS}, study.models())",
    "gains": f"{_START}answer = recount.prediction_gains(found, lengths, recount.row_clusters(study))",
    "by-size": f"{_START}answer = recount.accuracy_by_size({_SEEDS}, study.models())",
    "levels": f"{_START}found = recount.seed_levels(found, min(lengths, key=lambda length: abs(length - 32)))\n"
    "answer = recount.prediction_levels(found)",
    "control": f"{_START}answer = recount.prediction_control(recount.seed_control(found, lengths))",
    "transfer": f"{_START}answer = recount.prediction_transfer({_SEEDS})",
    "calibration": "answer = recount.prediction_calibration(recount.seed_calibration(study.scan_predictions()))",
    "positions": "answer = recount.prediction_positions(recount.seed_positions(study.scan_predictions()))",
}
_PUBLISHED_RECIPE: Final = """\
found = recount.TABLES["predictor-accuracy"]
answer = pl.DataFrame(found.lines, [name for name, _ in found.columns], orient="row")"""


def seed_frames(tables: Tables) -> Frames:
    """The records of every seed as data frames: scores, control, levels, calibration, positions.

    Each prediction is read only once.
    """
    assert tables.predictions is not None
    lengths, length = tables.continuations, tables.reference.continuation
    records: dict[str, list[dict[str, object]]] = {
        name: [] for name in ("scores", "levels", "calibration", "positions")
    }
    for output in predictor_outputs(tables.predictions):
        records["scores"] += score_records(output, lengths)
        records["levels"] += level_records(output, length)
        if output.key["method"] in DETAILED_METHODS:
            records["calibration"] += bin_records(output)
            records["positions"] += position_records(output)
    control = [
        record
        for output in predictor_outputs(tables.predictions, "control")
        for record in control_records(output, lengths)
    ]
    return {name: to_frame(table_records, name) for name, table_records in (records | {"control": control}).items()}


def prediction_frames(tables: Tables, seeds: Frames) -> Frames:
    """The data frame of each table, possibly empty.

    Args:
        seeds: from `seed_frames`.
    """
    assert tables.predictions is not None
    scores = prediction_scores(seeds["scores"], tables.models)
    parts = _chart_parts(scores)
    scores = scores.with_columns(
        pl.col("tested").is_in(tables.by_size).alias("latest"), (pl.col("model") == pl.col("tested")).alias("own")
    )
    frames = {
        "scores": _with_parts(scores, parts),
        "gains": prediction_gains(tables.predictions, tables.continuations, tables.clusters),
        "by-size": accuracy_by_size(seeds["scores"], tables.models),
        "levels": _with_parts(prediction_levels(seeds["levels"]), parts),
        "control": prediction_control(seeds["control"]),
        "transfer": prediction_transfer(seeds["scores"]),
        "calibration": prediction_calibration(seeds["calibration"]),
        "positions": prediction_positions(seeds["positions"]),
    }
    return {name: _in_table_order(frame, tables).select(*_COLUMNS[name]) for name, frame in frames.items()}


def _chart_parts(scores: pl.DataFrame) -> pl.DataFrame:
    """The labels that charts give to the methods of each model: predictor, its best baseline, majority."""
    own_model = scores.filter(pl.col("model") == pl.col("tested"))
    longest = own_model.filter(pl.col("continuation") == pl.col("continuation").max().over("model", "sees"))
    baselines = longest.filter(pl.col("method").is_in(BASELINES) & pl.col("auroc").is_not_null())
    best = baselines.sort("auroc", descending=True, maintain_order=True).group_by("model", "sees").first()
    keys = ["model", "sees", "method"]
    parts = [
        own_model.filter(method=PREDICTOR).select(keys, part=pl.lit(PREDICTOR)),
        best.filter(pl.col("method") != MAJORITY).select(keys, part=pl.lit(BEST)),
        own_model.filter(method=MAJORITY).select(keys, part=pl.lit(MAJORITY)),
    ]
    return pl.concat(parts).unique(maintain_order=True)


def _with_parts(frame: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    joined = frame.join(parts, on=["model", "sees", "method"], how="left", maintain_order="left")
    return joined.with_columns(drawn=pl.col("part").is_not_null())


def _in_table_order(frame: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """Sorted: models in the given order, methods from the predictor down, the other columns ascending."""
    models, methods = tables.models["model"].to_list(), [PREDICTOR, *BASELINES]
    ranks = {
        name: pl.col(name).replace_strict(order, range(len(order)), default=len(order), return_dtype=pl.Int64)
        for name, order in {"model": models, "tested": models, "method": methods}.items()
        if name in frame.columns
    }
    key_columns = [
        name for name in ("sees", "method", "continuation", "level", "bin", "position") if name in frame.columns
    ]
    order = [name for name in ("model", "tested") if name in frame.columns] + key_columns
    return frame.sort(*(ranks.get(name, pl.col(name)) for name in order), maintain_order=True)


def prediction_tables(frames: Frames) -> tuple[Table, ...]:
    """The tables of the `prediction_frames` that are not empty, and P1's numbers."""
    tables = [
        Table(name, title, frames[name], _COLUMNS[name], _RECIPES[name])
        for name, title in _TITLES.items()
        if frames[name].height
    ]
    published = TABLES["predictor-accuracy"]
    frame = pl.DataFrame(published.lines, [name for name, _ in published.columns], orient="row")
    title = f"{published.title} ({published.source})"
    return (*tables, Table("published", title, frame, dict(published.columns), _PUBLISHED_RECIPE))
