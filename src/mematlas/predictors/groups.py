"""Which rows must stay together when documents are held out: those of a document, and near-duplicates of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from mematlas.types import Ids

if TYPE_CHECKING:
    from mematlas.study import Study

SHARED: Final = 13  # tokens: rows that have so long a piece in common count as near-duplicates (our choice)


def document_groups(study: "Study", rows: Sequence[int], run: str | None = None) -> Ids:
    """The group of each of `rows` (row ids): rows of one group may not stand on both sides of a split.

    Rows of one document are a group, and documents are joined where two of these rows share a piece of 13 tokens; that
    needs row features (`mematlas features`), without which documents alone are kept apart. Rows whose document is not
    known are documents of their own.

    Returns:
        [n] numbers 0, 1, ... in the order in which groups appear.
    """
    import polars as pl

    chosen = pl.LazyFrame({"row": rows}, schema={"row": pl.Int64})
    known = study.scan_rows(run).select("row", "role", "source", "document")
    lines = chosen.join(known, on="row", how="left", maintain_order="left").collect()
    keys = [
        (role, source, document) if document is not None else row for row, role, source, document in lines.iter_rows()
    ]
    tokens: Mapping[int, Sequence[int]] = {}
    if "tokens" in study.feature_kinds(run):
        words = study.scan_features("tokens", run).join(chosen, on="row", how="semi")
        tokens = dict(words.select("row", "tokens").collect().iter_rows())
    return joined(keys, [tokens.get(row, ()) for row in rows])


def joined(keys: Sequence[object], texts: Iterable[Sequence[int]]) -> Ids:
    """Groups of rows that have a key in common, or a piece of 13 tokens of their texts, also by way of others."""
    parent = list(range(len(keys)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    first: dict[object, int] = {}
    for place, (key, text) in enumerate(zip(keys, texts, strict=True)):
        pieces = (tuple(text[start : start + SHARED]) for start in range(len(text) - SHARED + 1))
        for mark in (("key", key), *pieces):
            parent[root(place)] = root(first.setdefault(mark, place))
    roots = [root(place) for place in range(len(keys))]
    order = {found: number for number, found in enumerate(dict.fromkeys(roots))}
    return np.array([order[found] for found in roots], np.int64)
