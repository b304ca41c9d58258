"""How well the scores of row_scores.py discriminate members from rows the model never saw, and the exposure of rows.

Sources: K6 (AUROC, TPR at a low FPR), K5 (exposure), K9 (by how often a row was shown).
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.extraction.membership.row_scores import SCORES, Score
from mematlas.stats.classification.discrimination import roc_auc
from mematlas.stats.classification.membership import controls_needed, exposures, mean_exposure, true_positive_rate

Values = NDArray[np.float64]
Labels = NDArray[np.int64]
FALSE_POSITIVE_RATES: Final = {"tpr_at_1": 0.01, "tpr_at_01": 0.001}
MIN_ROWS: Final = 10  # our choice: members or control rows below which a point is not drawn and no claim is made
_MODEL_COLUMNS: Final = {
    "model": "label of the model",
    "parameters": "number of weights",
    "role": "train: models of the family; control model: one that never saw the corpus, for which no row is a member",
    "latest": "whether it is the last checkpoint of its size, or a control model",
}
_BUCKET_COLUMNS: Final = {
    "repetitions": "fewest times that these rows were shown: buckets double from 1",
    "most": "most times that a row of the bucket is shown",
}
_SCORE_COLUMNS: Final = {
    "score": "loss: mean log-probability; zlib ratio: that / compressed bytes; Min-K% and Min-K%++: of the k % least "
    "likely tokens; reference model: minus that of the smallest model; bag of words: no model, out of fold",
    "k": "percent of the tokens that count; null: all",
    "members": "training rows with the score",
    "controls": "rows of the control corpus with the score",
    "clusters": "documents of both, joined where they share 13 tokens; a row of no known document is its own",
    "auroc": "chance that a training row has the higher score; 0.5 tells nothing apart",
    "auroc_lower": "lower end of its DeLong 95 % interval over clusters; exact where all members lie above",
    "auroc_upper": "upper end of it; exact where all are below",
    **{
        f"{name}{end}": meaning
        for name, level in FALSE_POSITIVE_RATES.items()
        for end, meaning in (
            ("", f"share of members above a threshold that at most {100 * level:g} % of control rows exceed"),
            (
                "_lower",
                "lower end of its 95 % interval, over clusters of members and of control rows",
            ),
            ("_upper", "upper end of it"),
        )
    },
    "reason": "why a share or its interval is null",
    "shown": f"whether both sides have {MIN_ROWS} rows (our choice)",
}
AUROC_COLUMNS: Final = {**_MODEL_COLUMNS, **_SCORE_COLUMNS}
REPETITION_COLUMNS: Final = {**_MODEL_COLUMNS, **_BUCKET_COLUMNS, **_SCORE_COLUMNS}
_EXPOSURE_COLUMNS: Final = {
    "rows": "training rows",
    "references": "rows of the control corpus among which each is ranked by mean log-probability",
    "exposure": "mean of log2(references + 1) - log2(rank), bits",
    "exposure_lower": "lower end of its 95 % interval, Welch's t over clusters of training rows and of control rows",
    "exposure_upper": "upper end of it",
    "chance": "mean of a row drawn as the references are, bits; 1.44 with many references",
    "most_bits": "upper limit that so many references allow: log2(references + 1)",
    "at_limit": "rows above all references: they could be exposed more",
    "tied": "rows with the very score of a reference, ranked in the middle of those",
    "shown": f"whether there are {MIN_ROWS} rows and references (our choice)",
}
EXPOSURE_COLUMNS: Final = {**_MODEL_COLUMNS, **_EXPOSURE_COLUMNS}
EXPOSURE_REPETITION_COLUMNS: Final = {**_MODEL_COLUMNS, **_BUCKET_COLUMNS, **_EXPOSURE_COLUMNS}
_TYPES: Final = {
    **dict.fromkeys(("model", "role", "score", "reason"), pl.String),
    **dict.fromkeys(("latest", "shown"), pl.Boolean),
    **dict.fromkeys(("parameters", "k", "members", "controls", "repetitions", "most", "rows", "references"), pl.Int64),
    **dict.fromkeys(("at_limit", "tied", "clusters"), pl.Int64),
}


def membership_aurocs(rows: pl.DataFrame) -> pl.DataFrame:
    """AUROC and TPR at low FPR of each score with K = 20 %, over all members; columns AUROC_COLUMNS.

    Args:
        rows: from `membership_rows`, of one or several models.
    """
    return _discrimination_table(rows, [score for score in SCORES if not score.swept_only], AUROC_COLUMNS)


def membership_sweep(rows: pl.DataFrame) -> pl.DataFrame:
    """Like `membership_aurocs`, for Min-K% and Min-K%++ at every K."""
    return _discrimination_table(rows, [score for score in SCORES if score.k], AUROC_COLUMNS)


def membership_by_repetitions(rows: pl.DataFrame) -> pl.DataFrame:
    """Like `membership_aurocs`, the members of each bucket of repetitions against all control rows.

    Returns:
        REPETITION_COLUMNS.
    """
    headline_scores = [score for score in SCORES if not score.swept_only]
    records = []
    for model_rows in _by_model(rows):
        controls, model = model_rows.filter(~pl.col("member")), _model_record(model_rows)
        for bucket, members in repetition_buckets(model_rows):
            compared = pl.concat([members, controls])
            records += [model | bucket | _discrimination_record(compared, score) for score in headline_scores]
    return _to_frame(records, REPETITION_COLUMNS)


def membership_exposures(rows: pl.DataFrame) -> pl.DataFrame:
    """Exposure of the training rows in bits; columns EXPOSURE_COLUMNS.

    Args:
        rows: from `membership_rows`.
    """
    records = [
        _model_record(model_rows) | _exposure_record(model_rows.filter("member"), model_rows)
        for model_rows in _by_model(rows)
    ]
    return _to_frame(records, EXPOSURE_COLUMNS)


def exposures_by_repetitions(rows: pl.DataFrame) -> pl.DataFrame:
    """Like `membership_exposures`, for each bucket of repetitions; columns EXPOSURE_REPETITION_COLUMNS."""
    records = [
        _model_record(model_rows) | bucket | _exposure_record(members, model_rows)
        for model_rows in _by_model(rows)
        for bucket, members in repetition_buckets(model_rows)
    ]
    return _to_frame(records, EXPOSURE_REPETITION_COLUMNS)


def _discrimination_table(rows: pl.DataFrame, scores: Sequence[Score], columns: dict[str, str]) -> pl.DataFrame:
    records = [
        _model_record(model_rows) | _discrimination_record(model_rows, score)
        for model_rows in _by_model(rows)
        for score in scores
    ]
    return _to_frame(records, columns)


def _discrimination_record(rows: pl.DataFrame, score: Score) -> dict[str, Any]:
    """The record of one score for members and control rows; {} if either side has no values."""
    known = rows.drop_nulls(score.column)
    values, is_member = known[score.column].to_numpy(), known["member"].to_numpy()
    member_values, control_values = values[is_member], values[~is_member]
    if not len(member_values) or not len(control_values):
        return {}
    clusters = None if known["cluster"].is_unique().all() else known["cluster"].to_numpy()
    area = roc_auc(values, is_member, clusters)
    record: dict[str, Any] = {
        "score": score.name,
        "k": score.k,
        "members": len(member_values),
        "controls": len(control_values),
        "clusters": known["cluster"].n_unique(),
    }
    record |= {"auroc": area.estimate, "auroc_lower": area.lower, "auroc_upper": area.upper}
    sides = (None, None) if clusters is None else (clusters[is_member], clusters[~is_member])
    return record | {
        **_true_positive_rates(member_values, control_values, *sides),
        "shown": min(len(member_values), len(control_values)) >= MIN_ROWS,
    }


def _true_positive_rates(
    members: Values, controls: Values, clusters: Labels | None, control_clusters: Labels | None
) -> dict[str, Any]:
    """The true positive rate at each of the FALSE_POSITIVE_RATES, its interval, and why one is missing."""
    record: dict[str, Any] = {}
    reasons = []
    for name, level in FALSE_POSITIVE_RATES.items():
        rate = true_positive_rate(members, controls, level, clusters, control_clusters)
        if rate is None:
            reasons.append(f"{100 * level:g} % needs {controls_needed(level):,} control rows")
            continue
        record |= {name: rate.estimate, f"{name}_lower": rate.lower, f"{name}_upper": rate.upper}
        if rate.lower is None:
            reasons.append(f"no interval at {100 * level:g} %: all members are of one document")
    return record | {"reason": ", ".join(reasons) or None}


def _exposure_record(members: pl.DataFrame, rows: pl.DataFrame) -> dict[str, Any]:
    """The exposure of some members among the control rows of `rows`; {} if either side has no values."""
    members, controls = members.drop_nulls("loss"), rows.filter(~pl.col("member")).drop_nulls("loss")
    values, references = members["loss"].to_numpy(), controls["loss"].to_numpy()
    if not len(values) or not len(references):
        return {}
    result = exposures(values, references)
    mean = mean_exposure(values, references, members["cluster"].to_numpy(), controls["cluster"].to_numpy())
    interval = [None if np.isnan(bound[0]) else float(bound[0]) for bound in (mean.lower, mean.upper)]
    return {
        "rows": len(values),
        "references": len(references),
        "exposure": float(mean.estimate[0]),
        "exposure_lower": interval[0],
        "exposure_upper": interval[1],
        "chance": result.chance,
        "most_bits": result.maximum,
        "at_limit": int((values > references.max()).sum()),
        "tied": int(result.tied.sum()),
        "shown": min(len(values), len(references)) >= MIN_ROWS,
    }


def _by_model(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    return (model_rows for _, model_rows in rows.group_by("model", maintain_order=True))


def _model_record(rows: pl.DataFrame) -> dict[str, Any]:
    return rows.select(*_MODEL_COLUMNS).row(0, named=True)


def repetition_buckets(rows: pl.DataFrame) -> Iterator[tuple[dict[str, int | None], pl.DataFrame]]:
    """The members of each nonempty bucket of repetitions, ascending."""
    members = rows.filter("member").drop_nulls("repetitions")
    exponents = np.frexp(members["repetitions"].to_numpy().astype(float))[1].astype(np.int64)
    for power in np.unique(exponents):
        yield {"repetitions": 1 << int(power - 1), "most": (1 << int(power)) - 1}, members.filter(exponents == power)


def _to_frame(records: list[dict[str, Any]], columns: dict[str, str]) -> pl.DataFrame:
    """A data frame of the records that have values."""
    measured = [record for record in records if "auroc" in record or "exposure" in record]
    return pl.DataFrame(measured, schema={name: _TYPES.get(name, pl.Float64) for name in columns}, orient="row")
