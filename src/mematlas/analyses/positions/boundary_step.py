"""The boundary difference: how much the corpus counts change across the boundary of context and continuation.

Source: P1, table of sentence-level frequency. Its formula is not published; there are two forms here, both our choice:
one step, f[0] - f[-1], and window of w, the mean of f[0 .. w-1] minus that of f[-w .. -1] (f: count by offset from the
boundary). Each is computed within a row, so that every row is its own baseline, for count and log10(1 + count).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import polars as pl
from polars import selectors

from mematlas.analyses.positions.profiles import (
    BOUNDARY,
    CLUSTERS,
    DESIGN_EFFECT,
    GROUP_COLUMNS,
    PROFILE_KEY_COLUMNS,
    Group,
    Values,
    row_groups,
)
from mematlas.analyses.positions.profiles import PROFILE_COLUMNS as _PROFILE_COLUMNS
from mematlas.analyses.positions.shuffles import (
    SHUFFLED,
    Difference,
    Indices,
    ShuffledRows,
    ValuesAt,
    known_values,
    shuffled_difference,
    shuffled_rows,
)
from mematlas.analyses.positions.token_windows import CLASS_TYPE, MEMORIZED, OTHER, UNMEMORIZED, TokenWindows
from mematlas.stats.estimates.averages import FEWEST_COUNTS, ColumnEstimates, means
from mematlas.stats.estimates.contrasts import stratified_difference
from mematlas.stats.regression.curves import fit_log_linear

WINDOW_WIDTH: Final = 4  # our choice: tokens on each side of the boundary
SLOPES_CAVEAT: Final = (
    "The models of a size trend are measured on the same rows: its interval says how well they lie on a line."
)
ONE_STEP: Final = "one step"
_MEASURE_COLUMNS: Final = {
    "scale": "count: of the n-gram in the corpus; log10: of log10(1 + count)",
    "form": "one step: first token after the border minus the last before it; window of w: means of w tokens",
}
DIFFERENCE_COLUMNS: Final = {
    "parameters": "number of weights",
    **PROFILE_KEY_COLUMNS,
    **_MEASURE_COLUMNS,
    "rows": "rows with both sides known",
    "difference": "mean over rows of after - before the border",
    "difference_lower": "lower end of its 95 % interval (Student's t); null for one row or document, or rows that are "
    "all the same",
    "difference_upper": "upper end of it",
    "clusters": CLUSTERS,
    "design_effect": DESIGN_EFFECT.format("the difference"),
    "shown": _PROFILE_COLUMNS["shown"],
}
CONTRAST_COLUMNS: Final = {
    **{name: PROFILE_KEY_COLUMNS[name] for name in ("model", "role", "ngram")},
    **_MEASURE_COLUMNS,
    "memorized": "rows with M = 1",
    "unmemorized": "rows with M = 0",
    "difference": "boundary difference of memorized rows minus that of unmemorized ones",
    "difference_lower": "lower end of its 95 % interval (Welch); null where a class has one row or document, or "
    "nothing varies",
    "difference_upper": "upper end of it",
    "clusters": CLUSTERS,
}
_FEW_COUNTS: Final = f"; its interval is null below {FEWEST_COUNTS:,} clusters"
_PARTS: Final = {
    "context": f"mean over rows of the mean count in the context{_FEW_COUNTS}",
    "continuation": f"mean over rows of the mean count in the continuation{_FEW_COUNTS}",
    "difference": "mean over rows of continuation - context",
}
SENTENCE_COLUMNS: Final = {
    **{name: PROFILE_KEY_COLUMNS[name] for name in ("model", "role", "class", "ngram")},
    "rows": "rows",
    "clusters": CLUSTERS,
    "design_effect": DESIGN_EFFECT.format("the difference"),
    **{
        f"{part}{end}": f"{words}{meaning}"
        for part, meaning in _PARTS.items()
        for end, words in (("", ""), ("_lower", "lower 95 % end of the "), ("_upper", "upper 95 % end of the "))
    },
    **{f"{part}_per_million": f"{part} / million tokens of the corpus; null if unknown" for part in _PARTS},
}
SLOPE_COLUMNS: Final = {
    **{name: PROFILE_KEY_COLUMNS[name] for name in ("role", "class", "ngram")},
    **_MEASURE_COLUMNS,
    "models": "models of the family, one a size, that have such a difference",
    "slope": "change of the boundary difference per tenfold of parameters, models weighted by their rows",
    "slope_lower": "lower end of its 95 % interval (Student's t); null for two models",
    "slope_upper": "upper end of it",
}


# --------------------------------------------------------------------------------------------------------- the forms


def window_width(context: int, continuation: int) -> int:
    """Tokens on each side that the window form averages: WINDOW_WIDTH, or fewer where a side is shorter."""
    return min(WINDOW_WIDTH, context, continuation)


def boundary_deviation(context: int, continuation: int, of: str = "") -> str:
    """What findings say of the formula of the boundary difference; of: what it is taken of, after a comma."""
    width = window_width(context, continuation)
    note = f" (here {width}, as a side has no more)" if width < WINDOW_WIDTH else ""
    return (
        "P1 does not publish the formula of its boundary difference: one step and a window are ours, "
        f"with {WINDOW_WIDTH} tokens on each side{note}{of}."
    )


def form_names(context: int, continuation: int) -> tuple[str, str]:
    """Names of the two forms for a cell."""
    return ONE_STEP, f"window of {window_width(context, continuation)}"


def row_differences(values: Values, first_after: int, width: int) -> Values:
    """Both forms of the boundary difference of each row, NaN where a token's count is not known.

    Args:
        values: shape (rows, columns).
        first_after: the first column after the boundary.
        width: tokens on each side in the window form.

    Returns:
        shape (rows, 2): one step, and window of `width`.
    """
    step = values[:, first_after] - values[:, first_after - 1]
    window = values[:, first_after : first_after + width].mean(1) - values[:, first_after - width : first_after].mean(1)
    return np.stack([step, window], axis=1)


def _group_differences(
    rows: pl.DataFrame, counts: TokenWindows
) -> Iterator[tuple[Group, dict[str, Any], ShuffledRows, ValuesAt]]:
    """Each group with the differences of its rows on both scales: [n, 2], or [n, 1] (one step) at divergence points."""
    width, groups = window_width(counts.cell.context, counts.cell.continuation), row_groups(rows, counts.rows)
    shuffled = shuffled_rows(groups)
    for ngram, values in counts.counts.items():
        for scale, scaled in (("count", values), ("log10", np.log10(1 + values))):
            at_boundary = row_differences(scaled, counts.cell.context, width)
            for group in groups:
                differences = differences_at(at_boundary if group.at_boundary else None, scaled)
                yield group, {"ngram": ngram, "scale": scale}, shuffled, differences


def differences_at(at_boundary: Values | None, values: Values) -> ValuesAt:
    """Rows of `at_boundary`, or the steps of `values` at the origins of rows."""
    if at_boundary is not None:
        return lambda indices, origins: at_boundary[indices]
    return lambda indices, origins: steps_at(values, indices, origins)


def steps_at(values: Values, indices: Indices, origins: Indices) -> Values:
    """The values of rows at their origins minus those before, shape (rows, 1)."""
    return (values[indices, origins] - values[indices, origins - 1])[:, None]


# ------------------------------------------------------------------------------------------------------- the numbers


def boundary_differences(rows: pl.DataFrame, counts: TokenWindows, models: pl.DataFrame) -> pl.DataFrame:
    """The boundary difference of each group of rows; columns DIFFERENCE_COLUMNS.

    At divergence points there is only the one-step form, as a window may extend beyond the end of the row.

    Args:
        rows: from `boundary_rows`.
        models: one row per model, with its parameters.
    """
    forms, records = form_names(counts.cell.context, counts.cell.continuation), []
    for group, measure, shuffled, differences in _group_differences(rows, counts):
        mean = shuffled.means(group, differences)
        records += [
            {**group.key, **measure, "form": form, **numbers, "shown": group.shown}
            for form, numbers in zip(forms, mean_records(mean, "difference"), strict=False)
        ]
    frame = to_frame(records, [name for name in DIFFERENCE_COLUMNS if name != "parameters"])
    return frame.join(models.select("model", "parameters"), "model", "left", maintain_order="left").select(
        *DIFFERENCE_COLUMNS
    )


def boundary_contrasts(rows: pl.DataFrame, counts: TokenWindows) -> pl.DataFrame:
    """Memorized compared with unmemorized rows of each model and role, at the boundary; columns CONTRAST_COLUMNS."""
    classes_by_key: dict[tuple[Any, ...], dict[str, tuple[Group, Values]]] = {}
    compared = rows.filter(pl.col("class").is_in([MEMORIZED, UNMEMORIZED]), alignment=BOUNDARY)
    for group, measure, _, differences in _group_differences(compared, counts):
        key = (group.key["model"], group.key["role"], *measure.values())
        classes_by_key.setdefault(key, {})[group.key["class"]] = group, differences(group.indices, group.origins)
    forms, records = form_names(counts.cell.context, counts.cell.continuation), []
    for key, values_by_class in classes_by_key.items():
        if len(values_by_class) < 2:
            continue
        (memorized, values), (unmemorized, other_values) = (values_by_class[name] for name in (MEMORIZED, UNMEMORIZED))
        for form, column, other_column in zip(forms, values.T, other_values.T, strict=True):
            difference = shuffled_difference if key[1] == SHUFFLED else welch_difference
            contrast = difference(column, other_column, memorized.clusters, unmemorized.clusters)
            records += [dict(zip(CONTRAST_COLUMNS, (*key, form, *contrast), strict=True))] if contrast else []
    return to_frame(records, CONTRAST_COLUMNS)


def welch_difference(
    values: Values, other_values: Values, clusters: Indices | None = None, other_clusters: Indices | None = None
) -> Difference | None:
    """The difference of two means with its 95 % Welch interval, ignoring NaN.

    Args:
        values: shape (rows,). other_values: shape (other rows,). clusters, other_clusters: those of these rows; None
        where all are independent.

    Returns:
        known values of the first, known values of the second, difference, lower and upper end, and their clusters; None
        where either side has no known value.
    """
    all_values, is_first, labels = known_values(values, other_values, clusters, other_clusters)
    contrast = stratified_difference(all_values[:, None], is_first, clusters=labels)
    interval = contrast.estimate[0], contrast.lower[0], contrast.upper[0]
    return (contrast.members, contrast.others, *interval, contrast.clusters) if contrast.strata else None


def sentence_frequencies(rows: pl.DataFrame, counts: TokenWindows, tokens: int | None) -> pl.DataFrame:
    """P1's sentence-level frequency of each group except the shuffled ones; columns SENTENCE_COLUMNS.

    Args:
        tokens: number of tokens in the corpus, None if unknown.
    """
    context, records = counts.cell.context, []
    groups = row_groups(rows.filter(pl.col("role") != SHUFFLED, alignment=BOUNDARY), counts.rows)
    for ngram, values in counts.counts.items():
        parts = np.stack([row_means(values[:, :context]), row_means(values[:, context:])], axis=1)
        row_values = np.column_stack([parts, parts[:, 1] - parts[:, 0]])
        for group in groups:
            fewest = (FEWEST_COUNTS, FEWEST_COUNTS, 2)
            mean = means(row_values[group.indices], fewest=fewest, clusters=group.clusters)
            sizes = {"rows": mean.count[2], "clusters": mean.clusters[2], "design_effect": mean.design_effect[2]}
            record = {**group.key, "ngram": ngram, **sizes}
            for part, *numbers in zip(_PARTS, mean.estimate, mean.lower, mean.upper, strict=True):
                record |= dict(zip((part, f"{part}_lower", f"{part}_upper"), numbers, strict=True))
                record[f"{part}_per_million"] = numbers[0] / tokens * 1e6 if tokens else None
            records.append(record)
    return to_frame(records, SENTENCE_COLUMNS)


def boundary_slopes(differences: pl.DataFrame, latest: pl.DataFrame) -> pl.DataFrame:
    """How the `boundary_differences` change with model size; columns SLOPE_COLUMNS.

    Args:
        latest: column model: one model per size. Models of unknown size are left out.
    """
    records = size_slopes(differences, latest, "difference", list(SLOPE_COLUMNS)[:5])
    return to_frame(records, SLOPE_COLUMNS)


def size_slopes(statistics: pl.DataFrame, latest: pl.DataFrame, value: str, keys: list[str]) -> list[dict[str, Any]]:
    """Slope of the column `value` at the boundary per tenfold of parameters: keys, models, slope and its interval."""
    records = []
    drawn_records = statistics.join(latest, on="model", how="semi").filter(
        pl.col("role").is_in(["train", SHUFFLED]), pl.col("class") != OTHER, alignment=BOUNDARY
    )
    for key, points in drawn_records.drop_nulls(["parameters", value]).group_by(keys, maintain_order=True):
        fit = fit_log_linear(points["parameters"], points[value], points["rows"])
        if fit.slope is not None:
            numbers = {"models": fit.count, "slope": fit.slope, "slope_lower": fit.lower, "slope_upper": fit.upper}
            records.append({**dict(zip(keys, key, strict=True)), **numbers})
    return records


def mean_records(centers: ColumnEstimates, name: str) -> list[dict[str, Any]]:
    """For each column rows, `name` with both ends of its interval, clusters and design_effect."""
    keys = ("rows", name, f"{name}_lower", f"{name}_upper", "clusters", "design_effect")
    numbers = (centers.count, centers.estimate, centers.lower, centers.upper, centers.clusters, centers.design_effect)
    return [dict(zip(keys, column, strict=True)) for column in zip(*numbers, strict=True)]


def row_means(values: Values) -> Values:
    """Mean of each row over its known positions; NaN where there are none."""
    counts = (~np.isnan(values)).sum(1)
    return np.where(counts > 0, np.nansum(values, axis=1) / np.maximum(counts, 1), np.nan)


def to_frame(
    records: list[dict[str, Any]], columns: Mapping[str, str] | list[str], extra_texts: tuple[str, ...] = ()
) -> pl.DataFrame:
    """A data frame with `columns`, null where a value was not measured.

    Args:
        extra_texts: text columns besides GROUP_COLUMNS, scale and form.
    """
    texts = dict.fromkeys((*GROUP_COLUMNS, *_MEASURE_COLUMNS, *extra_texts), pl.String)
    integers = dict.fromkeys(("ngram", "rows", "clusters", "memorized", "unmemorized", "models"), pl.Int64)
    types: dict[str, Any] = {**texts, **integers, "class": CLASS_TYPE, "shown": pl.Boolean}
    schema = {name: types.get(name, pl.Float64) for name in columns}
    ordered = [{name: record[name] for name in columns} for record in records]
    return pl.DataFrame(ordered, schema=schema, strict=False, orient="row").with_columns(
        selectors.float().fill_nan(None)
    )
