"""The tables of `mematlas probe style`: what the model wrote, and who seems to have written it."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

from mematlas.stats.classification.authorship import attribute, deal_folds
from mematlas.stats.estimates.clustered import cluster_sums, clustered_shares
from mematlas.stats.estimates.differences import clustered_difference_of_shares
from mematlas.stats.hypotheses.by_document import p_of_higher_in_members


def _field(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"is": meaning})


WRITTEN: Final = pa.schema(
    [
        _field("id", pa.string(), "id of the text, or its number"),
        _field("author", pa.string(), "its author"),
        _field("in_training", pa.bool_(), "whether the author is in the model's training"),
        _field("prompt", pa.string(), "the beginning that the model continues"),
        _field("rest", pa.string(), "the author's own words after it"),
        _field("generation", pa.string(), "the model's words after it"),
    ]
)
GENERATION: Final = "model's continuation"
TRUTH: Final = "author's continuation"
PROMPT: Final = "beginning alone"
IN, OUT = "in training", "not in training"
ATTRIBUTED_COLUMNS: Final = {
    "id": "id of the text, or its number",
    "author": "its author",
    "in_training": "whether the author is in the model's training",
    "fold": "part of the texts, told by a classifier fitted to the others",
    "generation": "author that the model's continuation is attributed to; null for no characters",
    "truth": "the same of the author's own continuation, as long",
    "prompt": "the same of the beginning alone",
}
ACCURACY_COLUMNS: Final = {
    "what": "what is attributed: the model's continuation, the author's own of the same length, or the beginning alone",
    "authors": "authors in or not in the model's training",
    "share": "share of texts that are attributed to their author",
    "low": "lower end of its 95 % interval (Wilson, clustered by author)",
    "high": "upper end",
    "permuted": "the share with authors permuted among all texts, the control: its mean over all permutations",
    "texts": "texts",
    "number": "authors",
}
DIFFERENCE_COLUMNS: Final = {
    "what": "what is attributed",
    "difference": "share of authors in training less that of others",
    "low": "lower end of its 95 % interval (Newcombe, clustered by author)",
    "high": "upper end",
    "p": "one-sided p-value: authors permuted between in training and not in training",
    "texts": "texts",
    "number": "authors",
}
_KINDS: Final = {"generation": GENERATION, "truth": TRUTH, "prompt": PROMPT}


def attributed_table(written: pl.DataFrame, folds: int, seed: int) -> pl.DataFrame:
    """Who seems to have written each continuation and beginning: ATTRIBUTED_COLUMNS.

    Args:
        written: as WRITTEN, at least two texts of each author; folds: at most, as no author has fewer texts.
    """
    names = written["author"].unique().sort().to_list()
    authors = np.array([names.index(author) for author in written["author"]])
    fewest = int(np.bincount(authors).min())
    dealt = deal_folds(authors, min(folds, fewest), seed)
    generation, rest, prompts = (written[name].to_list() for name in ("generation", "rest", "prompt"))
    asked = {
        "generation": generation,
        "truth": [truth[: len(text)] for truth, text in zip(rest, generation, strict=True)],
        "prompt": prompts,
    }
    texts = [prompt + truth for prompt, truth in zip(prompts, rest, strict=True)]
    found = attribute(texts, authors, dealt, asked)
    return written.select("id", "author", "in_training").with_columns(
        pl.Series("fold", dealt),
        *(pl.Series(name, [names[one] if one >= 0 else None for one in found[name]], pl.String) for name in asked),
    )


def accuracy_table(attributed: pl.DataFrame) -> pl.DataFrame:
    """Shares that are attributed to their author, beside permuted authors: ACCURACY_COLUMNS."""
    records = []
    for name, what in _KINDS.items():
        counts = attributed["author"].value_counts().with_columns(chance=pl.col("count") / attributed.height)
        drawn = attributed.join(counts, left_on=name, right_on="author", how="left", maintain_order="left")
        for flag, group in ((True, IN), (False, OUT)):
            part = drawn.filter(pl.col("in_training") == flag)
            hits, rows = _by_author(part, name)
            share = clustered_shares(cluster_sums(hits, rows))
            bounds = [_number(value[0]) for value in (share.estimate, share.lower, share.upper)]
            chance = float(part["chance"].fill_null(0.0).mean())  # type: ignore[arg-type]
            records.append((what, group, *bounds, chance, part.height, len(rows)))
    return _frame(records, ACCURACY_COLUMNS)


def difference_table(attributed: pl.DataFrame, seed: int) -> pl.DataFrame:
    """What authors in training have above others: DIFFERENCE_COLUMNS."""
    records = []
    for name, what in _KINDS.items():
        inside, outside = (attributed.filter(pl.col("in_training") == flag) for flag in (True, False))
        (hits, rows), (other_hits, other_rows) = _by_author(inside, name), _by_author(outside, name)
        found = clustered_difference_of_shares(
            np.append(hits, np.zeros(len(other_hits))),
            np.append(rows, np.zeros(len(other_rows))),
            np.append(np.zeros(len(hits)), other_hits),
            np.append(np.zeros(len(rows)), other_rows),
        )
        is_hit = (attributed[name] == attributed["author"]).fill_null(value=False).to_numpy().astype(float)
        authors = attributed["author"].rank("dense").to_numpy()
        p = p_of_higher_in_members(is_hit, attributed["in_training"].to_numpy(), authors, seed=seed)
        bounds = (found.estimate, found.lower, found.upper)
        records.append((what, *bounds, p, attributed.height, len(rows) + len(other_rows)))
    return _frame(records, DIFFERENCE_COLUMNS)


def _frame(records: list[tuple[Any, ...]], columns: Mapping[str, str]) -> pl.DataFrame:
    """Records as a table: words and counts by name, all else numbers."""
    known: dict[str, Any] = {"what": pl.String, "authors": pl.String, "texts": pl.Int64, "number": pl.Int64}
    return pl.DataFrame(records, {name: known.get(name, pl.Float64) for name in columns}, orient="row")


def _by_author(part: pl.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Hits and texts of each author."""
    hit = (pl.col(name) == pl.col("author")).fill_null(value=False)
    counted = part.group_by("author", maintain_order=True).agg(hit.sum().alias("hits"), pl.len().alias("rows"))
    return counted["hits"].to_numpy().astype(float), counted["rows"].to_numpy().astype(float)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
