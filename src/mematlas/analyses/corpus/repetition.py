"""Memorized share of rows against the number of their exact copies in the corpus.

Source: P9 (a) to (c), Figure 1b: the share by buckets [2^(n/4), 2^((n+1)/4)) of how often a row occurs in the corpus.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import LONGER_ROWS, Analysis
from mematlas.analyses.corpus.near_copies import near_tables
from mematlas.analyses.frames.copies import SCOPE_DESCRIPTION, SCOPES, counts_by_copies, known_scopes
from mematlas.analyses.frames.memorized_shares import KEYS, ROLE_DESCRIPTION, in_model_order, nearest_cell
from mematlas.analyses.frames.proportions import (
    EFFECTIVE_ROWS,
    SAMPLE_COLUMNS,
    format_share,
    with_effective_rows,
    with_shares,
)
from mematlas.analyses.frames.repetition_buckets import BUCKET_COLUMNS, FEW_ROWS, bucket_column
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import by_interval, format_count, format_points
from mematlas.findings.finding import Axis, Chart, Finding, Table
from mematlas.stats.regression.curves import POINTS_FOR_INTERVAL, fit_log_linear

_KEY_COLUMNS: Final = {
    "model": "label of the model",
    "role": ROLE_DESCRIPTION,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "scope": SCOPE_DESCRIPTION,
}
_SHARE_COLUMNS: Final = {
    **_KEY_COLUMNS,
    "bucket": BUCKET_COLUMNS["bucket"],
    "copies": "geometric mean of the copies of context + continuation of the bucket's rows, their own among them",
    "rows": "rows scored",
    "memorized": "rows with M = 1",
    "share": "memorized / rows",
    "share_lower": "lower end of its 95 % interval (Wilson's; clustered where rows come in clusters)",
    "share_upper": "upper end of it",
    **SAMPLE_COLUMNS,
    "few": BUCKET_COLUMNS["few"],
}
_SLOPE_COLUMNS: Final = {
    **_KEY_COLUMNS,
    "points": f"buckets fitted, each weighing its {EFFECTIVE_ROWS}",
    "rows": "rows in them",
    "clusters": "clusters (documents, joined where they share 13 tokens; else rows) of these rows",
    "slope": "change of the memorized share per tenfold of copies",
    "slope_error": "its standard error, from the scatter of buckets about the line; null below 3 points, and without",
    "slope_lower": "lower end of its 95 % interval (Student's t over buckets)",
    "slope_upper": "upper end of it",
    "r2": "explained share of the variance between buckets",
    "reason": "why a number is null",
}
_AGREEMENT_COLUMNS: Final = {
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "scope": SCOPE_DESCRIPTION,
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


def copy_buckets(score_rows: pl.DataFrame) -> pl.DataFrame:
    """Rows and memorized rows by bucket of copies, and by cluster where `score_rows` has one.

    Args:
        score_rows: model, role, context, continuation, recited, window_rows, window_documents, window_stream (or some
            of these three), maybe cluster; one record per scored row, or per group of `rows` alike. Records with null
            or 0 copies in a scope are left out of that scope.

    Returns:
        model, role, context, continuation, scope, bucket, copies (geometric mean over the bucket), maybe cluster, rows,
        memorized; of clusters in any order.
    """
    row_weight = pl.col("rows") if "rows" in score_rows.columns else pl.lit(1, pl.Int64)
    unit = ["cluster"] if "cluster" in score_rows.columns else []
    parts = []
    for scope_order, scope in enumerate(name for name in SCOPES if f"window_{name}" in score_rows.columns):
        copies = pl.col(f"window_{scope}")
        counted = score_rows.filter(copies >= 1).with_columns(weight=row_weight)
        # numbers of copies in their order, as the last digits of a mean depend on it
        levels = counted.group_by(*KEYS, f"window_{scope}").agg(pl.col("weight").sum()).sort(*KEYS, f"window_{scope}")
        log_mean = (copies.log(10) * pl.col("weight")).sum() / pl.col("weight").sum()
        levels = levels.with_columns(bucket_column(levels[f"window_{scope}"]))
        mean_copies = levels.group_by(*KEYS, "bucket", maintain_order=True).agg(copies=10**log_mean)
        memorized = (pl.col("recited").cast(pl.Int64) * pl.col("weight")).sum()
        bucketed = counted.with_columns(bucket_column(counted[f"window_{scope}"]))
        counts = bucketed.group_by(*KEYS, "bucket", *unit).agg(rows=pl.col("weight").sum(), memorized=memorized)
        counts = counts.join(mean_copies, on=[*KEYS, "bucket"])
        parts.append(counts.with_columns(pl.lit(scope).alias("scope"), order=scope_order))
    columns = (*_KEY_COLUMNS, "bucket", "copies", *unit, "rows", "memorized")
    counts = pl.concat(parts)
    return (counts if unit else counts.sort(*KEYS, "order", "bucket")).select(columns)


def copy_slopes(counts: pl.DataFrame) -> pl.DataFrame:
    """The log-linear slope of each model, role, cell and scope of `copy_buckets` with at least two buckets.

    A bucket weighs as many as the independent rows that would know its share as well.
    """
    return _slopes(with_shares(counts, "memorized"), _units(counts))


def _units(counts: pl.DataFrame) -> pl.DataFrame:
    """The clusters, or else the rows, of the buckets of each slope: _KEY_COLUMNS, units."""
    units = pl.col("cluster").n_unique() if "cluster" in counts.columns else pl.col("rows").sum()
    return counts.group_by(*_KEY_COLUMNS).agg(units.cast(pl.Int64).alias("units"))


def _slopes(bucket_shares: pl.DataFrame, units: pl.DataFrame) -> pl.DataFrame:
    """`copy_slopes` from the shares of the buckets, and from `_units`."""
    records = []
    shares = with_effective_rows(bucket_shares, "memorized").join(units, on=list(_KEY_COLUMNS))
    for key, buckets in shares.sort(*_KEY_COLUMNS, "copies").group_by(*_KEY_COLUMNS, maintain_order=True):
        if buckets.height < 2:
            continue
        fit = fit_log_linear(buckets["copies"], buckets["share"], buckets["effective_rows"])
        too_few = f"an interval needs {POINTS_FOR_INTERVAL} buckets" if buckets.height < POINTS_FOR_INTERVAL else None
        reason = too_few or ("all shares are equal: no interval, no R2" if fit.lower is None else None)
        numbers = (fit.slope, fit.standard_error, fit.lower, fit.upper, fit.r2, reason)
        records.append((*key, buckets.height, buckets["rows"].sum(), buckets["units"][0], *numbers))
    types: dict[str, Any] = dict.fromkeys(("model", "role", "scope", "reason"), pl.String)
    types |= dict.fromkeys(("points", "rows", "clusters"), pl.Int64)
    schema = {name: bucket_shares.schema.get(name, types.get(name, pl.Float64)) for name in _SLOPE_COLUMNS}
    return pl.DataFrame(records, schema=schema, orient="row")


def copy_agreement(rows: pl.DataFrame) -> pl.DataFrame:
    """Copies in the corpus by number of recorded repetitions, over the rows where both are known.

    Args:
        rows: context, continuation, repetitions, window_rows, window_documents, window_stream.
    """
    parts = []
    for scope in SCOPES:
        copies = pl.col(f"window_{scope}")
        both_known = rows.filter(copies.is_not_null(), pl.col("repetitions").is_not_null())
        counts = both_known.group_by("context", "continuation", pl.lit(scope).alias("scope"), "repetitions").agg(
            pl.len().cast(pl.Int64).alias("rows"),
            (copies == pl.col("repetitions")).sum().cast(pl.Int64).alias("equal"),
            copies.min().alias("fewest_copies"),
            copies.mean().alias("mean_copies"),
            copies.max().alias("most_copies"),
        )
        parts.append(counts.sort("repetitions"))
    return pl.concat(parts).select(*_AGREEMENT_COLUMNS)


def _rows_with_copies(tables: Tables, cell: Cell, role: str) -> pl.DataFrame:
    copies = tables.features["copies"].filter(context=cell.context, continuation=cell.continuation)
    return tables.rows.filter(role=role).join(copies, on="row").collect(engine="streaming")


# ------------------------------------------------------------------------------------------------------- the finding


def _claim(cell: Cell, scope: str, buckets: pl.DataFrame, slope: dict[str, Any] | None) -> str:
    """The claim, from the buckets and the slope of one model in one cell."""
    ordered = buckets.sort("bucket")
    claim_buckets = (
        ordered.filter(~pl.col("few")) if ordered.filter(~pl.col("few")).height > 1 else ordered
    ).to_dicts()
    start = f"At {cell} tokens {claim_buckets[0]['model']} recites"
    end_points = [
        f"{format_share(bucket, 'share')} of the {format_count(bucket['rows'])} with {_copy_count(bucket['copies'])} "
        f"in the corpus (within {scope})"
        for bucket in (claim_buckets[0], claim_buckets[-1])
    ]
    if slope is None:
        return (
            f"{start} {end_points[0]}; all rows fall into one bucket of copies, so that growth with them cannot be "
            "said."
        )
    change = f"{100 * slope['slope']:+.1f} percentage points per tenfold of copies"
    if slope["slope_lower"] is None:
        interval = f"no interval: {slope['reason']}"
    else:
        interval = f"95 % interval {100 * slope['slope_lower']:+.1f} to {100 * slope['slope_upper']:+.1f}"
    return (
        f"{start} {end_points[0]} and {end_points[1]}: {change} ({interval}; {slope['points']} buckets, "
        f"{slope['rows']:,} rows)."
    )


def _copy_count(count: float) -> str:
    rounded = round(count)
    if abs(count - rounded) < 1e-6 * count:
        return "1 copy" if rounded == 1 else f"{rounded:,} copies"
    return f"about {count:,.{0 if count > 10 else 1}f} copies"


def _caveats(
    tables: Tables, cell: Cell, scope: str, counts: pl.DataFrame, agreement: pl.DataFrame, *, has_slope: bool
) -> tuple[str, ...]:
    train = counts.filter(role="train", context=cell.context, continuation=cell.continuation)
    copies = pl.col(f"window_{scope}")
    missing_by_model = train.group_by("model").agg(
        unknown=pl.col("rows").filter(copies.is_null()).sum(), absent=pl.col("rows").filter(copies == 0).sum()
    )
    unknown, absent = (max(missing_by_model[name].to_list(), default=0) for name in ("unknown", "absent"))
    caveats = {
        f"{unknown:,} training rows have no count of copies and are left out.": unknown,
        f"{absent:,} training rows have no copy in the corpus that was counted, not even their own, and are left out: "
        "is it the corpus they come from?": absent,
        "All points of a slope come from the same rows: its interval says how well the buckets lie on a "
        "line.": has_slope,
        _disagreement(agreement.filter(scope=scope)): agreement.filter(scope=scope).height,
        "The study has no control rows: a floor of lucky guesses is unknown.": not tables.has_control,
    }
    return tuple(text for text, applies in caveats.items() if applies)


def _disagreement(agreement: pl.DataFrame) -> str:
    """A sentence that compares copies with repetitions."""
    rows, equal = agreement["rows"].sum(), agreement["equal"].sum()
    if rows == equal:
        return f"All {rows:,} rows with a recorded number of repetitions have as many copies in the corpus."
    start = f"{equal:,} of {rows:,} rows have as many copies in the corpus as repetitions in training"
    most_copies, most_repetitions = (
        max(agreement[name].to_list(), default=0) for name in ("most_copies", "repetitions")
    )
    if most_copies == 1 and most_repetitions > 1:
        return (
            f"{start}: the corpus holds each row once, though rows were shown up to {most_repetitions:,} times, so "
            "that copies in "
            "it do not say how often a row was trained on (the analysis scaling takes the repetitions)."
        )
    return f"{start}: copies in the corpus are not how often a row was trained on."


def _control(tables: Tables, cell: Cell, scope: str) -> tuple[str | None, str | None]:
    """Whether control rows occur in the corpus: the sentence for `control`, and the caveat if they do."""
    rows = _rows_with_copies(tables, cell, "control").drop_nulls(f"window_{scope}")
    leaked = rows.filter(pl.col(f"window_{scope}") > 0).height
    if not rows.height:
        return None, None
    if not leaked:
        return f"None of {rows.height:,} control rows has a copy in the corpus at {cell} tokens.", None
    leak = f"{leaked:,} of {rows.height:,} control rows have a copy in the corpus at {cell} tokens"
    return f"{leak}.", f"The control leaks: {leak}, so that a model may have been trained on them."


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


def _insufficient_data(tables: Tables, cell: Cell | None, scopes: tuple[str, ...]) -> Finding | None:
    if not tables.complete:
        remedy = "Score the rows yourself: `mematlas score MODEL MODEL ... --corpus PATH --study FOLDER`."
        return ANALYSIS.insufficient_data(tables, _QUESTION, "scores of all rows, not of recited rows alone", remedy)
    if not scopes:
        what = "a count of each row's copies in the corpus"
        return ANALYSIS.insufficient_data(tables, _QUESTION, what, "Make row features: `mematlas features STUDY`.")
    if cell is None:
        return ANALYSIS.insufficient_data(tables, _QUESTION, "scored training rows", LONGER_ROWS)
    return None


def compute(tables: Tables) -> Finding:
    """Shares by copies in every cell and scope; the claim is about the largest model in the reference cell."""
    cell, scopes = nearest_cell(tables), known_scopes(tables)
    missing_finding = _insufficient_data(tables, cell, scopes)
    if missing_finding or cell is None:
        return missing_finding or ANALYSIS.insufficient_data(tables, _QUESTION, "scored rows", "Score rows.")
    counts = counts_by_copies(tables, by_cluster=False)
    claim_keys = {"role": "train", "context": cell.context, "continuation": cell.continuation, "scope": scopes[0]}
    shares, slopes = _shares_and_slopes(tables)
    headline_model = next(
        (model for model in reversed(tables.by_size) if shares.filter(model=model, **claim_keys).height), None
    )
    if headline_model is None:
        what = "training rows whose copies in the corpus were counted"
        return ANALYSIS.insufficient_data(tables, _QUESTION, what, "Make row features: `mematlas features STUDY`.")
    slope = next(slopes.filter(model=headline_model, **claim_keys).iter_rows(named=True), None)
    agreement = copy_agreement(_rows_with_copies(tables, cell, "train"))
    control, leak = _control(tables, cell, scopes[0])
    charted_buckets = shares.filter(pl.col("scope") == scopes[0], pl.col("continuation") == cell.continuation)["bucket"]
    caveats = _caveats(tables, cell, scopes[0], counts, agreement, has_slope=slope is not None)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(cell, scopes[0], shares.filter(model=headline_model, **claim_keys), slope),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=_strength(slope),
        control=control,
        tables=(*_tables(shares, slopes, agreement, cell), *near_tables(tables)),
        charts=(_chart(cell, scopes[0]),) if charted_buckets.n_unique() > 1 else (),
        caveats=(leak, *caveats) if leak else caveats,
        deviations=_DEVIATIONS,
        headline=_headline(slope),
        sentence=_sentence(shares.filter(model=headline_model, **claim_keys), slope),
    )


def _headline(slope: dict[str, Any] | None) -> str:
    """Whether the share grows with copies, by the interval of its slope."""
    if slope is None:
        return "All rows have about as many copies, so growth is unknown"
    more, less = (f"Rows with more copies in the corpus are recited {word} often" for word in ("more", "less"))
    unclear = "Copies in the corpus make no clear difference"
    return by_interval(slope["slope_lower"], slope["slope_upper"], more, less, unclear)


def _sentence(buckets: pl.DataFrame, slope: dict[str, Any] | None) -> str:
    """The slope; without it the share of the only bucket."""
    first = buckets.row(0, named=True)
    if slope is None:
        share, copies = format_share(first, "share"), _copy_count(first["copies"])
        return f"{first['model']} recites {share} of {format_count(first['rows'])} with {copies}."
    change = f"{format_points(slope, 'slope')} per tenfold of copies"
    of = f"{slope['points']} buckets of {format_count(slope['rows'])}"
    return f"The share that {first['model']} recites changes by {change}, over {of}."


def _shares_and_slopes(tables: Tables) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The tables of shares and of slopes; the counts of one scope are in memory at a time."""
    shares, slopes = [], []
    for scope in SCOPES:
        counts = counts_by_copies(tables, (scope,)).filter(pl.col("role") != "control")
        buckets = copy_buckets(counts)
        bucket_shares = with_shares(buckets, "memorized")
        shares.append(bucket_shares.with_columns((pl.col("rows") < FEW_ROWS).alias("few")))
        slopes.append(_slopes(bucket_shares, _units(buckets)))
    ordered_shares = in_model_order(pl.concat(shares), tables, "scope", "bucket")
    return ordered_shares.select(*_SHARE_COLUMNS), in_model_order(pl.concat(slopes), tables, "scope")


def _strength(slope: dict[str, Any] | None) -> float | None:
    return None if slope is None or not slope["slope_error"] else abs(slope["slope"]) / slope["slope_error"]


def _tables(shares: pl.DataFrame, slopes: pl.DataFrame, agreement: pl.DataFrame, cell: Cell) -> tuple[Table, ...]:
    recipe = _AGREEMENT_RECIPE.format(cell)
    tables = (
        Table("shares", "Memorized share by copies in the corpus", shares, _SHARE_COLUMNS, _SHARES_RECIPE),
        Table("slopes", "Slope of the memorized share per tenfold of copies", slopes, _SLOPE_COLUMNS, _SLOPES_RECIPE),
        Table(
            "agreement", "Copies in the corpus beside repetitions in training", agreement, _AGREEMENT_COLUMNS, recipe
        ),
    )
    return tuple(table for table in tables if table.frame.height)


ANALYSIS = Analysis(
    "repetition",
    "Copies in the corpus",
    "P9, Figure 1b",
    "row features (copies in the corpus); all rows scored",
    compute,
)
