"""The tables of `provenance`: their columns, and the Python that recomputes each."""

from typing import Final

import polars as pl

from mematlas.analyses.corpus.provenance.other_occurrences import (
    KEYS,
    KIND,
    KINDS,
    OCCURRENCE_BINS,
    SCOPE,
    elsewhere_contrasts,
    recited_rows_with_copies,
)
from mematlas.analyses.frames.memorized_shares import ROLE_DESCRIPTION, in_model_order
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS, shares_of_all, with_shares
from mematlas.analyses.frames.share_differences import CLUSTERS_COLUMN
from mematlas.analyses.frames.study_tables import Tables
from mematlas.findings.finding import Table

_MAX_LISTED: Final = 1000  # rows of the tables that list control rows
_KEY_COLUMNS: Final = {
    "model": "label of the model",
    "role": ROLE_DESCRIPTION,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "scope": SCOPE,
}
_SHARE_COLUMNS: Final = {
    **_KEY_COLUMNS,
    "kind": KIND,
    "rows": "rows scored of which it is known",
    "elsewhere": "rows whose continuation stands at another place of the corpus, too; of control rows: at any place",
    "share": "elsewhere / rows",
    "share_lower": "lower end of its 95 % interval (Wilson's; clustered where rows come in clusters)",
    "share_upper": "upper end of it",
    **SAMPLE_COLUMNS,
}
_CONTRAST_COLUMNS: Final = {
    **_KEY_COLUMNS,
    "rows": "recited rows",
    "elsewhere": "of these, rows whose continuation stands elsewhere, too",
    "other_rows": "rows not recited",
    "other_elsewhere": "of these, rows whose continuation stands elsewhere, too",
    "difference": "elsewhere / rows - other_elsewhere / other_rows",
    "difference_lower": "lower end of its 95 % interval (Newcombe's; clustered where rows come in clusters)",
    "difference_upper": "upper end of it",
    **CLUSTERS_COLUMN,
}
_DISTRIBUTION_COLUMNS: Final = {
    **_KEY_COLUMNS,
    "kind": KIND,
    "others": "places of the continuation in the corpus beside the row's own",
    "rows": "rows with so many",
    "of": "rows of this kind",
    "share": "rows / of",
    "share_lower": "lower end of its 95 % interval (Wilson's; clustered where rows come in clusters)",
    "share_upper": "upper end of it",
    **SAMPLE_COLUMNS,
}
_LEAK_COLUMNS: Final = {
    "model": "label of the model that recites the control row",
    "row": "id of the control row",
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "continuation_documents": "places of its continuation in the corpus within documents",
    "continuation_rows": "the same within rows",
    "continuation_stream": "the same on the raw stream of tokens",
}
_OCCURRENCE_COLUMNS: Final = {
    "row": "id of the control row",
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "elsewhere": "places of its continuation in the corpus",
    "place": "which of them, in the corpus' order",
    "corpus_row": "id of the row of the corpus in which it starts",
    "offset": "tokens from that row's start",
    "source": "file or collection of that row",
    "document": "number of the row's document in its source",
    "training_step": "step that showed that row, from 0; unknown where the corpus does not say",
}
_SHARES_RECIPE: Final = """\
lines = recount.lines_elsewhere(study).drop_nulls("places")
cells = lines.group_by("model", "role", "context", "continuation", "scope", "kind", "cluster")
answer = recount.with_shares(cells.agg(rows=pl.len(), elsewhere=(pl.col("places") > 0).sum()), "elsewhere")"""
_CONTRASTS_RECIPE: Final = """\
lines = recount.lines_elsewhere(study).drop_nulls("places")
cells = lines.group_by("model", "role", "context", "continuation", "scope", "kind", "cluster")
answer = recount.elsewhere_contrasts(cells.agg(rows=pl.len(), elsewhere=(pl.col("places") > 0).sum()))"""
_DISTRIBUTION_RECIPE: Final = """\
place = ["model", "role", "context", "continuation", "scope", "kind"]
counts = recount.lines_elsewhere(study).drop_nulls("places").group_by(*place, "others", "cluster").len("rows")
answer = recount.with_shares(recount.out_of_all(counts, *place), "rows", "of")"""
_LEAKS_RECIPE: Final = """\
lines = recount.lines(study, role="control").filter("recited")
found = lines.join(study.features("copies"), on=["row", "context", "continuation"])
answer = found.filter(pl.max_horizontal("^continuation_.*$") > 0)"""
_PLACES_RECIPE: Final = """\
control = study.rows().filter(role="control").select("row")
answer = study.features("places").drop_nulls("place").join(control, on="row")"""


