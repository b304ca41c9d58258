"""The boundary difference in numbers: how far the counts after a border are from those before it, row by row.

Source: P1, table of sentence-level frequency. Its formula is not published; two forms stand here, both our choice: one
step, f[0] - f[-1], and window of w, the mean of f[0 .. w-1] minus that of f[-w .. -1] (f: count by offset to the
border). Each is taken row by row, so that rows are paired with themselves, of the count and of log10(1 + count).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import polars as pl
from polars import selectors

from mematlas.analyses.positions.profiles import BORDER, GROUP, PLACE, Group, Values, groups
from mematlas.analyses.positions.profiles import CURVES as _CURVES
from mematlas.analyses.positions.token_windows import CLASS, MEMORIZED, OTHER, UNMEMORIZED, Windows
from mematlas.stats.estimates.averages import means
from mematlas.stats.estimates.contrasts import stratified_difference
from mematlas.stats.regression.curves import fit_line

WIDTH: Final = 4  # our choice: tokens on each side of the border
STEP: Final = "one step"
_MEASURE: Final = {
    "scale": "count: of the n-gram in the corpus; log10: of log10(1 + count)",
    "form": "one step: first token after the border minus the last before it; window of w: means of w tokens",
}
DIFFERENCES: Final = {
    "parameters": "number of weights",
    **PLACE,
    **_MEASURE,
    "rows": "rows with both sides known",
    "difference": "mean over rows of after - before the border",
    "difference_lower": "lower end of its 95 % interval (Student's t); null for one row, or rows that are all the same",
    "difference_upper": "upper end of it",
    "shown": _CURVES["shown"],
}
CONTRASTS: Final = {
    **{name: PLACE[name] for name in ("model", "role", "ngram")},
    **_MEASURE,
    "memorized": "rows with M = 1",
    "unmemorized": "rows with M = 0",
    "difference": "boundary difference of memorized rows minus that of unmemorized ones",
    "difference_lower": "lower end of its 95 % interval (Welch); null where a class has one row or nothing varies",
    "difference_upper": "upper end of it",
}
_PARTS: Final = {
    "context": "mean over rows of the mean count in the context",
    "continuation": "mean over rows of the mean count in the continuation",
    "difference": "mean over rows of continuation - context",
}
SENTENCES: Final = {
    **{name: PLACE[name] for name in ("model", "role", "class", "ngram")},
    "rows": "rows",
    **{
        f"{part}{end}": f"{words}{meaning}"
        for part, meaning in _PARTS.items()
        for end, words in (("", ""), ("_lower", "lower 95 % end of the "), ("_upper", "upper 95 % end of the "))
    },
    **{f"{part}_per_million": f"{part} / million tokens of the corpus; null if unknown" for part in _PARTS},
}
SLOPES: Final = {
    **{name: PLACE[name] for name in ("role", "class", "ngram")},
    **_MEASURE,
    "models": "models of the family, one a size, that have such a difference",
    "slope": "change of the boundary difference per tenfold of parameters, models weighted by their rows",
    "slope_lower": "lower end of its 95 % interval (Student's t); null for two models",
    "slope_upper": "upper end of it",
}


# --------------------------------------------------------------------------------------------------------- the forms


def width(context: int, continuation: int) -> int:
    """Tokens on each side that the window form takes: WIDTH, or fewer where a side has fewer."""
    return min(WIDTH, context, continuation)


def forms(context: int, continuation: int) -> tuple[str, str]:
    """Names of the two forms at a cell."""
    return STEP, f"window of {width(context, continuation)}"


def row_differences(values: Values, zero: int, wide: int) -> Values:
    """Both forms of each row, NaN where a token's count is not known.

    Args:
        values: shape (rows, columns). zero: the column after the border. wide: tokens on each side.

    Returns:
        shape (rows, 2): one step, and window of `wide`.
    """
    step = values[:, zero] - values[:, zero - 1]
    window = values[:, zero : zero + wide].mean(1) - values[:, zero - wide : zero].mean(1)
    return np.stack([step, window], axis=1)


def _measured(rows: pl.DataFrame, counts: Windows) -> Iterator[tuple[Group, dict[str, Any], Values]]:
    """Each group with the differences of its rows, [n, 2], on both scales; at divergence points one step, [n, 1]."""
    wide, listed = width(counts.cell.context, counts.cell.continuation), groups(rows, counts.rows)
    for ngram, values in counts.counts.items():
        for scale, scaled in (("count", values), ("log10", np.log10(1 + values))):
            at_border = row_differences(scaled, counts.cell.context, wide)
            for group in listed:
                mine, at = group.places, group.at
                found = at_border[mine] if group.at_border else (scaled[mine, at] - scaled[mine, at - 1])[:, None]
                yield group, {"ngram": ngram, "scale": scale}, found


# ------------------------------------------------------------------------------------------------------- the numbers


def boundary_differences(rows: pl.DataFrame, counts: Windows, models: pl.DataFrame) -> pl.DataFrame:
    """The boundary difference of each group of `rows` (as `curves.boundary_rows`); columns DIFFERENCES.

    models: one line a model, with parameters. At divergence points one step alone, as windows may end there.
    """
    names, lines = forms(counts.cell.context, counts.cell.continuation), []
    for group, measure, values in _measured(rows, counts):
        center = means(values)
        for form, count, *numbers in zip(
            names, center.count, center.estimate, center.lower, center.upper, strict=False
        ):
            ends = dict(zip(("difference", "difference_lower", "difference_upper"), numbers, strict=True))
            lines.append({**group.place, **measure, "form": form, "rows": count, **ends, "shown": group.shown})
    found = framed(lines, [name for name in DIFFERENCES if name != "parameters"])
    return found.join(models.select("model", "parameters"), "model", "left", maintain_order="left").select(*DIFFERENCES)


def boundary_contrasts(rows: pl.DataFrame, counts: Windows) -> pl.DataFrame:
    """Memorized beside unmemorized rows of each model and role, at the border; columns CONTRASTS."""
    pairs: dict[tuple[Any, ...], dict[str, Values]] = {}
    both = rows.filter(pl.col("class").is_in([MEMORIZED, UNMEMORIZED]), alignment=BORDER)
    for group, measure, values in _measured(both, counts):
        key = (group.place["model"], group.place["role"], *measure.values())
        pairs.setdefault(key, {})[group.place["class"]] = values
    names, lines = forms(counts.cell.context, counts.cell.continuation), []
    for key, of in pairs.items():
        if len(of) < 2:
            continue
        for form, mine, others in zip(names, of[MEMORIZED].T, of[UNMEMORIZED].T, strict=True):
            numbers = apart(mine, others)
            lines += [dict(zip(CONTRASTS, (*key, form, *numbers), strict=True))] if numbers else []
    return framed(lines, CONTRASTS)


def apart(mine: Values, others: Values) -> tuple[int, int, float, float, float] | None:
    """Rows of each whose value is known, the difference of their means and the ends of its 95 % interval (Welch); None
    where one of them has no value. mine, others: of shape (rows,)."""
    values = np.concatenate([mine, others])
    member, known = np.arange(len(values)) < len(mine), ~np.isnan(values)
    one = stratified_difference(values[known, None], member[known])
    return (one.members, one.others, one.estimate[0], one.lower[0], one.upper[0]) if one.strata else None


def sentence_frequencies(rows: pl.DataFrame, counts: Windows, tokens: int | None) -> pl.DataFrame:
    """P1's sentence-level frequency of each group but the shuffled, with intervals; columns SENTENCES.

    tokens: of the corpus, None if unknown.
    """
    at, lines = counts.cell.context, []
    listed = groups(rows.filter(pl.col("role") != "shuffled", alignment=BORDER), counts.rows)
    for ngram, values in counts.counts.items():
        parts = np.stack([row_means(values[:, :at]), row_means(values[:, at:])], axis=1)
        of_row = np.column_stack([parts, parts[:, 1] - parts[:, 0]])
        for group in listed:
            found = means(of_row[group.places])
            line = {**group.place, "ngram": ngram, "rows": found.count[2]}
            for part, *numbers in zip(_PARTS, found.estimate, found.lower, found.upper, strict=True):
                line |= dict(zip((part, f"{part}_lower", f"{part}_upper"), numbers, strict=True))
                line[f"{part}_per_million"] = numbers[0] / tokens * 1e6 if tokens else None
            lines.append(line)
    return framed(lines, SENTENCES)


def boundary_slopes(differences: pl.DataFrame, latest: pl.DataFrame) -> pl.DataFrame:
    """How the `boundary_differences` change with size; columns SLOPES.

    latest: column model, the models that stand for a size; those of unknown size are left out.
    """
    lines = size_slopes(differences, latest, "difference", list(SLOPES)[:5])
    return framed(lines, SLOPES)


def size_slopes(measured: pl.DataFrame, latest: pl.DataFrame, value: str, keys: list[str]) -> list[dict[str, Any]]:
    """How the column `value` of lines at the border changes per tenfold of parameters: keys, models, slope and ends."""
    lines = []
    drawn = measured.join(latest, on="model", how="semi").filter(
        pl.col("role").is_in(["train", "shuffled"]), pl.col("class") != OTHER, alignment=BORDER
    )
    for key, part in drawn.drop_nulls(["parameters", value]).group_by(keys, maintain_order=True):
        line = fit_line(part["parameters"], part[value], part["rows"])
        if line.slope is not None:
            ends = {"models": line.count, "slope": line.slope, "slope_lower": line.lower, "slope_upper": line.upper}
            lines.append({**dict(zip(keys, key, strict=True)), **ends})
    return lines


def row_means(values: Values) -> Values:
    """Mean of each row over the positions that are known; NaN where none is."""
    count = (~np.isnan(values)).sum(1)
    return np.where(count > 0, np.nansum(values, axis=1) / np.maximum(count, 1), np.nan)


def framed(
    lines: list[dict[str, Any]], columns: Mapping[str, str] | list[str], also: tuple[str, ...] = ()
) -> pl.DataFrame:
    """The columns of `lines`, what was not measured as null. also: columns of text beside GROUP, scale and form."""
    texts = dict.fromkeys((*GROUP, *_MEASURE, *also), pl.String)
    whole = dict.fromkeys(("ngram", "rows", "memorized", "unmemorized", "models"), pl.Int64)
    kinds: dict[str, Any] = {**texts, **whole, "class": CLASS, "shown": pl.Boolean}
    schema = {name: kinds.get(name, pl.Float64) for name in columns}
    kept = [{name: line[name] for name in columns} for line in lines]
    return pl.DataFrame(kept, schema=schema, strict=False, orient="row").with_columns(selectors.float().fill_nan(None))
