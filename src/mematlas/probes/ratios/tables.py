"""The tables of `mematlas probe ratios`: shares of labels, their distances, and errors of the classifier."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from mematlas.probes.ratios.telling import BASE, CONTROL, MODEL, TRAINING
from mematlas.stats.estimates.clustered import cluster_sums, clustered_shares
from mematlas.stats.hypotheses.label_shares import distance_of_shares, nearer_to


def _field(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"is": meaning})


WRITTEN: Final = pa.schema(
    [
        _field("start", pa.string(), "what is continued; empty for the token that starts a text"),
        _field("generation", pa.string(), "the model's words after it"),
    ]
)
TOLD, SHUFFLED = "as told", "shuffled"
SHARES_COLUMNS: Final = {
    "source": "who wrote the texts",
    "label": "label of the texts",
    "share": "share of texts that are told to have the label",
    "low": "lower end of its 95 % interval (Wilson, clustered by copies of a text, or by starts)",
    "high": "upper end",
    "given": "share by the labels of the table, or by the pattern in whole texts; null for what models write",
    "shuffled": "share told by a classifier fitted to shuffled labels, a control; null for a pattern",
    "texts": "texts, those without a character left out",
    "number": "clusters",
}
DISTANCES_COLUMNS: Final = {
    "to": "whose shares the model's are compared with",
    "distance": "total variation distance of the shares, 0 to 1",
    "low": "lower end of its 95 % interval (bootstrap of clusters, percentiles)",
    "high": "upper end",
    "permuted": "mean distance with texts permuted between the two: what equal shares would give",
    "p": "one-sided p-value of that permutation: equal shares would be as far apart",
    "texts": "texts of both",
}
NEARNESS_COLUMNS: Final = {
    "control": "what the training texts are compared with",
    "labels": "as told; or shuffled among all texts, cluster by cluster, a negative control",
    "difference": "distance from the control's shares less that from the training texts'; above 0: nearer to training",
    "low": "lower end of its 95 % interval (bootstrap of clusters, percentiles)",
    "high": "upper end",
    "permuted": "mean difference with texts permuted between training and control",
    "p": "two-sided p-value of that permutation",
    "texts": "texts of all three",
}
ERRORS_COLUMNS: Final = {
    "source": "texts that the classifier was not fitted to",
    "label": "their label",
    "told": "label that they are told to have",
    "share": "share of the texts with this label",
    "low": "lower end of its 95 % interval (Wilson, clustered by copies of a text)",
    "high": "upper end",
    "texts": "texts with the label",
}
Counts = NDArray[np.int64]


def shares_table(told: pl.DataFrame, labels: Sequence[str]) -> pl.DataFrame:
    """The share of each label in the texts of each source: SHARES_COLUMNS."""
    records = []
    for source, part in _by_source(told):
        counts = counts_of(part, labels)
        for place, label in enumerate(labels):
            own = (_share_of(part[name], label) for name in ("label", "shuffled"))
            records.append(
                (source, label, *_interval(counts[:, place], counts.sum(1)), *own, int(counts.sum()), len(counts))
            )
    return _frame(records, SHARES_COLUMNS)


def distances_table(told: pl.DataFrame, labels: Sequence[str], seed: int) -> pl.DataFrame:
    """How far the model's shares are from others: DISTANCES_COLUMNS."""
    counts = {source: counts_of(part, labels) for source, part in _by_source(told)}
    records = []
    for source, other in counts.items():
        if source != MODEL:
            found = distance_of_shares(counts[MODEL], other, seed=seed)
            numbers = (found.estimate, found.lower, found.upper, found.permuted, found.p)
            records.append((source, *numbers, int(counts[MODEL].sum() + other.sum())))
    return _frame(records, DISTANCES_COLUMNS)


def nearness_table(told: pl.DataFrame, labels: Sequence[str], seed: int) -> pl.DataFrame:
    """Whether the model's shares are nearer to those of training than to a control's: NEARNESS_COLUMNS."""
    counts = {source: counts_of(part, labels) for source, part in _by_source(told)}
    records = []
    for control in (CONTROL, BASE):
        if control in counts:
            given = [counts[MODEL], counts[TRAINING], counts[control]]
            pooled = np.random.default_rng([seed, 13]).permutation(np.concatenate(given))
            shuffled = np.split(pooled, np.cumsum([len(each) for each in given])[:-1])
            for kind, samples in ((TOLD, given), (SHUFFLED, shuffled)):
                found = nearer_to(*samples, seed=seed)
                numbers = (found.estimate, found.lower, found.upper, found.permuted, found.p)
                records.append((control, kind, *numbers, sum(int(each.sum()) for each in samples)))
    return _frame(records, NEARNESS_COLUMNS)


def errors_table(told: pl.DataFrame, labels: Sequence[str]) -> pl.DataFrame:
    """How labelled texts are told by a classifier that was not fitted to them: ERRORS_COLUMNS."""
    records = []
    for source in (TRAINING, CONTROL):
        for label in labels:
            part = told.filter(source=source, label=label)
            counts = counts_of(part, labels)
            if len(counts):
                records += [
                    (source, label, other, *_interval(counts[:, place], counts.sum(1)), int(counts.sum()))
                    for place, other in enumerate(labels)
                ]
    return _frame(records, ERRORS_COLUMNS)


def counts_of(part: pl.DataFrame, labels: Sequence[str]) -> Counts:
    """Texts told to have each label in each cluster, [clusters, labels]; texts without a label are left out."""
    known = part.drop_nulls("told")
    places = {label: place for place, label in enumerate(labels)}
    _, clusters = np.unique(known["cluster"].to_numpy(), return_inverse=True)
    number = int(clusters.max(initial=-1)) + 1
    cells = clusters * len(labels) + np.array([places[label] for label in known["told"]], np.int64)
    return np.bincount(cells, minlength=number * len(labels)).reshape(number, len(labels)).astype(np.int64)


def _by_source(told: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    for source in told["source"].unique(maintain_order=True):
        yield source, told.filter(source=source)


def _share_of(values: pl.Series, label: str) -> float | None:
    known = values.drop_nulls()
    return float((known == label).mean()) if len(known) else None  # type: ignore[arg-type]


def _interval(hits: Counts, rows: Counts) -> list[float | None]:
    found = clustered_shares(cluster_sums(hits, rows))
    return [None if np.isnan(value[0]) else float(value[0]) for value in (found.estimate, found.lower, found.upper)]


def _frame(records: list[tuple[Any, ...]], columns: Mapping[str, str]) -> pl.DataFrame:
    """Records as a table: words and counts by name, all else numbers."""
    words = ("source", "label", "to", "control", "labels", "told")
    known: dict[str, Any] = dict.fromkeys(words, pl.String) | {"texts": pl.Int64, "number": pl.Int64}
    return pl.DataFrame(records, {name: known.get(name, pl.Float64) for name in columns}, orient="row")
