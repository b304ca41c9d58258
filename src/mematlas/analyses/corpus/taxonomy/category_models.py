"""Logistic models of whether a row is recited: one for all rows, and one for each of K2's categories.

Source: K2. There are two forms. faithful: as the authors; features untransformed, standardized, L2 with C = 1, balanced
class weights, tested on a random fifth of the rows of each class. corrected: counts as log10(1 + count), three
statistics of token frequency instead of six nearly collinear ones, no weights and no penalty (so that probabilities,
Wald intervals and likelihood ratios are valid), the template feature only if 20 rows are a template and 20 are not, and
no document (or copies of one text) on both sides of the split. Intervals and tests take clusters as their unit.
The scaling is estimated on the training rows. The rule that assigns categories does not use scores, so a category's
model is fitted to all rows of the category, recited or not.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mematlas.analyses.frames.copies import CATEGORIES
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS
from mematlas.stats.classification.discrimination import MetricEstimate, calibration_error, pr_auc, roc_auc
from mematlas.stats.estimates.clustered import dense_labels
from mematlas.stats.regression.logistic import (
    LogisticModel,
    fit_logistic,
    held_out_rows,
    likelihood_ratio_test,
    log_likelihood,
    standardize,
    wald_test,
)

MIN_CLASS_ROWS: Final = 20  # our choice: rows needed of each class (recited or not; template or not)
ALL_ROWS: Final = "all rows"
TAXONOMY: Final = "taxonomy"
NO_RATIO_OF_CLUSTERS: Final = "rows come in clusters: no likelihood ratio"
#: Our choice: of 48 rows it rejects 7 % of true hypotheses at 5 % (docs/certainty.md).
FEWEST_FOR_RATIO: Final = 100
NO_RATIO_OF_FEW: Final = f"fewer than {FEWEST_FOR_RATIO} rows: no likelihood ratio"
_FREQUENCY_STATISTICS: Final = ("mean", "max", "min", "median", "p25", "p75")
_FAITHFUL_FEATURES: Final = (
    "copies",
    *(f"frequency_{name}" for name in _FREQUENCY_STATISTICS),
    "compressed_bytes",
    "template",
)
_LOG_FEATURES: Final = ("copies", "frequency_max", "frequency_min", "frequency_median")
_CORRECTED_FEATURES: Final = (*_LOG_FEATURES, "distinct_2", "compression_ratio", "template")
FORMS: Final = ("faithful", "corrected")
_BOOTSTRAP_DRAWS: Final = 200
_FORM_DESCRIPTION: Final = (
    "faithful: as K2's authors; corrected: log counts, no weights or penalty, split by document (cluster) where known"
)
_METRICS: Final = {
    "roc_auc": "chance that a recited row gets a higher probability than another; 0.5 tells nothing apart",
    "pr_auc": "average precision; test_recited / test_rows tells nothing apart",
}
_CALIBRATION: Final = {
    "ece": "expected calibration error in 5 bins, as a probability; above 0 by chance even for true probabilities",
    "ece_by_chance": "mean of it if the probabilities were true",
    "ece_by_chance_upper": "95 % of such errors are at most this; a larger one shows that they are not",
}
MODEL_COLUMNS: Final = {
    "form": _FORM_DESCRIPTION,
    "fitted_to": f"{ALL_ROWS}; a category: rows of that kind; "
    f"{TAXONOMY}: each row by its category's model, if it has one",
    "rows": "rows fitted to",
    "recited": "of these, rows with M = 1",
    "clusters": SAMPLE_COLUMNS["clusters"],
    "test_rows": "rows held out, on which the next numbers stand",
    "test_recited": "of these, rows with M = 1",
    "test_clusters": "clusters that the rows held out come from: intervals and ece_by_chance are over these",
    **{
        f"{name}{end}": meaning if not end else f"{which} end of its 95 % interval"
        for name, meaning in _METRICS.items()
        for end, which in (("", ""), ("_lower", "lower"), ("_upper", "upper"))
    },
    **_CALIBRATION,
    "ratio": f"likelihood ratio (corrected form) against the intercept alone; of {TAXONOMY}, against {ALL_ROWS}; null "
    "where rows come in clusters, whose likelihoods do not multiply",
    "freedom": "its degrees of freedom",
    "p": "its p by chi-square",
    "reason": "why numbers are null",
}
COEFFICIENT_COLUMNS: Final = {
    "form": _FORM_DESCRIPTION,
    "fitted_to": f"{ALL_ROWS}, or a category: rows of that kind",
    "feature": "intercept, or a trait (table traits); log10: of 1 + the trait",
    "rows": "rows fitted to",
    "clusters": SAMPLE_COLUMNS["clusters"],
    "coefficient": "change of the log odds of being recited per standard deviation of the feature",
    "coefficient_lower": "lower end of its 95 % Wald interval (over clusters: Liang and Zeger 1986, Student's t); null "
    "in the faithful form (penalty, weights), and where there are no more clusters than coefficients",
    "coefficient_upper": "upper end of it",
    "p": "p of Wald's test that it is 0",
}


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    """The rows with known features, in one form.

    values: shape (rows, features), transformed, not yet scaled; clusters: a number per row, None where each row is one
    of its own; recited, is_test (held out), shape (rows,).
    """

    form: str
    features: tuple[str, ...]
    values: NDArray[np.float64]
    recited: NDArray[np.bool_]
    is_test: NDArray[np.bool_]
    clusters: NDArray[np.int64] | None

    def clusters_of(self, mask: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        return None if self.clusters is None else self.clusters[mask]


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """One logistic model of the rows in `mask`; `fit` is None, with a `reason`, if it could not be fitted.

    null_log_likelihood: that of the intercept alone, on the rows fitted to.
    """

    name: str
    mask: NDArray[np.bool_]
    fit: LogisticModel | None
    features: tuple[str, ...]
    probabilities: NDArray[np.float64]
    null_log_likelihood: float
    reason: str | None


def category_models(rows: pl.DataFrame) -> pl.DataFrame:
    """How well the models of both forms discriminate recited rows from others; columns MODEL_COLUMNS.

    Args:
        rows: from `recount.row_traits`.
    """
    records: list[dict[str, Any]] = []
    for form in FORMS:
        data, models = _fit_models(rows, form)
        records += [_record(data, model, _against_intercept(model, form)) for model in models]
        records.append(_record(data, _taxonomy_model(models), _against_single_model(models, form)))
    counts = ("rows", "recited", "clusters", "test_rows", "test_recited", "test_clusters", "freedom")
    types = {**dict.fromkeys(("form", "fitted_to", "reason"), pl.String), **dict.fromkeys(counts, pl.Int64)}
    return pl.DataFrame(records, schema={name: types.get(name, pl.Float64) for name in MODEL_COLUMNS}, orient="row")


def category_coefficients(rows: pl.DataFrame) -> pl.DataFrame:
    """The coefficients of the models of `category_models`; columns COEFFICIENT_COLUMNS."""
    records = []
    for form in FORMS:
        data, models = _fit_models(rows, form)
        for model in models:
            if model.fit is None:
                continue
            wald, clusters = wald_test(model.fit), _count_clusters(data, model.mask & ~data.is_test)
            for index, feature in enumerate(("intercept", *model.features)):
                numbers = (
                    (None,) * 3
                    if wald is None
                    else tuple(float(end[index]) for end in (wald.lower, wald.upper, wald.p))
                )
                coefficient = float(model.fit.coefficients[index])
                records.append((form, model.name, feature, model.fit.count, clusters, coefficient, *numbers))
    types: dict[str, Any] = dict.fromkeys(("form", "fitted_to", "feature"), pl.String)
    types |= dict.fromkeys(("rows", "clusters"), pl.Int64)
    return pl.DataFrame(
        records, schema={name: types.get(name, pl.Float64) for name in COEFFICIENT_COLUMNS}, orient="row"
    )


# ----------------------------------------------------------------------------------------------------------- the fits


def _fit_models(rows: pl.DataFrame, form: str) -> tuple[_Data, list[_Model]]:
    """The rows with known features; the model of all rows and that of each category."""
    data, categories = _known_data(rows, form)
    models = [_fit_model(ALL_ROWS, np.ones(len(data.recited), dtype=bool), data)]
    return data, models + [_fit_model(name, (categories == name).to_numpy(), data) for name in CATEGORIES]


def _known_data(rows: pl.DataFrame, form: str) -> tuple[_Data, pl.Series]:
    """The rows with known features, split into rows fitted to and rows held out, and their categories."""
    form_features = _FAITHFUL_FEATURES if form == "faithful" else _CORRECTED_FEATURES
    names = [name for name in form_features if rows[name].is_not_null().any()]
    known_rows = rows.drop_nulls(names)
    recited = known_rows["recited"].to_numpy()
    clusters = dense_labels(known_rows["cluster"], len(recited))
    by_cluster = form == "corrected" and (clusters is not None or known_rows["document"].is_not_null().any())
    is_test = held_out_rows(recited, known_rows["cluster"] if by_cluster else None)
    log_names = [name for name in names if form == "corrected" and name in _LOG_FEATURES]
    values = known_rows.select(pl.col(name).add(1).log(10) if name in log_names else name for name in names).to_numpy()
    features = tuple(f"log10 {name}" if name in log_names else name for name in names)
    return _Data(form, features, values, recited, is_test, clusters), known_rows["category"]


def _fit_model(name: str, mask: NDArray[np.bool_], data: _Data) -> _Model:
    recited, values, features = data.recited, data.values, data.features
    is_train, no_probabilities = mask & ~data.is_test, np.full(len(recited), np.nan)
    reason = _no_model_reason(mask, data)
    if reason:
        return _Model(name, mask, None, (), no_probabilities, 0.0, reason)
    faithful = data.form == "faithful"
    if not faithful:
        usable = [
            feature != "template" or _varies_enough(values[is_train, index]) for index, feature in enumerate(features)
        ]
        values = values[:, usable]
        features = tuple(feature for feature, is_usable in zip(features, usable, strict=True) if is_usable)
    x, is_varying = standardize(values, is_train)
    varying_features = tuple(feature for feature, varies in zip(features, is_varying, strict=True) if varies)
    clusters = data.clusters_of(is_train)
    fit = fit_logistic(x[is_train], recited[is_train], penalty=float(faithful), balanced=faithful, clusters=clusters)
    if not fit.converged:
        return _Model(name, mask, None, (), no_probabilities, 0.0, fit.reason)
    base_rate = np.full(int(is_train.sum()), recited[is_train].mean())
    return _Model(
        name, mask, fit, varying_features, fit.probabilities(x), log_likelihood(base_rate, recited[is_train]), None
    )


def _no_model_reason(mask: NDArray[np.bool_], data: _Data) -> str | None:
    """Why no model is fitted to the rows of `mask`: too few of a class; None if one is."""
    recited = data.recited
    smaller_class = min(int(recited[mask].sum()), int((~recited[mask]).sum()))
    if smaller_class < MIN_CLASS_ROWS:
        smaller_name = "recited" if int(recited[mask].sum()) == smaller_class else "other"
        return f"{smaller_class} {smaller_name} rows of {MIN_CLASS_ROWS} that a model takes"
    sides = (mask & ~data.is_test, mask & data.is_test)
    if not all(side[recited].any() and side[~recited].any() for side in sides):
        return "the split leaves one side without recited or without other rows"
    return None


def _varies_enough(indicator: NDArray[np.float64]) -> bool:
    """Whether enough rows have 1 and enough have 0, as otherwise the maximum likelihood may not exist."""
    return min(int(indicator.sum()), len(indicator) - int(indicator.sum())) >= MIN_CLASS_ROWS


def _taxonomy_model(models: list[_Model]) -> _Model:
    """Predicts each row with the model of its category, or with that for all rows if its category has none."""
    single_model, category_models = models[0], [model for model in models[1:] if model.fit is not None]
    probabilities = single_model.probabilities.copy()
    for model in category_models:
        probabilities[model.mask] = model.probabilities[model.mask]
    reason = (
        single_model.reason
        if single_model.fit is None
        else None
        if category_models
        else "no category has a model of its own"
    )
    without_model = [model.name for model in models[1:] if model.fit is None and model.mask.any()]
    if reason is None and without_model:
        reason = f"rows of {' and '.join(without_model)} go by the model for all rows: no ratio"
    fit = single_model.fit if category_models else None
    return _Model(TAXONOMY, single_model.mask, fit, (), probabilities, 0.0, reason)


# -------------------------------------------------------------------------------------------------------- the numbers


def _against_intercept(model: _Model, form: str) -> tuple[float | None, int | None, float | None]:
    if model.fit is None or form == "faithful" or not model.features or _no_ratio(model.fit):
        return None, None, None
    test = likelihood_ratio_test(model.null_log_likelihood, model.fit.log_likelihood, len(model.features))
    return test.statistic, test.freedom, test.p


def _no_ratio(fit: LogisticModel) -> str | None:
    """Why a likelihood ratio cannot be tested with the rows of a model; None if it can."""
    if fit.clusters is not None:
        return NO_RATIO_OF_CLUSTERS
    return NO_RATIO_OF_FEW if fit.count < FEWEST_FOR_RATIO else None


def _against_single_model(models: list[_Model], form: str) -> tuple[float | None, int | None, float | None]:
    """Likelihood ratio of the category models against the nested one for all rows, if every category has a model."""
    single_fit, category_models = models[0].fit, [model for model in models[1:] if model.mask.any()]
    fits = [model.fit for model in category_models if model.fit is not None]
    if single_fit is None or form == "faithful" or len(fits) < max(2, len(category_models)):
        return None, None, None
    if _no_ratio(single_fit):
        return None, None, None
    freedom = sum(len(fit.coefficients) for fit in fits) - len(single_fit.coefficients)
    if freedom < 1:
        return None, None, None
    test = likelihood_ratio_test(single_fit.log_likelihood, sum(fit.log_likelihood for fit in fits), freedom)
    return test.statistic, test.freedom, test.p


def _record(data: _Data, model: _Model, ratio: tuple[float | None, int | None, float | None]) -> dict[str, Any]:
    is_train, in_test, recited = model.mask & ~data.is_test, model.mask & data.is_test, data.recited
    counts = {"rows": is_train, "recited": is_train & recited, "test_rows": in_test, "test_recited": in_test & recited}
    record: dict[str, Any] = {"form": data.form, "fitted_to": model.name}
    record |= {name: int(mask.sum()) for name, mask in counts.items()}
    record |= {"clusters": _count_clusters(data, is_train), "test_clusters": _count_clusters(data, in_test)}
    reason = model.reason
    if model.fit is not None:
        if reason is None and data.form == "corrected":
            reason = _no_ratio(model.fit)
        test_arguments = model.probabilities[in_test], recited[in_test], data.clusters_of(in_test)
        record |= _interval_columns("roc_auc", roc_auc(*test_arguments))
        record |= _interval_columns("pr_auc", pr_auc(*test_arguments, draws=_BOOTSTRAP_DRAWS))
        calibration = calibration_error(*test_arguments, draws=_BOOTSTRAP_DRAWS)
        numbers = calibration.estimate, calibration.by_chance, calibration.by_chance_upper
        record |= dict(zip(_CALIBRATION, numbers, strict=True))
    return record | dict(zip(("ratio", "freedom", "p"), ratio, strict=True)) | {"reason": reason}


def _count_clusters(data: _Data, mask: NDArray[np.bool_]) -> int:
    clusters = data.clusters_of(mask)
    return int(mask.sum()) if clusters is None else len(np.unique(clusters))


def _interval_columns(name: str, measure: MetricEstimate) -> dict[str, float | None]:
    return {name: measure.estimate, f"{name}_lower": measure.lower, f"{name}_upper": measure.upper}
