"""Other occurrences in the corpus of the continuations that were scored.

Source: our choice. The other occurrences of a continuation are all its copies in the corpus except the row's own: its
copies minus one for a row of the corpus, all of them for a control row. If the corpus was counted in training order,
each occurrence counts as often as it was shown, and the row's own as often as the row. The number is unknown for a row
of the corpus whose own occurrence was not counted, e.g. within documents if it crosses the end of a document.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.frames.score_lines import lines
from mematlas.analyses.frames.share_differences import share_differences
from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.metrics.extractable import extractable
from mematlas.study import Study

SCOPES: Final = ("documents", "rows", "stream")
SCOPE: Final = "places count within documents, within rows, or on the raw stream of tokens across both"
KINDS: Final = ("recited", "not recited")
KIND: Final = "recited: rows with M = 1; not recited: all other rows scored"
KEYS: Final = ("model", "role", "context", "continuation", "scope", "kind")
OCCURRENCE_BINS: Final = (
    "nowhere else",
    "1 other place",
    "2 to 9 other places",
    "10 to 99 other places",
    "100 or more",
)
_BIN_STARTS: Final = (1, 2, 10, 100)
_CELL_KEYS: Final = ("row", "context", "continuation")
_COPY_COLUMNS: Final = tuple(f"continuation_{scope}" for scope in SCOPES)


def scopes(tables: Tables) -> tuple[str, ...]:
    """The scopes for which copies of continuations are known; first the scope of the counts, which claims use."""
    if "copies" not in tables.features:
        return ()
    any_known = tables.features["copies"].select(pl.col(name).is_not_null().any() for name in _COPY_COLUMNS)
    is_known = any_known.collect(engine="streaming").row(0, named=True)
    ordered = sorted(SCOPES, key=lambda scope: scope != tables.facts.get("scope"))
    return tuple(scope for scope in ordered if is_known[f"continuation_{scope}"])


def other_occurrences(tables: Tables, scope: str, role: str = "role") -> pl.Expr:
    """The number of occurrences other than the row's own.

    Args:
        role: the column that is "train" for rows of the corpus.
    """
    copies = pl.col(f"continuation_{scope}")
    own = pl.col("repetitions") if tables.facts.get("ordered") else pl.lit(1, pl.Int64)
    return pl.when(pl.col(role) != "train").then(copies).when(own <= copies).then(copies - own)


def continuation_copies(tables: Tables) -> pl.LazyFrame:
    """Copies of continuations by scope: row, context, continuation, continuation_documents, ..."""
    return tables.features["copies"].select(*_CELL_KEYS, *_COPY_COLUMNS)


def recited_rows_with_copies(tables: Tables, **filters: Any) -> pl.LazyFrame:
    """Recited scores: model, row, context, continuation, role, repetitions of the row, and its copies."""
    scored = tables.scores.filter(**filters).filter(extractable.expression()).select("model", *_CELL_KEYS)
    rows = tables.rows.select("row", "role", "repetitions")
    return scored.join(rows, on="row").join(continuation_copies(tables), on=_CELL_KEYS, how="left")


def occurrence_counts(tables: Tables) -> pl.DataFrame:
    """Scored rows by number of other occurrences: KEYS, others (one of OCCURRENCE_BINS; null: not known), cluster where
    rows come in clusters, rows.

    If only recited rows were published, only these are counted.
    """
    known_scopes = scopes(tables)
    scores = tables.scores.select("model", *_CELL_KEYS, extractable.expression().alias("recited"))
    scores = scores.filter(pl.col("recited").is_not_null() if tables.complete else "recited")
    rows = tables.clustered_rows.select("row", "role", "repetitions", *tables.cluster_key)
    joined = scores.join(rows, on="row").join(continuation_copies(tables), on=_CELL_KEYS, how="left")
    keys = ("model", "role", "context", "continuation", "kind", *tables.cluster_key)
    wide = (
        joined.with_columns(
            _occurrence_bin(other_occurrences(tables, scope)).alias(f"in_{scope}") for scope in known_scopes
        )
        .with_columns(_role_column(tables), _kind_column())
        .with_columns(**tables.coded_keys, kind=pl.col("kind").cast(pl.Enum(KINDS)))
        .group_by(*keys, *(f"in_{scope}" for scope in known_scopes))
        .agg(rows=pl.len().cast(pl.Int64))
        .collect(engine="streaming")
    )
    scope_type = pl.Enum(SCOPES)
    counts = [
        wide.group_by(*keys, others=_bin_label(scope)).agg(pl.sum("rows"), scope=pl.lit(scope, scope_type))
        for scope in known_scopes
    ]
    return pl.concat(counts).select(*KEYS, "others", *tables.cluster_key, "rows")


def lines_elsewhere(study: Study, run: str | None = None, **where: Any) -> pl.DataFrame:
    """The scores of `recount.lines`, once per scope, with the other occurrences of their continuations.

    Args:
        where: only scores with these values in the columns of `recount.lines`.

    Returns:
        the columns of `recount.lines`, scope ("documents", "rows", "stream"), kind ("recited", "not recited"), places
        (number of other occurrences; null where the row's own was not counted) and others (the same in words).

    Raises:
        StudyError: the run is not finished, or has no row features.
    """
    study.scan_features("copies", run)
    tables = read_tables(study, run)
    score_rows = lines(study, run, **where).join(continuation_copies(tables).collect(), on=_CELL_KEYS, how="left")
    score_rows = score_rows.join(tables.rows.select("row", held="role").collect(), on="row").with_columns(
        _kind_column()
    )
    return pl.concat(
        score_rows.with_columns(scope=pl.lit(scope), places=other_occurrences(tables, scope, "held"))
        .with_columns(_occurrence_bin(pl.col("places")).alias(f"in_{scope}"))
        .with_columns(others=_bin_label(scope).cast(pl.String))
        .drop("held", f"in_{scope}")
        for scope in scopes(tables)
    )


def elsewhere_contrasts(counts: pl.DataFrame) -> pl.DataFrame:
    """Share of recited rows that occur elsewhere minus that of rows not recited, with its 95 % interval.

    Args:
        counts: KEYS, rows, elsewhere (rows that also occur elsewhere); with a column cluster the counts are those of
            clusters (see `share_differences`).

    Returns:
        KEYS except kind; rows, elsewhere of recited rows; other_rows, other_elsewhere of the others; clusters of both;
        difference, difference_lower, difference_upper. Only keys with rows of both kinds.
    """
    return share_differences(counts, "elsewhere", [name for name in KEYS if name != "kind"], "kind", *KINDS)


def _occurrence_bin(count: pl.Expr) -> pl.Expr:
    """The index in OCCURRENCE_BINS of a number of occurrences, null where it is null."""
    return pl.sum_horizontal((count >= bin_start).cast(pl.Int8) for bin_start in _BIN_STARTS).pipe(
        lambda bin_index: pl.when(count.is_not_null()).then(bin_index)
    )


def _bin_label(scope: str) -> pl.Expr:
    return pl.col(f"in_{scope}").replace_strict(
        list(range(len(OCCURRENCE_BINS))), list(OCCURRENCE_BINS), return_dtype=pl.Enum(OCCURRENCE_BINS)
    )


def _kind_column() -> pl.Expr:
    return pl.when("recited").then(pl.lit(KINDS[0])).otherwise(pl.lit(KINDS[1])).alias("kind")


def _role_column(tables: Tables) -> pl.Expr:
    is_control = pl.col("model").is_in(tables.control_models)
    return pl.when(is_control).then(pl.lit("control model")).otherwise("role").alias("role")
