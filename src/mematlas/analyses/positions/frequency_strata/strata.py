"""The border step of memorized beside unmemorized rows, with what confounds it held fixed.

Source: our choice; P1 compares raw means. Rows that a model saw often, and rows whose border falls between tokens of
other kinds (a word before a comma, a comma before a space), differ in their counts for reasons of their own: here rows
are compared within strata of repetition and of the kinds of the two tokens at the border. Positions: the same contrast
at every other position of the window, where nothing special happens.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars import selectors

from mematlas.analyses.frames.study_tables import Cell, Tables, read_tables
from mematlas.analyses.positions.boundary_step import forms, row_differences, width
from mematlas.analyses.positions.profiles import FEW
from mematlas.analyses.positions.token_windows import (
    MEMORIZED,
    UNMEMORIZED,
    Windows,
    row_classes,
    scored_cell,
    window_counts,
)
from mematlas.stats.estimates.contrasts import stratified_difference, with_both
from mematlas.stats.hypotheses.permutation import PERMUTATIONS, permutation_p
from mematlas.study import Study

SCALES: Final = ("count", "log10", "rank")
STRATA: Final = {
    "none": (),
    "repetition": ("repetition",),
    "token kinds": ("kind_before", "kind_after"),
    "repetition and token kinds": ("repetition", "kind_before", "kind_after"),
}
TESTED: Final = 2000  # our choice: rows of each class that are permuted, drawn at random where there are more
_PLACE: Final = {
    "model": "label of the model",
    "ngram": "1: counts of single tokens; 2: of pairs of a token and the one before it",
    "scale": "count: in the corpus; log10: of log10(1 + count); rank: of the count among all tokens of the windows of "
    "training rows, 0 to 1",
}
_ENDS: Final = {
    "difference": "difference of memorized minus unmemorized rows, mean over strata weighted by their rows",
    "difference_lower": "lower end of its 95 % interval (Welch, variances pooled over strata); null where unknown",
    "difference_upper": "upper end of it",
}
EFFECTS: Final = {
    **_PLACE,
    "form": "what differs: one step at the border, or the means of a window of tokens on each side",
    "strata": "what is the same for the rows compared: none; repetition: doublings of how often the row occurs; token "
    "kinds: of the last token before and the first after the border",
    "strata_used": "strata that hold rows of both classes",
    "memorized": "rows with M = 1 in them",
    "unmemorized": "rows with M = 0 in them",
    **_ENDS,
    "effect": "difference / standard deviation over all rows of both classes; null where nothing varies",
    "effect_lower": "lower end of its 95 % interval",
    "effect_upper": "upper end of it",
    "p": f"two-sided chance of such a difference if labels were random within strata ({PERMUTATIONS} permutations)",
    "shown": f"whether it is drawn: of the last checkpoint of its size, with at least {FEW} rows of each class",
}
POSITIONS: Final = {
    **_PLACE,
    "offset": "tokens after the border of the second of the two tokens compared; 0 is the border",
    "memorized": "rows with M = 1",
    "unmemorized": "rows with M = 0",
    "difference": "mean step (token at the offset minus the one before it) of memorized minus unmemorized rows",
    "difference_lower": "lower end of its 95 % interval (Welch); null where a class has one row or nothing varies",
    "difference_upper": "upper end of it",
}
Values = NDArray[np.float64]


# ----------------------------------------------------------------------------------------------------------- the rows


def strata_rows(study: Study, run: str | None = None) -> pl.DataFrame:
    """Memorized and unmemorized training rows of each model, at the cell nearest to 32 + 32, with their strata.

    Returns:
        model, latest (last checkpoint of its size), row, memorized (M = 1, else M = 0), repetition (doublings: floor of
        log2 of how often the row occurs), kind_before, kind_after (kinds of the two tokens at the border, index into
        features.schema.TOKEN_KINDS); null where unknown; then the differences at the border, named "n-gram|scale|form".

    Raises:
        StudyError: the run is not finished, has no row features, or no row was scored.
    """
    tables = read_tables(study, run)
    cell = scored_cell(tables)
    return contrasted(tables, row_classes(tables, cell), window_counts(tables, cell))


def contrasted(tables: Tables, classes: pl.DataFrame, counts: Windows) -> pl.DataFrame:
    """`strata_rows` from `windows.row_classes` and the counts."""
    kept = classes.filter("counted", pl.col("class").is_in([MEMORIZED, UNMEMORIZED]), role="train")
    kept = kept.select("model", "latest", "row", memorized=pl.col("class") == MEMORIZED)
    train = tables.rows.filter(role="train").select("row").collect()["row"]
    kinds = {"kind_before": counts.kinds[:, 0], "kind_after": counts.kinds[:, 1]}
    measures = _measures(counts, np.isin(counts.rows, train))
    of_row = pl.DataFrame({"row": counts.rows, **kinds, **measures}).with_columns(selectors.float().fill_nan(None))
    of_row = of_row.join(_repetition(tables, counts.cell), on="row", how="left")
    return kept.join(of_row.with_columns(pl.col(list(kinds)).cast(pl.Int64)), "row", "left", maintain_order="left")


def _repetition(tables: Tables, cell: Cell) -> pl.DataFrame:
    """Doublings of how often each row occurs: as the corpus tells, or else of copies of the window."""
    seen = pl.col("repetitions")
    told = tables.rows.select("row", "repetitions")
    if repetition_source(tables) == "copies":
        here = tables.features["copies"].filter(context=cell.context, continuation=cell.continuation)
        told = here.select("row", pl.col("window_rows").alias("repetitions"))
    doublings = pl.when(seen >= 1).then((seen.log(2) + 1e-9).floor().cast(pl.Int64))
    return told.select("row", doublings.alias("repetition")).collect()


def repetition_source(tables: Tables) -> str | None:
    """Where the number of repetitions comes from: "repetitions" of the corpus, "copies" counted in it, or None."""
    seen = tables.rows.filter(role="train").select((pl.col("repetitions") >= 1).any()).collect().item()
    if seen:
        return "repetitions"
    counted = tables.features.get("copies", pl.LazyFrame({"window_rows": [None]}))
    return "copies" if counted.select(pl.col("window_rows").is_not_null().any()).collect().item() else None


def _measures(counts: Windows, train: NDArray[np.bool_]) -> dict[str, Values]:
    """Border differences of each row: "n-gram|scale|form" -> [rows], if it is known of a row. train: [rows], whose
    counts are ranked."""
    at, wide = counts.cell.context, width(counts.cell.context, counts.cell.continuation)
    found: dict[str, Values] = {}
    for ngram, values in counts.counts.items():
        near = values[:, at - wide : at + wide]
        for scale, scaled in zip(SCALES, (near, np.log10(1 + near), _ranks(near, values[train])), strict=True):
            both = row_differences(scaled, wide, wide)
            names = (f"{ngram}|{scale}|{form}" for form in forms(counts.cell.context, counts.cell.continuation))
            found |= dict(zip(names, both.T, strict=True))
    # the 2-gram of a row's first token is never known, and a short context's window reaches it
    return {name: numbers for name, numbers in found.items() if not np.isnan(numbers).all()}


def _ranks(values: Values, among: Values) -> Values:
    """Place of each value among all of `among`, from 0 to 1: the share below, and half the share that is equal."""
    known, numbers = np.unique(among[~np.isnan(among)], return_counts=True)
    below = np.concatenate([[0], np.cumsum(numbers)])
    lower, upper = (below[np.searchsorted(known, values, side)] for side in ("left", "right"))
    return np.where(np.isnan(values), np.nan, (lower + upper) / 2 / max(1, below[-1]))


# -------------------------------------------------------------------------------------------------------- the numbers


def stratified_effects(rows: pl.DataFrame) -> pl.DataFrame:
    """Memorized beside unmemorized rows of each model, within each of STRATA; columns EFFECTS.

    rows: as `strata_rows`. Left out are strata without rows of both classes, rows whose stratum is unknown, and
    rows with an unknown count at the border.
    """
    measures = [name for name in rows.columns if "|" in name]
    lines: list[dict[str, Any]] = []
    for (model, latest), group in rows.drop_nulls(measures).group_by("model", "latest", maintain_order=True):
        spread = group.select(measures).to_numpy().std(0, ddof=1) if group.height > 1 else np.zeros(len(measures))
        for name, by in STRATA.items():
            found = _within(group.drop_nulls(list(by)), by, measures, spread)
            lines += [{"model": model, "strata": name, **line, "shown": latest and line["shown"]} for line in found]
    return _framed(lines, EFFECTS)


def _within(group: pl.DataFrame, by: tuple[str, ...], measures: list[str], spread: Values) -> Iterator[dict[str, Any]]:
    """One line a measure of one model; none where no stratum holds both classes."""
    values, member = group.select(measures).to_numpy(), group["memorized"].to_numpy()
    stratum = group.select(pl.struct(by).rank("dense")).to_series().to_numpy() if by else np.zeros(len(member))
    found = stratified_difference(values, member, stratum)
    if not found.strata:
        return
    drawn = _drawn(member, stratum)
    chances = permutation_p(values[drawn], member[drawn], stratum[drawn])
    for at, name in enumerate(measures):
        ngram, scale, form = name.split("|")
        ends = {"": found.estimate[at], "_lower": found.lower[at], "_upper": found.upper[at]}
        yield {
            **{"ngram": int(ngram), "scale": scale, "form": form, "p": chances[at]},
            **{"strata_used": found.strata, "memorized": found.members, "unmemorized": found.others},
            "shown": min(found.members, found.others) >= FEW,
            **{f"difference{end}": number for end, number in ends.items()},
            **{f"effect{end}": number / spread[at] if spread[at] else None for end, number in ends.items()},
        }


def _drawn(member: NDArray[np.bool_], stratum: Values) -> NDArray[np.int64]:
    """At most TESTED rows of each class (seeded), of those in strata that hold both."""
    both = with_both(member, stratum)
    generator = np.random.default_rng(0)
    parts = [both.rows[both.member == one] for one in (True, False)]
    return np.sort(np.concatenate([generator.permutation(part)[:TESTED] for part in parts]))


def position_contrasts(rows: pl.DataFrame, counts: Windows) -> pl.DataFrame:
    """The one-step contrast of memorized and unmemorized rows at every position of the window; columns POSITIONS.

    Args:
        rows: as `strata_rows`. counts: as `windows.boundary_counts`. Rows with a gap in their counts are left out.
    """
    lines = []
    for ngram, values in counts.counts.items():
        for scale, scaled in (("count", values), ("log10", np.log10(1 + values))):
            steps = np.diff(scaled, axis=1)
            known = np.flatnonzero(~np.isnan(steps).all(0))
            steps = steps[:, known]
            complete = np.isnan(steps).sum(axis=1) == 0
            for (model,), group in rows.group_by("model", maintain_order=True):
                whole = complete[counts.places(group["row"])]
                mine = group.filter(whole)
                found = stratified_difference(steps[counts.places(mine["row"])], mine["memorized"])
                numbers = (found.estimate, found.lower, found.upper)
                for at, *ends in zip(known + 1 - counts.cell.context, *numbers, strict=True):
                    place = {"model": model, "ngram": ngram, "scale": scale, "offset": at}
                    sizes = {"memorized": found.members, "unmemorized": found.others}
                    lines.append({**place, **sizes, **dict(zip(_ENDS, ends, strict=True))})
    return _framed(lines, POSITIONS).drop_nulls("difference")


def _framed(lines: list[dict[str, Any]], columns: dict[str, str]) -> pl.DataFrame:
    """The columns of `lines`, what was not measured as null."""
    texts = dict.fromkeys(("model", "scale", "form", "strata"), pl.String)
    whole = dict.fromkeys(("ngram", "offset", "strata_used", "memorized", "unmemorized"), pl.Int64)
    kinds: dict[str, Any] = {**texts, **whole, "shown": pl.Boolean}
    schema = {name: kinds.get(name, pl.Float64) for name in columns}
    kept = [{name: line[name] for name in columns} for line in lines]
    return pl.DataFrame(kept, schema=schema, strict=False, orient="row").with_columns(selectors.float().fill_nan(None))
