"""The boundary step of memorized compared with unmemorized rows, stratified by its confounders.

Source: our choice; P1 compares raw means. Counts also depend on how often the model saw the row, and on the kinds of
the tokens at the boundary (a word before a comma, a comma before a space). So rows are compared within strata of
repetition and of the kinds of the two tokens at the boundary. `position_contrasts` computes the same contrast at every
other position of the window, where no effect is expected.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars import selectors

from mematlas.analyses.frames.study_tables import Cell, Tables, read_tables
from mematlas.analyses.positions.boundary_step import form_names, row_differences, window_width
from mematlas.analyses.positions.profiles import CLUSTERS, MIN_ROWS
from mematlas.analyses.positions.token_windows import (
    MEMORIZED,
    UNMEMORIZED,
    TokenWindows,
    row_classes,
    scored_cell,
    window_counts,
)
from mematlas.stats.estimates.clustered import dense_labels
from mematlas.stats.estimates.contrasts import strata_with_both_groups, stratified_difference
from mematlas.stats.hypotheses.permutation import PERMUTATIONS, permutation_p_values
from mematlas.study import Study

SCALES: Final = ("count", "log10", "rank")
STRATA: Final = {
    "none": (),
    "repetition": ("repetition",),
    "token kinds": ("kind_before", "kind_after"),
    "repetition and token kinds": ("repetition", "kind_before", "kind_after"),
}
MAX_PERMUTED_ROWS: Final = 2000  # our choice: rows of each class to permute, a random sample if there are more
MAX_FLIPPED_CLUSTERS: Final = 100_000  # our choice: as many clusters to flip the signs of, where rows come in clusters
_KEY_COLUMNS: Final = {
    "model": "label of the model",
    "ngram": "1: counts of single tokens; 2: of pairs of a token and the one before it",
    "scale": "count: in the corpus; log10: of log10(1 + count); rank: of the count among all tokens of the windows of "
    "training rows, 0 to 1",
}
_INTERVAL_COLUMNS: Final = {
    "difference": "difference of memorized minus unmemorized rows, mean over strata weighted by their rows",
    "difference_lower": "lower end of its 95 % interval (Welch, variances pooled over strata); null where unknown",
    "difference_upper": "upper end of it",
}
EFFECT_COLUMNS: Final = {
    **_KEY_COLUMNS,
    "form": "what differs: one step at the border, or the means of a window of tokens on each side",
    "strata": "what is the same for the rows compared: none; repetition: doublings of how often the row occurs; token "
    "kinds: of the last token before and the first after the border",
    "strata_used": "strata that hold rows of both classes",
    "memorized": "rows with M = 1 in them",
    "unmemorized": "rows with M = 0 in them",
    "clusters": CLUSTERS,
    **_INTERVAL_COLUMNS,
    "effect": "difference / standard deviation over all rows of both classes; null where nothing varies",
    "effect_lower": "lower end of its 95 % interval",
    "effect_upper": "upper end of it",
    "p": f"two-sided chance of such a difference if labels were random within strata ({PERMUTATIONS} permutations; "
    "where rows come in documents, of the signs of what each adds)",
    "shown": f"whether it is drawn: of the last checkpoint of its size, with at least {MIN_ROWS} rows of each class",
}
POSITION_COLUMNS: Final = {
    **_KEY_COLUMNS,
    "offset": "tokens after the border of the second of the two tokens compared; 0 is the border",
    "memorized": "rows with M = 1",
    "unmemorized": "rows with M = 0",
    "difference": "mean step (token at the offset minus the one before it) of memorized minus unmemorized rows",
    "difference_lower": "lower end of its 95 % interval (Welch); null where a class has one row or document, or "
    "nothing varies",
    "difference_upper": "upper end of it",
    "clusters": CLUSTERS,
}
Values = NDArray[np.float64]
Indices = NDArray[np.int64]


# ----------------------------------------------------------------------------------------------------------- the rows


def strata_rows(study: Study, run: str | None = None) -> pl.DataFrame:
    """Memorized and unmemorized training rows of each model, at the cell nearest to 32 + 32, with their strata.

    Returns:
        model, latest (last checkpoint of its size), row, cluster (rows of one number are not independent), memorized
        (M = 1, else M = 0), repetition (doublings: floor of log2 of how often the row occurs), kind_before, kind_after
        (kinds of the two tokens at the border, index into study.schemas.features.TOKEN_KINDS); null where unknown; then
        the differences at the border, named "n-gram|scale|form".

    Raises:
        StudyError: the run is not finished, has no row features, or no row was scored.
    """
    tables = read_tables(study, run)
    cell = scored_cell(tables)
    return contrast_rows(tables, row_classes(tables, cell), window_counts(tables, cell))


def contrast_rows(tables: Tables, classes: pl.DataFrame, counts: TokenWindows) -> pl.DataFrame:
    """`strata_rows`, computed from `row_classes` and the counts."""
    compared = classes.filter("counted", pl.col("class").is_in([MEMORIZED, UNMEMORIZED]), role="train")
    compared = compared.select("model", "latest", "row", "cluster", memorized=pl.col("class") == MEMORIZED)
    train = tables.rows.filter(role="train").select("row").collect()["row"]
    kinds = {"kind_before": counts.kinds[:, 0], "kind_after": counts.kinds[:, 1]}
    measures = _boundary_measures(counts, np.isin(counts.rows, train))
    row_values = pl.DataFrame({"row": counts.rows, **kinds, **measures}).with_columns(selectors.float().fill_nan(None))
    row_values = row_values.join(_repetition_doublings(tables, counts.cell), on="row", how="left")
    return compared.join(
        row_values.with_columns(pl.col(list(kinds)).cast(pl.Int64)), "row", "left", maintain_order="left"
    )


def _repetition_doublings(tables: Tables, cell: Cell) -> pl.DataFrame:
    """Doublings of each row's repetitions as the corpus records them, or else of the copies of its window."""
    repetitions = pl.col("repetitions")
    repetition_table = tables.rows.select("row", "repetitions")
    if repetition_source(tables) == "copies":
        copies = tables.features["copies"].filter(context=cell.context, continuation=cell.continuation)
        repetition_table = copies.select("row", pl.col("window_rows").alias("repetitions"))
    doublings = pl.when(repetitions >= 1).then((repetitions.log(2) + 1e-9).floor().cast(pl.Int64))
    return repetition_table.select("row", doublings.alias("repetition")).collect()