def elsewhere_counts(counts: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """Rows, and rows that also occur elsewhere, by model, role, cell, scope and kind, and cluster where there are any.

    Args:
        counts: from `occurrence_counts`.
    """
    elsewhere = pl.col("rows").filter(pl.col("others") != OCCURRENCE_BINS[0]).sum()
    by_key = counts.drop_nulls("others").group_by(*KEYS, *tables.cluster_key)
    return by_key.agg(pl.sum("rows"), elsewhere=elsewhere)


def elsewhere_shares(elsewhere: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """Share of rows that also occur elsewhere (see `elsewhere_counts`)."""
    return _in_table_order(with_shares(elsewhere, "elsewhere"), tables).select(*_SHARE_COLUMNS)


def recited_contrasts(elsewhere: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """Recited rows compared with the others (see `elsewhere_counts`), where there are both."""
    return _in_table_order(elsewhere_contrasts(elsewhere), tables).select(*_CONTRAST_COLUMNS)


def _distribution(counts: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    shares = shares_of_all(counts.drop_nulls("others"), *KEYS)
    return _in_table_order(shares, tables).select(*_DISTRIBUTION_COLUMNS)


def _in_table_order(frame: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """Sorted with kinds and numbers of occurrences in their logical order, not alphabetically."""
    orders = {"kind": KINDS, "others": OCCURRENCE_BINS}
    enum_columns = [name for name in orders if name in frame.columns]
    named = frame.with_columns(pl.col(pl.Enum).cast(pl.String))
    ordered = named.with_columns(pl.col(name).cast(pl.Enum(orders[name])) for name in enum_columns)
    keys = [name for name in ("scope", "kind", "others") if name in frame.columns]
    return in_model_order(ordered, tables, *keys).with_columns(pl.col(pl.Enum).cast(pl.String))


def _leaks(tables: Tables) -> pl.DataFrame:
    """Recited control rows that occur in the corpus, within any scope."""
    copy_columns = [name for name in _LEAK_COLUMNS if name.startswith("continuation_")]
    recited = recited_rows_with_copies(tables).filter(pl.col("model").is_in(tables.family), role="control")
    leaked = recited.filter(pl.max_horizontal(copy_columns) > 0).select(*_LEAK_COLUMNS)
    return leaked.sort("model", "row", "context", "continuation").head(_MAX_LISTED).collect()


def _control_occurrences(tables: Tables) -> pl.DataFrame:
    """The occurrences of control rows in the corpus that were located."""
    if "places" not in tables.features:
        return pl.DataFrame(schema=dict.fromkeys(_OCCURRENCE_COLUMNS, pl.Int64))
    control = tables.rows.filter(role="control").select("row")
    occurrences = tables.features["places"].drop_nulls("place").join(control, on="row").select(*_OCCURRENCE_COLUMNS)
    return occurrences.sort("row", "context", "continuation", "place").head(_MAX_LISTED).collect()


def provenance_tables(
    study_tables: Tables, counts: pl.DataFrame, shares: pl.DataFrame, contrasts: pl.DataFrame
) -> tuple[Table, ...]:
    """The tables that are not empty."""
    leaks_title = f"Recited control rows that stand in the corpus (at most {_MAX_LISTED:,} lines)"
    occurrences_title = f"Where recited control rows stand in the corpus (at most {_MAX_LISTED:,} lines)"
    tables = (
        Table("shares", "Rows that stand elsewhere in the corpus too", shares, _SHARE_COLUMNS, _SHARES_RECIPE),
        Table("contrasts", "Recited rows against the others", contrasts, _CONTRAST_COLUMNS, _CONTRASTS_RECIPE),
        Table(
            "distribution",
            "Other places of a row",
            _distribution(counts, study_tables),
            _DISTRIBUTION_COLUMNS,
            _DISTRIBUTION_RECIPE,
        ),
        Table("leaks", leaks_title, _leaks(study_tables), _LEAK_COLUMNS, _LEAKS_RECIPE),
        Table("places", occurrences_title, _control_occurrences(study_tables), _OCCURRENCE_COLUMNS, _PLACES_RECIPE),
    )
    return tuple(table for table in tables if table.frame.height)
