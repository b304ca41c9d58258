"""Where else in the corpus a row's continuation stands, counted with the scores.

Source: our choice. The other places of a continuation are the places of its tokens in the corpus beside the row's own:
its copies less one for a row of the corpus, all of them for a control row. Where the corpus was counted in the order of
training, each place counts as often as it was shown, and the row's own as often as the row. Unknown for a row of the
corpus of which not even its own place was counted: within documents no place counts that crosses the end of one.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.frames.score_lines import lines
from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.metrics.extractable import extractable
from mematlas.stats.estimates.differences import difference_of_shares
from mematlas.study import Study

SCOPES: Final = ("documents", "rows", "stream")
SCOPE: Final = "places count within documents, within rows, or on the raw stream of tokens across both"
KINDS: Final = ("recited", "not recited")
KIND: Final = "recited: rows with M = 1; not recited: all other rows scored"
GROUP: Final = ("model", "role", "context", "continuation", "scope", "kind")
OTHERS: Final = ("nowhere else", "1 other place", "2 to 9 other places", "10 to 99 other places", "100 or more")
_FROM: Final = (1, 2, 10, 100)
_CELL_KEYS: Final = ("row", "context", "continuation")
_COPIES: Final = tuple(f"continuation_{scope}" for scope in SCOPES)


def scopes(tables: Tables) -> tuple[str, ...]:
    """The scopes for which copies of continuations are known, the one that claims speak of first: that of counts."""
    if "copies" not in tables.features:
        return ()
    known = tables.features["copies"].select(pl.col(name).is_not_null().any() for name in _COPIES)
    found = known.collect(engine="streaming").row(0, named=True)
    ordered = sorted(SCOPES, key=lambda scope: scope != tables.facts.get("scope"))
    return tuple(scope for scope in ordered if found[f"continuation_{scope}"])


def places(tables: Tables, scope: str, role: str = "role") -> pl.Expr:
    """Places beside the row's own; `role`: the column that says whether the corpus holds the row ("train")."""
    copies = pl.col(f"continuation_{scope}")
    own = pl.col("repetitions") if tables.facts.get("ordered") else pl.lit(1, pl.Int64)
    return pl.when(pl.col(role) != "train").then(copies).when(own <= copies).then(copies - own)


def copies_of(tables: Tables) -> pl.LazyFrame:
    """Copies of continuations by scope: row, context, continuation, continuation_documents, ..."""
    return tables.features["copies"].select(*_CELL_KEYS, *_COPIES)


def recited_with_copies(tables: Tables, **where: Any) -> pl.LazyFrame:
    """Recited score lines: model, row, context, continuation, role, repetitions of the row, and its copies."""
    scored = tables.scores.filter(**where).filter(extractable.expression()).select("model", *_CELL_KEYS)
    rows = tables.rows.select("row", "role", "repetitions")
    return scored.join(rows, on="row").join(copies_of(tables), on=_CELL_KEYS, how="left")


def counts(tables: Tables) -> pl.DataFrame:
    """How many scored rows stand at so many other places: GROUP, others (one of OTHERS; null: not known), rows.

    Where only recited rows were published, these alone are counted.
    """
    known = scopes(tables)
    scored = tables.scores.select("model", *_CELL_KEYS, extractable.expression().alias("recited"))
    scored = scored.filter(pl.col("recited").is_not_null() if tables.complete else "recited")
    joined = scored.join(tables.rows.select("row", "role", "repetitions"), on="row").join(
        copies_of(tables), on=_CELL_KEYS, how="left"
    )
    keys = ("model", "role", "context", "continuation", "kind")
    wide = (
        joined.with_columns(_bin(places(tables, scope)).alias(f"in_{scope}") for scope in known)
        .with_columns(_role(tables), _kind())
        .group_by(*keys, *(f"in_{scope}" for scope in known))
        .agg(rows=pl.len().cast(pl.Int64))
        .collect(engine="streaming")
    )
    return pl.concat(
        wide.group_by(*keys, others=_named(scope)).agg(pl.sum("rows")).with_columns(scope=pl.lit(scope))
        for scope in known
    ).select(*GROUP, "others", "rows")


def lines_elsewhere(study: Study, run: str | None = None, **where: Any) -> pl.DataFrame:
    """The columns of `recount.lines`, each line once a scope, with the places of its continuation in the corpus.

    Args:
        where: only lines with these values of the columns of `recount.lines`.

    Returns:
        also scope ("documents", "rows", "stream"), kind ("recited", "not recited"), places (how many beside the row's
        own; null where not even its own was counted) and others (the same in words).

    Raises:
        StudyError: the run is not finished, or has no row features.
    """
    study.scan_features("copies", run)
    tables = read_tables(study, run)
    found = lines(study, run, **where).join(copies_of(tables).collect(), on=_CELL_KEYS, how="left")
    found = found.join(tables.rows.select("row", held="role").collect(), on="row").with_columns(_kind())
    return pl.concat(
        found.with_columns(scope=pl.lit(scope), places=places(tables, scope, "held"))
        .with_columns(_bin(pl.col("places")).alias(f"in_{scope}"))
        .with_columns(others=_named(scope))
        .drop("held", f"in_{scope}")
        for scope in scopes(tables)
    )


def elsewhere_contrasts(shares: pl.DataFrame) -> pl.DataFrame:
    """Share of recited rows that stand elsewhere less that of the rows not recited, with its 95 % interval.

    Args:
        shares: GROUP, rows, elsewhere (rows that stand elsewhere, too).

    Returns:
        GROUP but kind; rows, elsewhere of recited rows; other_rows, other_elsewhere of the others; difference,
        difference_lower, difference_upper. Only groups that hold rows of both kinds.
    """
    place = [name for name in GROUP if name != "kind"]
    known = shares.select(*GROUP, "rows", "elsewhere").with_columns(pl.col("rows", "elsewhere").cast(pl.Int64))
    recited, not_recited = (known.filter(kind=kind).drop("kind") for kind in KINDS)
    renamed = not_recited.rename({"rows": "other_rows", "elsewhere": "other_elsewhere"})
    found = recited.join(renamed, on=place, maintain_order="left")
    columns = ("elsewhere", "rows", "other_elsewhere", "other_rows")
    differences = [difference_of_shares((a, b), (c, d)) for a, b, c, d in found.select(columns).iter_rows()]
    names = {"difference": "estimate", "difference_lower": "lower", "difference_upper": "upper"}
    return found.with_columns(
        pl.Series(name, [getattr(one, field) for one in differences], pl.Float64) for name, field in names.items()
    )


def _bin(number: pl.Expr) -> pl.Expr:
    """Which of OTHERS a number of places is, null where it is null."""
    return pl.sum_horizontal((number >= least).cast(pl.Int8) for least in _FROM).pipe(
        lambda total: pl.when(number.is_not_null()).then(total)
    )


def _named(scope: str) -> pl.Expr:
    return pl.col(f"in_{scope}").replace_strict(list(range(len(OTHERS))), list(OTHERS), return_dtype=pl.String)


def _kind() -> pl.Expr:
    return pl.when("recited").then(pl.lit(KINDS[0])).otherwise(pl.lit(KINDS[1])).alias("kind")


def _role(tables: Tables) -> pl.Expr:
    is_control = pl.col("model").is_in(tables.control_models)
    return pl.when(is_control).then(pl.lit("control model")).otherwise("role").alias("role")
