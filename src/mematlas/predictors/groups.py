"""Groups of rows that must stay together when documents are held out: rows of one document, and near-duplicates."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mematlas.study.clusters import join_copies, join_near_copies, names_documents, number_by_appearance
from mematlas.types import Ids

if TYPE_CHECKING:
    from mematlas.study import Study


def document_groups(study: "Study", rows: Sequence[int], run: str | None = None) -> Ids:
    """The group of each of `rows` (row ids): rows of one group must be on the same side of a split.

    Rows of one document are a group, and the groups of two rows that share 13 consecutive tokens are merged; this needs
    row features (`mematlas features`), without which groups are documents. So are groups that near-copies connect,
    where these are known (`mematlas features --near`). A row of unknown document is a document of its own.

    Returns:
        [n] numbers 0, 1, ... in the order in which groups appear.
    """
    import polars as pl

    selected = pl.LazyFrame({"row": rows}, schema={"row": pl.Int64})
    documents = study.scan_rows(run).select("row", "role", "source", "document")
    records = selected.join(documents, on="row", how="left", maintain_order="left").collect()
    keys = [
        (role, source, document) if document is not None else row for row, role, source, document in records.iter_rows()
    ]
    tokens: Mapping[int, Sequence[int]] = {}
    kinds = study.feature_kinds(run)
    if "tokens" in kinds:
        features = study.scan_features("tokens", run).join(selected, on="row", how="semi")
        tokens = dict(features.select("row", "tokens").collect().iter_rows())
    groups = connected_groups(keys, [tokens.get(row, ()) for row in rows])
    near = study.scan_features("near", run) if "near" in kinds else None
    return number_by_appearance(join_near_copies(groups, records["row"], near))


def documents_are_known(study: "Study", run: str | None = None) -> bool:
    """Whether the corpus names the document of any training row; else each row counts as a document of its own."""
    return names_documents(study.scan_rows(run))


def connected_groups(keys: Sequence[object], texts: Iterable[Sequence[int]]) -> Ids:
    """Groups of rows that share a key, or a piece of 13 tokens of their texts, directly or through other rows."""
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    labels = np.array([numbers[key] for key in keys], np.int64)
    return number_by_appearance(join_copies(labels, [list(text) for text in texts]))
