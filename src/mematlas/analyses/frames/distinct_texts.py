"""Shares of distinct texts that a model recites, where rows of a study are copies of each other.

A distinct text is a set of rows of one role with the same prompt and the same continuation (our choice; see
`study/distinct_texts.py`). It is recited if its first scored row is, since all its rows have the same score, and it
belongs to that row's cluster.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.frames.memorized_shares import KEYS, ROLE_DESCRIPTION, in_model_order
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS, format_share, with_shares
from mematlas.analyses.frames.score_lines import lines
from mematlas.analyses.frames.study_tables import Cell, Tables, read_tables
from mematlas.findings.finding import Table
from mematlas.study import Study
from mematlas.study.distinct_texts import sum_by_text

_COLUMNS: Final = {
    "model": "label of the model",
    "role": ROLE_DESCRIPTION,
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "texts": "distinct texts: rows of one role with the same prompt and the same continuation are one text",
    "recited_texts": "of them, texts with M = 1",
    "share": "recited_texts / texts",
    "share_lower": "lower end of its Wilson 95 % interval",
    "share_upper": "upper end of its Wilson 95 % interval",
    "rows": "rows scored, the copies of each text among them",
    "recited": "of them, rows with M = 1",
    **SAMPLE_COLUMNS,
}
_RECIPE: Final = """\
cells = recount.texts(study).group_by("model", "role", "context", "continuation", "cluster")
counts = cells.agg(pl.sum("recited_texts", "rows", "recited"), texts=pl.len())
answer = recount.with_shares(counts, "recited_texts", "texts", sums=["rows", "recited"])"""


def texts(study: Study, run: str | None = None, **where: Any) -> pl.DataFrame:
    """One record per model, cell and distinct text that was scored; every row is a text where tokens are not known.

    Args:
        where: only records with these values of the columns of `recount.lines`.

    Returns:
        model, role, context, continuation, text (its lowest row id), cluster, rows (scored rows with this text),
        recited (of them, rows with M = 1), recited_texts (1 if the text is recited, else 0).

    Raises:
        StudyError: the run is not finished.
    """
    records, copies = lines(study, run, **where), read_tables(study, run).copied_rows
    if copies is None:
        records = records.with_columns(text="row")
    else:
        joined = records.join(copies, on=["row", "context", "continuation"], how="left")
        records = joined.with_columns(pl.coalesce("text", "row").alias("text"))
    return sum_by_text(records.lazy(), KEYS, ["cluster"]).collect()


def text_shares(tables: Tables) -> pl.DataFrame | None:
    """One record per model, role and cell with scored rows; columns _COLUMNS. None where no row is a copy."""
    counts = tables.text_counts
    if counts is None:
        return None
    shares = with_shares(in_model_order(counts, tables), "recited_texts", "texts", sums=("rows", "recited"))
    return shares.select(*_COLUMNS)


def texts_table(shares: pl.DataFrame) -> Table:
    """The table of `text_shares`."""
    return Table("texts", "Distinct texts recited", shares, _COLUMNS, _RECIPE)


def text_records(shares: pl.DataFrame | None, *of: tuple[str, Cell]) -> list[dict[str, Any]] | None:
    """The records of `text_shares` of the training rows of each (model, cell); None where no row of them is a copy."""
    if shares is None:
        return None
    train = shares.filter(role="train")
    records = [
        train.filter(model=model, context=cell.context, continuation=cell.continuation).row(0, named=True)
        for model, cell in of
    ]
    return records if any(record["texts"] < record["rows"] for record in records) else None


def format_texts(record: dict[str, Any]) -> str:
    """A record of `text_shares` for a sentence on what is recited: the share of texts, then how many, and the rows."""
    return f"{format_share(record, 'share')} of {record['texts']:,} distinct texts whole ({format_counts(record)})"


def format_counts(record: dict[str, Any]) -> str:
    """The recited texts of a record of `text_shares`, and the rows that they stand for."""
    texts = "1 text" if record["recited_texts"] == 1 else f"{record['recited_texts']:,} texts"
    return f"{texts}, {record['recited']:,} of {record['rows']:,} rows"