def repetition_source(tables: Tables) -> str | None:
    """The source of the repetitions: "repetitions" (recorded with the corpus), "copies" (counted in it), or None."""
    any_recorded = tables.rows.filter(role="train").select((pl.col("repetitions") >= 1).any()).collect().item()
    if any_recorded:
        return "repetitions"
    copies = tables.features.get("copies", pl.LazyFrame({"window_rows": [None]}))
    return "copies" if copies.select(pl.col("window_rows").is_not_null().any()).collect().item() else None


def _boundary_measures(counts: TokenWindows, train: NDArray[np.bool_]) -> dict[str, Values]:
    """Boundary differences of each row: "n-gram|scale|form" -> [rows]; measures unknown for all rows are left out.

    Args:
        train: [rows], a mask of the training rows, among whose counts the ranks are taken.
    """
    context, width = counts.cell.context, window_width(counts.cell.context, counts.cell.continuation)
    measures: dict[str, Values] = {}
    for ngram, values in counts.counts.items():
        near_boundary = values[:, context - width : context + width]
        for scale, scaled in zip(
            SCALES, (near_boundary, np.log10(1 + near_boundary), _ranks(near_boundary, values[train])), strict=True
        ):
            differences = row_differences(scaled, width, width)
            names = (f"{ngram}|{scale}|{form}" for form in form_names(counts.cell.context, counts.cell.continuation))
            measures |= dict(zip(names, differences.T, strict=True))
    # the 2-gram of a row's first token is never known, and a short context's window reaches it
    return {name: numbers for name, numbers in measures.items() if not np.isnan(numbers).all()}


def _ranks(values: Values, reference: Values) -> Values:
    """Rank of each value in `reference`, 0 to 1: the share of smaller values plus half the share of equal ones."""
    distinct, multiplicities = np.unique(reference[~np.isnan(reference)], return_counts=True)
    below = np.concatenate([[0], np.cumsum(multiplicities)])
    lower, upper = (below[np.searchsorted(distinct, values, side)] for side in ("left", "right"))
    return np.where(np.isnan(values), np.nan, (lower + upper) / 2 / max(1, below[-1]))


# -------------------------------------------------------------------------------------------------------- the numbers


def stratified_effects(rows: pl.DataFrame) -> pl.DataFrame:
    """Memorized compared with unmemorized rows of each model, within each of STRATA; columns EFFECT_COLUMNS.

    Strata without rows of both classes, rows of unknown stratum, and rows with an unknown count at the boundary are
    left out.

    Args:
        rows: from `strata_rows`.
    """
    measures = [name for name in rows.columns if "|" in name]
    records: list[dict[str, Any]] = []
    for (model, latest), group in rows.drop_nulls(measures).group_by("model", "latest", maintain_order=True):
        deviations = group.select(measures).to_numpy().std(0, ddof=1) if group.height > 1 else np.zeros(len(measures))
        for name, strata_columns in STRATA.items():
            effects = _effects_within(group.drop_nulls(list(strata_columns)), strata_columns, measures, deviations)
            records += [
                {"model": model, "strata": name, **record, "shown": latest and record["shown"]} for record in effects
            ]
    return _to_frame(records, EFFECT_COLUMNS)


