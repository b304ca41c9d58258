"""Memorized share of rows against their exact copies in the corpus.

Source: P9 (a) to (c), Figure 1b: the share by buckets [2^(n/4), 2^((n+1)/4)) of how often a row stands in the corpus.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.copies import SCOPE, SCOPES, counts_by_copies, scopes
from mematlas.analyses.frames.memorized_shares import KEYS, ROLE, in_order, nearest_cell
from mematlas.analyses.frames.proportions import share_of, with_shares
from mematlas.analyses.frames.repetition_buckets import COLUMNS as BUCKET_COLUMNS
from mematlas.analyses.frames.repetition_buckets import FEW, buckets_of
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.findings.finding import Axis, Chart, Finding, Table
from mematlas.stats.regression.curves import POINTS_FOR_INTERVAL, fit_line

_PLACE: Final = {
    "model": "label of the model",
    "role": ROLE,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "scope": SCOPE,
}
_SHARES: Final = {
    **_PLACE,
    "bucket": BUCKET_COLUMNS["bucket"],
    "copies": "geometric mean of the copies of context + continuation of the bucket's rows, their own among them",
    "rows": "rows scored",
    "memorized": "rows with M = 1",
    "share": "memorized / rows",
    "share_lower": "lower end of its Wilson 95 % interval",
    "share_upper": "upper end of it",
    "few": BUCKET_COLUMNS["few"],
}
_SLOPES: Final = {
    **_PLACE,
    "points": "buckets fitted, each weighing as many as its rows",
    "rows": "rows in them",
    "slope": "change of the memorized share per tenfold of copies",
    "slope_error": "its standard error; null below 3 points, and without scatter",
    "slope_lower": "lower end of its 95 % interval (Student's t)",
    "slope_upper": "upper end of it",
    "r2": "explained share of the variance between buckets",
    "reason": "why a number is null",
}
_AGREEMENT: Final = {
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "scope": SCOPE,
    "repetitions": "how often the row was shown in training, as the corpus records it",
    "rows": "training rows with both numbers",
    "equal": "of these, rows with as many copies in the corpus as repetitions",
    "fewest_copies": "fewest copies of one of them",
    "mean_copies": "mean of their copies",
    "most_copies": "most copies of one of them",
}
_QUESTION: Final = "how memorization grows with copies in the corpus"
_LINES_RECIPE: Final = 'lines = recount.lines_with_features(study).filter(pl.col("role") != "control")\n'
_COUNTS_RECIPE: Final = f"{_LINES_RECIPE}counts = recount.copy_buckets(lines)\n"
_SHARES_RECIPE: Final = f'{_COUNTS_RECIPE}answer = recount.with_shares(counts, "memorized")'
_SLOPES_RECIPE: Final = f"{_COUNTS_RECIPE}answer = recount.copy_slopes(counts)"
_AGREEMENT_RECIPE: Final = """\
copies = study.features("copies").filter(context={0.context}, continuation={0.continuation})
answer = recount.copy_agreement(study.rows().filter(role="train").join(copies, on="row"))"""
_DEVIATIONS: Final = (
    "P9 draws 1,000 rows a bucket and length; here the rows are those of the study.",
    "P9 counts copies of the row's text anywhere; here the tokens of context + continuation must be the same, within "
    "the scope named (claims: within rows, where that is known).",
)


# ------------------------------------------------------------------------------------------------------- the numbers


def copy_buckets(lines: pl.DataFrame) -> pl.DataFrame:
    """Rows and memorized rows by bucket of copies: model, role, context, continuation, scope, bucket, copies (geometric
    mean), rows, memorized.

    Args:
        lines: one line a scored row, or so many `rows` of one kind: model, role, context, continuation, recited,
            window_rows, window_documents, window_stream (what has null or 0 copies is left out of that scope).
    """
    weight = pl.col("rows") if "rows" in lines.columns else pl.lit(1, pl.Int64)
    found = []
    for order, scope in enumerate(SCOPES):
        copies = pl.col(f"window_{scope}")
        known = lines.filter(copies >= 1)
        grouped = known.with_columns(buckets_of(known[f"window_{scope}"]), weight=weight).group_by(*KEYS, "bucket")
        spread = (copies.log(10) * pl.col("weight")).sum() / pl.col("weight").sum()
        memorized = (pl.col("recited").cast(pl.Int64) * pl.col("weight")).sum()
        counts = grouped.agg(copies=10**spread, rows=pl.col("weight").sum(), memorized=memorized)
        found.append(counts.with_columns(pl.lit(scope).alias("scope"), order=order))
    columns = (*_PLACE, "bucket", "copies", "rows", "memorized")
    return pl.concat(found).sort(*KEYS, "order", "bucket").select(columns)


def copy_slopes(counts: pl.DataFrame) -> pl.DataFrame:
    """The log-linear slope of each model, role, cell and scope of `copy_buckets` with two buckets or more."""
    found = []
    shares = counts.with_columns(share=pl.col("memorized") / pl.col("rows"))
    for key, group in shares.group_by(*_PLACE, maintain_order=True):
        if group.height < 2:
            continue
        line = fit_line(group["copies"], group["share"], group["rows"])
        few = f"an interval needs {POINTS_FOR_INTERVAL} buckets" if group.height < POINTS_FOR_INTERVAL else None
        reason = few or ("all shares are equal: no interval, no R2" if line.lower is None else None)
        numbers = (line.slope, line.error, line.lower, line.upper, line.r2, reason)
        found.append((*key, group.height, group["rows"].sum(), *numbers))
    kinds = {**dict.fromkeys(("model", "role", "scope", "reason"), pl.String), "points": pl.Int64, "rows": pl.Int64}
    schema = {name: counts.schema.get(name, kinds.get(name, pl.Float64)) for name in _SLOPES}
    return pl.DataFrame(found, schema=schema, orient="row")


def copy_agreement(rows: pl.DataFrame) -> pl.DataFrame:
    """Copies beside repetitions, by number of repetitions, of the rows that have both.

    Args:
        rows: one line a row: context, continuation, repetitions, window_rows, window_documents, window_stream.
    """
    found = []
    for scope in SCOPES:
        copies = pl.col(f"window_{scope}")
        known = rows.filter(copies.is_not_null(), pl.col("repetitions").is_not_null())
        counts = known.group_by("context", "continuation", pl.lit(scope).alias("scope"), "repetitions").agg(
            pl.len().cast(pl.Int64).alias("rows"),
            (copies == pl.col("repetitions")).sum().cast(pl.Int64).alias("equal"),
            copies.min().alias("fewest_copies"),
            copies.mean().alias("mean_copies"),
            copies.max().alias("most_copies"),
        )
        found.append(counts.sort("repetitions"))
    return pl.concat(found).select(*_AGREEMENT)


def _rows_with_copies(tables: Tables, cell: Cell, role: str) -> pl.DataFrame:
    copies = tables.features["copies"].filter(context=cell.context, continuation=cell.continuation)
    return tables.rows.filter(role=role).join(copies, on="row").collect(engine="streaming")


# ------------------------------------------------------------------------------------------------------- the finding


def _claim(cell: Cell, scope: str, here: pl.DataFrame, slope: dict[str, Any] | None) -> str:
    """The sentence, from the buckets and the slope of one model in one cell."""
    known = here.sort("bucket")
    lines = (known.filter(~pl.col("few")) if known.filter(~pl.col("few")).height > 1 else known).to_dicts()
    where = f"At {cell} tokens {lines[0]['model']} recites"
    ends = [
        f"{share_of(line, 'share')} of the {_rows(line['rows'])} with {_copies(line['copies'])} in the corpus "
        f"(within {scope})"
        for line in (lines[0], lines[-1])
    ]
    if slope is None:
        return f"{where} {ends[0]}; all rows fall into one bucket of copies, so that growth with them cannot be said."
    change = f"{100 * slope['slope']:+.1f} percentage points per tenfold of copies"
    if slope["slope_lower"] is None:
        why = f"no interval: {slope['reason']}"
    else:
        why = f"95 % interval {100 * slope['slope_lower']:+.1f} to {100 * slope['slope_upper']:+.1f}"
    return f"{where} {ends[0]} and {ends[1]}: {change} ({why}; {slope['points']} buckets, {slope['rows']:,} rows)."


def _copies(copies: float) -> str:
    whole = round(copies)
    if abs(copies - whole) < 1e-6 * copies:
        return "1 copy" if whole == 1 else f"{whole:,} copies"
    return f"about {copies:,.{0 if copies > 10 else 1}f} copies"


def _rows(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows:,} rows"


def _caveats(
    tables: Tables, cell: Cell, scope: str, counts: pl.DataFrame, agreement: pl.DataFrame, *, sloped: bool
) -> tuple[str, ...]:
    train = counts.filter(role="train", context=cell.context, continuation=cell.continuation)
    copies = pl.col(f"window_{scope}")
    of_models = train.group_by("model").agg(
        unknown=pl.col("rows").filter(copies.is_null()).sum(), absent=pl.col("rows").filter(copies == 0).sum()
    )
    unknown, absent = (max(of_models[name].to_list(), default=0) for name in ("unknown", "absent"))
    said = {
        f"{unknown:,} training rows have no count of copies and are left out.": unknown,
        f"{absent:,} training rows have no copy in the corpus that was counted, not even their own, and are left out: "
        "is it the corpus they come from?": absent,
        "All points of a slope come from the same rows: its interval says how well the buckets lie on a line.": sloped,
        _disagreement(agreement.filter(scope=scope)): agreement.filter(scope=scope).height,
        "The study has no control rows: a floor of lucky guesses is unknown.": not tables.has_control,
    }
    return tuple(words for words, holds in said.items() if holds)


def _disagreement(agreement: pl.DataFrame) -> str:
    """How copies compare with repetitions, as a sentence."""
    rows, equal = agreement["rows"].sum(), agreement["equal"].sum()
    if rows == equal:
        return f"All {rows:,} rows with a recorded number of repetitions have as many copies in the corpus."
    start = f"{equal:,} of {rows:,} rows have as many copies in the corpus as repetitions in training"
    most, shown = (max(agreement[name].to_list(), default=0) for name in ("most_copies", "repetitions"))
    if most == 1 and shown > 1:
        return (
            f"{start}: the corpus holds each row once, though rows were shown up to {shown:,} times, so that copies in "
            "it do not say how often a row was trained on (the analysis scaling takes the repetitions)."
        )
    return f"{start}: copies in the corpus are not how often a row was trained on."


def _control(tables: Tables, cell: Cell, scope: str) -> tuple[str | None, str | None]:
    """What control rows show of the corpus, as control and as caveat."""
    rows = _rows_with_copies(tables, cell, "control").drop_nulls(f"window_{scope}")
    leaked = rows.filter(pl.col(f"window_{scope}") > 0).height
    if not rows.height:
        return None, None
    if not leaked:
        return f"None of {rows.height:,} control rows has a copy in the corpus at {cell} tokens.", None
    told = f"{leaked:,} of {rows.height:,} control rows have a copy in the corpus at {cell} tokens"
    return f"{told}.", f"The control leaks: {told}, so that a model may have been trained on them."


def _chart(cell: Cell, scope: str) -> Chart:
    return Chart(
        "copies",
        f"Memorized share by copies in the corpus, {cell.continuation} tokens to recite",
        "lines",
        "shares",
        Axis("copies", f"copies of the row in the corpus (within {scope})", "log"),
        Axis("share", "rows with M = 1", share=True),
        Axis("model", "model", "nominal"),
        "share_lower",
        "share_upper",
        facet="context",
        dash="role",
        where={"continuation": cell.continuation, "scope": scope},
    )


def _lacking(tables: Tables, cell: Cell | None, known: tuple[str, ...]) -> Finding | None:
    if not tables.complete:
        remedy = "Score the rows yourself: `mematlas score MODEL MODEL ... --corpus PATH --study FOLDER`."
        return ANALYSIS.lacking(tables, _QUESTION, "scores of all rows, not of recited rows alone", remedy)
    if not known:
        what = "a count of each row's copies in the corpus"
        return ANALYSIS.lacking(tables, _QUESTION, what, "Make row features: `mematlas features STUDY`.")
    if cell is None:
        remedy = "Score rows of the corpus that are long enough for context and continuation."
        return ANALYSIS.lacking(tables, _QUESTION, "scored training rows", remedy)
    return None


def answer(tables: Tables) -> Finding:
    """Shares by copies in every cell and scope; the claim is on the largest model in the reference cell."""
    cell, known = nearest_cell(tables), scopes(tables)
    lacking = _lacking(tables, cell, known)
    if lacking or cell is None:
        return lacking or ANALYSIS.lacking(tables, _QUESTION, "scored rows", "Score rows.")
    counts = counts_by_copies(tables)
    buckets = in_order(copy_buckets(counts.filter(pl.col("role") != "control")), tables, "scope", "bucket")
    place = {"role": "train", "context": cell.context, "continuation": cell.continuation, "scope": known[0]}
    shares = with_shares(buckets, "memorized").with_columns((pl.col("rows") < FEW).alias("few")).select(*_SHARES)
    slopes = copy_slopes(buckets)
    told = next((model for model in reversed(tables.by_size) if shares.filter(model=model, **place).height), None)
    if told is None:
        what = "training rows whose copies in the corpus were counted"
        return ANALYSIS.lacking(tables, _QUESTION, what, "Make row features: `mematlas features STUDY`.")
    slope = next(slopes.filter(model=told, **place).iter_rows(named=True), None)
    agreement = copy_agreement(_rows_with_copies(tables, cell, "train"))
    control, leak = _control(tables, cell, known[0])
    drawn = shares.filter(pl.col("scope") == known[0], pl.col("continuation") == cell.continuation)["bucket"]
    caveats = _caveats(tables, cell, known[0], counts, agreement, sloped=slope is not None)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(cell, known[0], shares.filter(model=told, **place), slope),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(slope),
        control=control,
        tables=_tables(shares, slopes, agreement, cell),
        charts=(_chart(cell, known[0]),) if drawn.n_unique() > 1 else (),
        caveats=(leak, *caveats) if leak else caveats,
        deviations=_DEVIATIONS,
    )


def _strength(slope: dict[str, Any] | None) -> float | None:
    return None if slope is None or not slope["slope_error"] else abs(slope["slope"]) / slope["slope_error"]


def _tables(shares: pl.DataFrame, slopes: pl.DataFrame, agreement: pl.DataFrame, cell: Cell) -> tuple[Table, ...]:
    recipe = _AGREEMENT_RECIPE.format(cell)
    tables = (
        Table("shares", "Memorized share by copies in the corpus", shares, _SHARES, _SHARES_RECIPE),
        Table("slopes", "Slope of the memorized share per tenfold of copies", slopes, _SLOPES, _SLOPES_RECIPE),
        Table("agreement", "Copies in the corpus beside repetitions in training", agreement, _AGREEMENT, recipe),
    )
    return tuple(table for table in tables if table.frame.height)


ANALYSIS = Analysis(
    "repetition",
    "Copies in the corpus",
    "P9, Figure 1b",
    "row features (copies in the corpus); all rows scored",
    answer,
)
