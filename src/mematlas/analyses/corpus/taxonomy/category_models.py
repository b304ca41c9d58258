"""Logistic models of whether a row is recited: one for all rows, beside one for each of K2's categories.

Source: K2. Two forms. faithful: as the authors, features as they are, standardised, L2 with C = 1, both classes made to
weigh the same, tested on a random fifth of the rows of each class. corrected: counts as log10(1 + count), three
statistics of token frequency in place of six that say nearly the same, no weights and no penalty (so that
probabilities, Wald intervals and likelihood ratios mean what they say), templates only where 20 rows are one and 20
are not, and no document on both sides of the split.
Standardising learns from the training rows. The rule that sorts rows into categories needs no score, so that a
category's model is fitted to all rows of that kind, recited or not.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.corpus.taxonomy.traits import groups
from mematlas.analyses.frames.copies import CATEGORIES
from mematlas.stats.classification.discrimination import Measure, calibration_error, pr_auc, roc_auc
from mematlas.stats.regression.logistic import (
    Logistic,
    fit_logistic,
    held_out,
    likelihood_ratio,
    log_likelihood,
    standardised,
    wald,
)

FEWEST: Final = 20  # our choice: rows of each class (recited or not, template or none) below which it is left out
ALL: Final = "all rows"
TAXONOMY: Final = "taxonomy"
_FREQUENCIES: Final = ("mean", "max", "min", "median", "p25", "p75")
_FAITHFUL: Final = ("copies", *(f"frequency_{name}" for name in _FREQUENCIES), "compressed_bytes", "template")
_LOGARITHMS: Final = ("copies", "frequency_max", "frequency_min", "frequency_median")
_CORRECTED: Final = (*_LOGARITHMS, "distinct_2", "compression_ratio", "template")
FORMS: Final = ("faithful", "corrected")
_DRAWS: Final = 200
_FORM: Final = "faithful: as K2's authors; corrected: log counts, no weights or penalty, split by document where known"
_MEASURES: Final = {
    "roc_auc": "chance that a recited row gets a higher probability than another; 0.5 tells nothing apart",
    "pr_auc": "average precision; test_recited / test_rows tells nothing apart",
    "ece": "expected calibration error in 5 bins, as a probability",
}
MODELS: Final = {
    "form": _FORM,
    "fitted_to": f"{ALL}; a category: rows of that kind; {TAXONOMY}: each row by its category's model, if it has one",
    "rows": "rows fitted to",
    "recited": "of these, rows with M = 1",
    "test_rows": "rows held out, on which the next numbers stand",
    "test_recited": "of these, rows with M = 1",
    **{
        f"{name}{end}": meaning if not end else f"{which} end of its 95 % interval"
        for name, meaning in _MEASURES.items()
        for end, which in (("", ""), ("_lower", "lower"), ("_upper", "upper"))
    },
    "ratio": f"likelihood ratio (corrected form) against the intercept alone; of {TAXONOMY}, against {ALL}",
    "freedom": "its degrees of freedom",
    "p": "its p by chi-square",
    "reason": "why numbers are null",
}
COEFFICIENTS: Final = {
    "form": _FORM,
    "fitted_to": f"{ALL}, or a category: rows of that kind",
    "feature": "intercept, or a trait (table traits); log10: of 1 + the trait",
    "rows": "rows fitted to",
    "coefficient": "change of the log odds of being recited per standard deviation of the feature",
    "coefficient_lower": "lower end of its 95 % Wald interval; null in the faithful form (penalty, weights)",
    "coefficient_upper": "upper end of it",
    "p": "p of Wald's test that it is 0",
}


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """One model: of the rows `here` (a mask), fitted to `train`, with its features; None and a reason where there is
    none. null: log-likelihood of the intercept alone on the same rows."""

    name: str
    here: NDArray[np.bool_]
    model: Logistic | None
    features: tuple[str, ...]
    probabilities: NDArray[np.float64]
    null: float
    reason: str | None


def category_models(rows: pl.DataFrame) -> pl.DataFrame:
    """How well the models of both forms tell recited rows from others; columns MODELS.

    Args:
        rows: as `recount.row_traits` gives them.
    """
    lines: list[dict[str, Any]] = []
    for form in FORMS:
        known, parts, test = _fitted(rows, form)
        hits = known["recited"].to_numpy()
        lines += [_line(form, part, part.here, hits, test, _against_nothing(part, form)) for part in parts]
        whole = _taxonomy(parts)
        lines.append(_line(form, whole, whole.here, hits, test, _against_one(parts, form)))
    counts = ("rows", "recited", "test_rows", "test_recited", "freedom")
    kinds = {**dict.fromkeys(("form", "fitted_to", "reason"), pl.String), **dict.fromkeys(counts, pl.Int64)}
    return pl.DataFrame(lines, schema={name: kinds.get(name, pl.Float64) for name in MODELS}, orient="row")


def category_coefficients(rows: pl.DataFrame) -> pl.DataFrame:
    """The coefficients of the models of `category_models`; columns COEFFICIENTS."""
    lines = []
    for form in FORMS:
        for part in _fitted(rows, form)[1]:
            if part.model is None:
                continue
            ends = wald(part.model)
            for at, feature in enumerate(("intercept", *part.features)):
                numbers = (
                    (None,) * 3 if ends is None else tuple(float(end[at]) for end in (ends.lower, ends.upper, ends.p))
                )
                lines.append((form, part.name, feature, part.model.count, float(part.model.coefficients[at]), *numbers))
    kinds = {**dict.fromkeys(("form", "fitted_to", "feature"), pl.String), "rows": pl.Int64}
    return pl.DataFrame(lines, schema={name: kinds.get(name, pl.Float64) for name in COEFFICIENTS}, orient="row")


# ----------------------------------------------------------------------------------------------------------- the fits


def _fitted(rows: pl.DataFrame, form: str) -> tuple[pl.DataFrame, list[_Part], NDArray[np.bool_]]:
    """The rows whose features are known, a part for all of them and for each category, and which rows are held out."""
    wanted = _FAITHFUL if form == "faithful" else _CORRECTED
    names = [name for name in wanted if rows[name].is_not_null().any()]
    known = rows.drop_nulls(names)
    hits = known["recited"].to_numpy()
    by_document = form == "corrected" and known["document"].is_not_null().any()
    test = held_out(hits, groups(known) if by_document else None)
    logs = [name for name in names if form == "corrected" and name in _LOGARITHMS]
    values = known.select(pl.col(name).add(1).log(10) if name in logs else name for name in names).to_numpy()
    titles = tuple(f"log10 {name}" if name in logs else name for name in names)
    parts = [_part(ALL, np.ones(len(hits), dtype=bool), values, titles, hits, test, form)]
    for name in CATEGORIES:
        here = (known["category"] == name).to_numpy()
        parts.append(_part(name, here, values, titles, hits, test, form))
    return known, parts, test


def _part(
    name: str,
    here: NDArray[np.bool_],
    values: NDArray[np.float64],
    titles: tuple[str, ...],
    hits: NDArray[np.bool_],
    test: NDArray[np.bool_],
    form: str,
) -> _Part:
    train, empty = here & ~test, np.full(len(hits), np.nan)
    few = min(int(hits[here].sum()), int((~hits[here]).sum()))
    if few < FEWEST:
        which = "recited" if int(hits[here].sum()) == few else "other"
        return _Part(name, here, None, (), empty, 0.0, f"{few} {which} rows of {FEWEST} that a model takes")
    if not all(mask[hits].any() and mask[~hits].any() for mask in (train, here & test)):
        return _Part(
            name, here, None, (), empty, 0.0, "the split leaves one side without recited or without other rows"
        )
    faithful = form == "faithful"
    if not faithful:
        common = [title != "template" or _both(values[train, at]) for at, title in enumerate(titles)]
        values, titles = values[:, common], tuple(title for title, kept in zip(titles, common, strict=True) if kept)
    x, varies = standardised(values, train)
    kept = tuple(title for title, varying in zip(titles, varies, strict=True) if varying)
    model = fit_logistic(x[train], hits[train], penalty=float(faithful), balanced=faithful)
    if not model.converged:
        return _Part(name, here, None, (), empty, 0.0, model.reason)
    share = np.full(int(train.sum()), hits[train].mean())
    return _Part(name, here, model, kept, model.probabilities(x), log_likelihood(share, hits[train]), None)


def _both(values: NDArray[np.float64]) -> bool:
    """Whether enough rows have 1 and enough 0: a feature of few rows alone has no maximum likelihood."""
    return min(int(values.sum()), len(values) - int(values.sum())) >= FEWEST


def _taxonomy(parts: list[_Part]) -> _Part:
    """Each row by the model of its category, or by the one for all rows where its category has none."""
    one, own = parts[0], [part for part in parts[1:] if part.model is not None]
    probabilities = one.probabilities.copy()
    for part in own:
        probabilities[part.here] = part.probabilities[part.here]
    reason = one.reason if one.model is None else None if own else "no category has a model of its own"
    lent = [part.name for part in parts[1:] if part.model is None and part.here.any()]
    if reason is None and lent:
        reason = f"rows of {' and '.join(lent)} go by the model for all rows: no ratio"
    model = one.model if own else None
    return _Part(TAXONOMY, one.here, model, (), probabilities, 0.0, reason)


# -------------------------------------------------------------------------------------------------------- the numbers


def _against_nothing(part: _Part, form: str) -> tuple[float | None, int | None, float | None]:
    if part.model is None or form == "faithful" or not part.features:
        return None, None, None
    test = likelihood_ratio(part.null, part.model.log_likelihood, len(part.features))
    return test.statistic, test.freedom, test.p


def _against_one(parts: list[_Part], form: str) -> tuple[float | None, int | None, float | None]:
    """The models of the categories against the one for all rows, which they nest; only where each has its own."""
    one, own = parts[0].model, [part for part in parts[1:] if part.here.any()]
    models = [part.model for part in own if part.model is not None]
    if one is None or form == "faithful" or len(models) < max(2, len(own)):
        return None, None, None
    freedom = sum(len(model.coefficients) for model in models) - len(one.coefficients)
    if freedom < 1:
        return None, None, None
    test = likelihood_ratio(one.log_likelihood, sum(model.log_likelihood for model in models), freedom)
    return test.statistic, test.freedom, test.p


def _line(
    form: str,
    part: _Part,
    here: NDArray[np.bool_],
    hits: NDArray[np.bool_],
    test: NDArray[np.bool_],
    ratio: tuple[float | None, int | None, float | None],
) -> dict[str, Any]:
    train, tested = here & ~test, here & test
    counts = {"rows": train, "recited": train & hits, "test_rows": tested, "test_recited": tested & hits}
    line: dict[str, Any] = {"form": form, "fitted_to": part.name}
    line |= {name: int(mask.sum()) for name, mask in counts.items()}
    if part.model is not None:
        of_test = part.probabilities[tested], hits[tested]
        line |= _ends("roc_auc", roc_auc(*of_test))
        line |= _ends("pr_auc", pr_auc(*of_test, draws=_DRAWS))
        line |= _ends("ece", calibration_error(*of_test, draws=_DRAWS))
    return line | dict(zip(("ratio", "freedom", "p"), ratio, strict=True)) | {"reason": part.reason}


def _ends(name: str, measure: Measure) -> dict[str, float | None]:
    return {name: measure.estimate, f"{name}_lower": measure.lower, f"{name}_upper": measure.upper}
