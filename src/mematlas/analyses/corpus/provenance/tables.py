"""The tables of `provenance`: their columns, and the Python that recomputes each."""

from typing import Final

import polars as pl

from mematlas.analyses.corpus.provenance.other_occurrences import (
    GROUP,
    KIND,
    KINDS,
    OTHERS,
    SCOPE,
    elsewhere_contrasts,
    recited_with_copies,
)
from mematlas.analyses.frames.memorized_shares import ROLE, in_order
from mematlas.analyses.frames.proportions import with_shares
from mematlas.analyses.frames.study_tables import Tables
from mematlas.findings.finding import Table

_LISTED: Final = 1000  # lines of the tables that name control rows
_PLACE: Final = {
    "model": "label of the model",
    "role": ROLE,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "scope": SCOPE,
}
_SHARES: Final = {
    **_PLACE,
    "kind": KIND,
    "rows": "rows scored of which it is known",
    "elsewhere": "rows whose continuation stands at another place of the corpus, too; of control rows: at any place",
    "share": "elsewhere / rows",
    "share_lower": "lower end of its Wilson 95 % interval",
    "share_upper": "upper end of it",
}
_CONTRASTS: Final = {
    **_PLACE,
    "rows": "recited rows",
    "elsewhere": "of these, rows whose continuation stands elsewhere, too",
    "other_rows": "rows not recited",
    "other_elsewhere": "of these, rows whose continuation stands elsewhere, too",
    "difference": "elsewhere / rows - other_elsewhere / other_rows",
    "difference_lower": "lower end of its Newcombe 95 % interval",
    "difference_upper": "upper end of it",
}
_DISTRIBUTION: Final = {
    **_PLACE,
    "kind": KIND,
    "others": "places of the continuation in the corpus beside the row's own",
    "rows": "rows with so many",
    "of": "rows of this kind",
    "share": "rows / of",
    "share_lower": "lower end of its Wilson 95 % interval",
    "share_upper": "upper end of it",
}
_LEAKS: Final = {
    "model": "label of the model that recites the control row",
    "row": "id of the control row",
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "continuation_documents": "places of its continuation in the corpus within documents",
    "continuation_rows": "the same within rows",
    "continuation_stream": "the same on the raw stream of tokens",
}
_PLACES: Final = {
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
cells = lines.group_by("model", "role", "context", "continuation", "scope", "kind")
answer = recount.with_shares(cells.agg(rows=pl.len(), elsewhere=(pl.col("places") > 0).sum()), "elsewhere")"""
_CONTRASTS_RECIPE: Final = """\
lines = recount.lines_elsewhere(study).drop_nulls("places")
cells = lines.group_by("model", "role", "context", "continuation", "scope", "kind")
answer = recount.elsewhere_contrasts(cells.agg(rows=pl.len(), elsewhere=(pl.col("places") > 0).sum()))"""
_DISTRIBUTION_RECIPE: Final = """\
place = ["model", "role", "context", "continuation", "scope", "kind"]
lines = recount.lines_elsewhere(study).drop_nulls("places").with_columns(of=pl.len().over(place))
answer = recount.with_shares(lines.group_by(*place, "others", "of").len("rows"), "rows", "of")"""
_LEAKS_RECIPE: Final = """\
lines = recount.lines(study, role="control").filter("recited")
found = lines.join(study.features("copies"), on=["row", "context", "continuation"])
answer = found.filter(pl.max_horizontal("^continuation_.*$") > 0)"""
_PLACES_RECIPE: Final = """\
control = study.rows().filter(role="control").select("row")
answer = study.features("places").drop_nulls("place").join(control, on="row")"""


def shares_of(counted: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """Rows that stand elsewhere too, by model, role, cell, scope and kind; counted: of `elsewhere.counts`."""
    elsewhere = pl.col("rows").filter(pl.col("others") != OTHERS[0]).sum()
    known = counted.drop_nulls("others").group_by(*GROUP).agg(pl.sum("rows"), elsewhere=elsewhere)
    return _ordered(with_shares(known, "elsewhere"), tables).select(*_SHARES)


def contrasts_of(shares: pl.DataFrame) -> pl.DataFrame:
    """Recited rows against the others, where there are both."""
    return elsewhere_contrasts(shares).select(*_CONTRASTS)


def _distribution(counted: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    known = counted.drop_nulls("others").with_columns(of=pl.col("rows").sum().over(*GROUP))
    return _ordered(with_shares(known, "rows", "of"), tables).select(*_DISTRIBUTION)


def _ordered(frame: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """Kinds and numbers of places in their own order, not that of the alphabet."""
    orders = {"kind": KINDS, "others": OTHERS}
    known = [name for name in orders if name in frame.columns]
    cast = frame.with_columns(pl.col(name).cast(pl.Enum(orders[name])) for name in known)
    return in_order(cast, tables, "scope", "kind", "others").with_columns(pl.col(known).cast(pl.String))


def _leaks(tables: Tables) -> pl.DataFrame:
    """Recited control rows that stand in the corpus, within whatever scope."""
    copies = [name for name in _LEAKS if name.startswith("continuation_")]
    recited = recited_with_copies(tables).filter(pl.col("model").is_in(tables.family), role="control")
    found = recited.filter(pl.max_horizontal(copies) > 0).select(*_LEAKS)
    return found.sort("model", "row", "context", "continuation").head(_LISTED).collect()


def _places(tables: Tables) -> pl.DataFrame:
    """Where control rows stand, as far as it was looked up."""
    if "places" not in tables.features:
        return pl.DataFrame(schema=dict.fromkeys(_PLACES, pl.Int64))
    control = tables.rows.filter(role="control").select("row")
    found = tables.features["places"].drop_nulls("place").join(control, on="row").select(*_PLACES)
    return found.sort("row", "context", "continuation", "place").head(_LISTED).collect()


def provenance_tables(
    tables: Tables, counted: pl.DataFrame, shares: pl.DataFrame, contrasts: pl.DataFrame
) -> tuple[Table, ...]:
    """The tables that hold a line."""
    heading = f"Recited control rows that stand in the corpus (at most {_LISTED:,} lines)"
    where = f"Where recited control rows stand in the corpus (at most {_LISTED:,} lines)"
    found = (
        Table("shares", "Rows that stand elsewhere in the corpus too", shares, _SHARES, _SHARES_RECIPE),
        Table("contrasts", "Recited rows against the others", contrasts, _CONTRASTS, _CONTRASTS_RECIPE),
        Table(
            "distribution", "Other places of a row", _distribution(counted, tables), _DISTRIBUTION, _DISTRIBUTION_RECIPE
        ),
        Table("leaks", heading, _leaks(tables), _LEAKS, _LEAKS_RECIPE),
        Table("places", where, _places(tables), _PLACES, _PLACES_RECIPE),
    )
    return tuple(table for table in found if table.frame.height)