def _effects_within(
    group: pl.DataFrame, strata_columns: tuple[str, ...], measures: list[str], deviations: Values
) -> Iterator[dict[str, Any]]:
    """One record per measure of one model; none if no stratum contains both classes."""
    values, is_memorized = group.select(measures).to_numpy(), group["memorized"].to_numpy()
    stratum = (
        group.select(pl.struct(strata_columns).rank("dense")).to_series().to_numpy()
        if strata_columns
        else np.zeros(len(is_memorized))
    )
    clusters = group["cluster"].to_numpy()
    contrast = stratified_difference(values, is_memorized, stratum, clusters)
    if not contrast.strata:
        return
    sample = _permutation_sample(is_memorized, stratum, clusters)
    p_values = permutation_p_values(values[sample], is_memorized[sample], stratum[sample], clusters=clusters[sample])
    for index, name in enumerate(measures):
        ngram, scale, form = name.split("|")
        interval = {"": contrast.estimate[index], "_lower": contrast.lower[index], "_upper": contrast.upper[index]}
        yield {
            **{"ngram": int(ngram), "scale": scale, "form": form, "p": p_values[index]},
            **{"strata_used": contrast.strata, "memorized": contrast.members, "unmemorized": contrast.others},
            "clusters": contrast.clusters,
            "shown": min(contrast.members, contrast.others) >= MIN_ROWS,
            **{f"difference{suffix}": number for suffix, number in interval.items()},
            **{
                f"effect{suffix}": number / deviations[index] if deviations[index] else None
                for suffix, number in interval.items()
            },
        }


def _permutation_sample(is_memorized: NDArray[np.bool_], stratum: Values, clusters: Indices) -> Indices:
    """At most MAX_PERMUTED_ROWS rows of each class (seeded), drawn from the strata that contain both.

    Where these rows come in clusters: all rows of at most MAX_FLIPPED_CLUSTERS clusters.
    """
    comparable = strata_with_both_groups(is_memorized, stratum)
    generator = np.random.default_rng(0)
    labels = dense_labels(clusters[comparable.rows], len(comparable.rows))
    if labels is not None:
        order = generator.permutation(int(labels.max()) + 1)
        return comparable.rows[order[labels] < MAX_FLIPPED_CLUSTERS]
    parts = [comparable.rows[comparable.member == memorized] for memorized in (True, False)]
    return np.sort(np.concatenate([generator.permutation(part)[:MAX_PERMUTED_ROWS] for part in parts]))


def position_contrasts(rows: pl.DataFrame, counts: TokenWindows) -> pl.DataFrame:
    """The one-step contrast of memorized and unmemorized rows at every position; columns POSITION_COLUMNS.

    Args:
        rows: from `strata_rows`. counts: from `boundary_counts`. Rows with a gap in their counts are left out.
    """
    records = []
    for ngram, values in counts.counts.items():
        for scale, scaled in (("count", values), ("log10", np.log10(1 + values))):
            steps = np.diff(scaled, axis=1)
            known_positions = np.flatnonzero(~np.isnan(steps).all(0))
            steps = steps[:, known_positions]
            complete = np.isnan(steps).sum(axis=1) == 0
            for (model,), group in rows.group_by("model", maintain_order=True):
                is_complete = complete[counts.indices(group["row"])]
                complete_rows = group.filter(is_complete)
                contrast = stratified_difference(
                    steps[counts.indices(complete_rows["row"])],
                    complete_rows["memorized"],
                    clusters=complete_rows["cluster"],
                )
                numbers = (contrast.estimate, contrast.lower, contrast.upper)
                for offset, *interval in zip(known_positions + 1 - counts.cell.context, *numbers, strict=True):
                    key = {"model": model, "ngram": ngram, "scale": scale, "offset": offset}
                    sizes = {
                        "memorized": contrast.members,
                        "unmemorized": contrast.others,
                        "clusters": contrast.clusters,
                    }
                    records.append({**key, **sizes, **dict(zip(_INTERVAL_COLUMNS, interval, strict=True))})
    return _to_frame(records, POSITION_COLUMNS).drop_nulls("difference")


def _to_frame(records: list[dict[str, Any]], columns: dict[str, str]) -> pl.DataFrame:
    """A data frame with `columns`, null where a value was not measured."""
    texts = dict.fromkeys(("model", "scale", "form", "strata"), pl.String)
    integers = dict.fromkeys(("ngram", "offset", "strata_used", "memorized", "unmemorized", "clusters"), pl.Int64)
    types: dict[str, Any] = {**texts, **integers, "shown": pl.Boolean}
    schema = {name: types.get(name, pl.Float64) for name in columns}
    ordered = [{name: record[name] for name in columns} for record in records]
    return pl.DataFrame(ordered, schema=schema, strict=False, orient="row").with_columns(
        selectors.float().fill_nan(None)
    )
