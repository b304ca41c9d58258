"""How well the scores of `membership.py` tell members from rows the model never saw, and by how much rows are exposed.

Sources: K6 (AUROC, TPR at a low FPR), K5 (exposure), K9 (by how often a row was shown).
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.analyses.extraction.membership.row_scores import SCORES, Score
from mematlas.stats.classification.discrimination import roc_auc
from mematlas.stats.classification.membership import controls_needed, exposures, true_positive_rate
from mematlas.stats.estimates.averages import means

LEVELS: Final = {"tpr_at_1": 0.01, "tpr_at_01": 0.001}
FEW: Final = 10  # our choice: members or control rows below which a point is not drawn and no claim is made
_MODEL: Final = {
    "model": "label of the model",
    "parameters": "number of weights",
    "role": "train: models of the family; control model: one that never saw the corpus, for which no row is a member",
    "latest": "whether it is the last checkpoint of its size, or a control model",
}
_REPETITIONS: Final = {
    "repetitions": "fewest times that these rows were shown: buckets double from 1",
    "most": "most times that a row of the bucket is shown",
}
_TOLD: Final = {
    "score": "loss: mean log-probability; zlib ratio: that / compressed bytes; Min-K% and Min-K%++: of the k % least "
    "likely tokens; reference model: minus that of the smallest model; bag of words: no model, out of fold",
    "k": "percent of the tokens that count; null: all",
    "members": "training rows with the score",
    "controls": "rows of the control corpus with the score",
    "auroc": "chance that a training row has the higher score; 0.5 tells nothing apart",
    "auroc_lower": "lower end of its DeLong 95 % interval",
    "auroc_upper": "upper end of its DeLong 95 % interval",
    **{
        f"{name}{end}": meaning
        for name, level in LEVELS.items()
        for end, meaning in (
            ("", f"share of members above a threshold that at most {100 * level:g} % of control rows exceed"),
            ("_lower", "lower end of its Wilson 95 % interval, the threshold taken as given"),
            ("_upper", "upper end of it"),
        )
    },
    "reason": "why a share is null",
    "shown": f"whether both sides have {FEW} rows (our choice)",
}
AUROCS: Final = {**_MODEL, **_TOLD}
BY_REPETITIONS: Final = {**_MODEL, **_REPETITIONS, **_TOLD}
_EXPOSED: Final = {
    "rows": "training rows",
    "references": "rows of the control corpus among which each is ranked by mean log-probability",
    "exposure": "mean of log2(references + 1) - log2(rank), bits",
    "exposure_lower": "lower end of its Student 95 % interval over rows",
    "exposure_upper": "upper end of it",
    "chance": "mean of a row drawn as the references are, bits; 1.44 with many references",
    "most_bits": "upper limit that so many references allow: log2(references + 1)",
    "at_limit": "rows above all references: they could be exposed more",
    "tied": "rows with the very score of a reference, ranked in the middle of those",
    "shown": f"whether there are {FEW} rows and references (our choice)",
}
EXPOSURES: Final = {**_MODEL, **_EXPOSED}
EXPOSURES_BY_REPETITIONS: Final = {**_MODEL, **_REPETITIONS, **_EXPOSED}
_TYPES: Final = {
    **dict.fromkeys(("model", "role", "score", "reason"), pl.String),
    **dict.fromkeys(("latest", "shown"), pl.Boolean),
    **dict.fromkeys(("parameters", "k", "members", "controls", "repetitions", "most", "rows", "references"), pl.Int64),
    **dict.fromkeys(("at_limit", "tied"), pl.Int64),
}


def membership_aurocs(rows: pl.DataFrame) -> pl.DataFrame:
    """AUROC and TPR at low FPR of each score with K = 20 %, all members together; columns AUROCS.

    Args:
        rows: as `membership_rows` gives them, of one or several models.
    """
    return _told(rows, [score for score in SCORES if not score.swept], AUROCS)


def membership_sweep(rows: pl.DataFrame) -> pl.DataFrame:
    """As `membership_aurocs`, of Min-K% and Min-K%++ for every K."""
    return _told(rows, [score for score in SCORES if score.k], AUROCS)


def membership_by_repetitions(rows: pl.DataFrame) -> pl.DataFrame:
    """As `membership_aurocs`, the members of each bucket of repetitions against all control rows; columns
    BY_REPETITIONS."""
    spoken = [score for score in SCORES if not score.swept]
    lines = [
        _model(part) | bucket | _line(members, part.filter(~pl.col("member")), score)
        for part in _by_model(rows)
        for bucket, members in _buckets(part)
        for score in spoken
    ]
    return _frame(lines, BY_REPETITIONS)


def membership_exposures(rows: pl.DataFrame) -> pl.DataFrame:
    """Exposure of the training rows in bits; columns EXPOSURES.

    Args:
        rows: as `membership_rows` gives them.
    """
    lines = [_model(part) | _exposure(part.filter("member"), part) for part in _by_model(rows)]
    return _frame(lines, EXPOSURES)


def exposures_by_repetitions(rows: pl.DataFrame) -> pl.DataFrame:
    """As `membership_exposures`, for each bucket of repetitions; columns EXPOSURES_BY_REPETITIONS."""
    lines = [
        _model(part) | bucket | _exposure(members, part)
        for part in _by_model(rows)
        for bucket, members in _buckets(part)
    ]
    return _frame(lines, EXPOSURES_BY_REPETITIONS)


def _told(rows: pl.DataFrame, scores: Sequence[Score], columns: dict[str, str]) -> pl.DataFrame:
    lines = [
        _model(part) | _line(part.filter("member"), part.filter(~pl.col("member")), score)
        for part in _by_model(rows)
        for score in scores
    ]
    return _frame(lines, columns)


def _line(members: pl.DataFrame, controls: pl.DataFrame, score: Score) -> dict[str, Any]:
    """One score on some members and control rows; {} where either has none."""
    hits, misses = (frame[score.column].drop_nulls().to_numpy() for frame in (members, controls))
    if not len(hits) or not len(misses):
        return {}
    area = roc_auc(np.concatenate([hits, misses]), np.arange(len(hits) + len(misses)) < len(hits))
    line: dict[str, Any] = {"score": score.name, "k": score.k, "members": len(hits), "controls": len(misses)}
    line |= {"auroc": area.estimate, "auroc_lower": area.lower, "auroc_upper": area.upper}
    lacking = []
    for name, level in LEVELS.items():
        rate = true_positive_rate(hits, misses, level)
        if rate is None:
            lacking.append(f"{100 * level:g} % needs {controls_needed(level):,} control rows")
        else:
            line |= {name: rate.estimate, f"{name}_lower": rate.lower, f"{name}_upper": rate.upper}
    return line | {"reason": ", ".join(lacking) or None, "shown": min(len(hits), len(misses)) >= FEW}


def _exposure(members: pl.DataFrame, rows: pl.DataFrame) -> dict[str, Any]:
    """Exposure of some members among the control rows of `rows`; {} where either has none."""
    values, references = (part["loss"].drop_nulls().to_numpy() for part in (members, rows.filter(~pl.col("member"))))
    if not len(values) or not len(references):
        return {}
    found = exposures(values, references)
    center = means(found.bits[:, None])
    ends = [None if np.isnan(end[0]) else float(end[0]) for end in (center.lower, center.upper)]
    return {
        "rows": len(values),
        "references": len(references),
        "exposure": float(center.estimate[0]),
        "exposure_lower": ends[0],
        "exposure_upper": ends[1],
        "chance": found.chance,
        "most_bits": found.most,
        "at_limit": int((values > references.max()).sum()),
        "tied": int(found.tied.sum()),
        "shown": min(len(values), len(references)) >= FEW,
    }


def _by_model(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    return (part for _, part in rows.group_by("model", maintain_order=True))


def _model(rows: pl.DataFrame) -> dict[str, Any]:
    return rows.select(*_MODEL).row(0, named=True)


def _buckets(rows: pl.DataFrame) -> Iterator[tuple[dict[str, int | None], pl.DataFrame]]:
    """The members of each bucket of repetitions that has some, ascending."""
    known = rows.filter("member").drop_nulls("repetitions")
    digits = np.frexp(known["repetitions"].to_numpy().astype(float))[1].astype(np.int64)
    for power in np.unique(digits):
        yield {"repetitions": 1 << int(power - 1), "most": (1 << int(power)) - 1}, known.filter(digits == power)


def _frame(lines: list[dict[str, Any]], columns: dict[str, str]) -> pl.DataFrame:
    """Lines that hold a number, in their order."""
    kept = [line for line in lines if "auroc" in line or "exposure" in line]
    return pl.DataFrame(kept, schema={name: _TYPES.get(name, pl.Float64) for name in columns}, orient="row")
