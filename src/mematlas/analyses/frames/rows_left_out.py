"""Sentences on the rows that lines over contexts or continuations leave out; see `same_rows`."""

from typing import Final

import polars as pl

from mematlas.analyses.frames.memorized_shares import KEYS
from mematlas.analyses.frames.same_rows import OTHER, Across, line_keys
from mematlas.analyses.frames.study_tables import Tables

_ROWS: Final = {"train": "training rows", "control": "control rows", "control model": "rows"}


def left_out_sentences(tables: Tables, across: Across) -> list[str]:
    """Which rows the lines over `across` leave out, and which lines and lengths have no row; [] if all have all."""
    return [*_left_out(tables, across), *_without_control(tables, across)]


def _left_out(tables: Tables, across: Across) -> list[str]:
    """One sentence for each role: of the line that leaves out most rows, and of the lines that are left with none."""
    sentences = []
    lines = _lines(tables, across).filter(pl.col("left_out") > 0)
    for role, rows in _ROWS.items():
        of_role = lines.filter(role=role)
        if not of_role.height:
            continue
        most = of_role.sort("left_out", descending=True, maintain_order=True).row(0, named=True)
        sentences.append(
            f"Lines over {across}s are of the {rows} scored at all of them: of {most['scored']:,} {rows} of "
            f"{most['model']} at a {OTHER[across]} of {most[OTHER[across]]} tokens {most['left_out']:,} are left out"
            f"{', of other lines no more' if of_role.height > 1 else ''}."
        )
        none = of_role.filter(kept=0)
        sentences += [
            f"No line is drawn where no row has all {across}s: {rows} of {record['model']} at a {OTHER[across]} of "
            f"{record[OTHER[across]]} tokens."
            for record in none.head(1).iter_rows(named=True)
        ]
    return sentences


def _lines(tables: Tables, across: Across) -> pl.DataFrame:
    """One record per line: scored (rows at the length that has most), kept (rows at all lengths), left_out."""
    keys = line_keys(across)
    scored, kept = (
        counts.group_by(*KEYS, maintain_order=True)
        .agg(pl.col("rows").sum())
        .group_by(*keys, maintain_order=True)
        .agg(pl.col("rows").max())
        for counts in (tables.counts(), tables.counts_of_same_rows(across))
    )
    lines = scored.rename({"rows": "scored"}).join(
        kept.rename({"rows": "kept"}), on=keys, how="left", maintain_order="left"
    )
    lines = lines.with_columns(pl.col("kept").fill_null(0))
    return lines.with_columns((pl.col("scored") - pl.col("kept")).alias("left_out"))


def _without_control(tables: Tables, across: Across) -> list[str]:
    """The lengths at which training rows were scored and control rows were not, in a study with control rows."""
    if not tables.has_control:
        return []
    counts = tables.counts()
    train, control = (set(counts.filter(role=role)[across]) for role in ("train", "control"))
    missing = ", ".join(map(str, sorted(train - control)))
    if not missing:
        return []
    return [f"No control row was scored at a {across} of {missing} tokens: a floor of lucky guesses is unknown there."]
