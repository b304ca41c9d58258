"""Recall by popularity: buckets of both kinds, and correlations over items and over buckets."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.probes.items.parsing import AnswerParser
from mematlas.probes.recall.accuracy import shuffled_hits
from mematlas.probes.recall.buckets import SCHEMES, equal_buckets, faithful_buckets
from mematlas.stats.estimates.intervals import wilson
from mematlas.stats.hypotheses.correlation import Kind, correlation

KINDS: Final[tuple[Kind, ...]] = ("pearson", "spearman")
_BUCKETS: Final = {
    "template": pl.String,
    "shots": pl.Int32,
    "scheme": pl.String,
    "bucket": pl.Int64,
    "n": pl.Int64,
    "popularity": pl.Float64,
    "least": pl.Float64,
    "most": pl.Float64,
    "accuracy": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "shuffled": pl.Float64,
}
_CORRELATIONS: Final = {
    "template": pl.String,
    "shots": pl.Int32,
    "over": pl.String,
    "kind": pl.String,
    "n": pl.Int64,
    "estimate": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p": pl.Float64,
    "reason": pl.String,
}


def buckets_table(items: pl.DataFrame, parser: AnswerParser, seed: int) -> pl.DataFrame:
    """The buckets of each setting, over items whose popularity is known; see `tables.COLUMNS`."""
    records: list[dict[str, Any]] = []
    for (template, shots), everything in items.group_by("template", "shots", maintain_order=True):
        shuffled = shuffled_hits(everything, parser, seed).mean(0)
        group = everything.with_columns(shuffled=pl.Series(shuffled)).filter(pl.col("popularity").is_not_null())
        if group.is_empty():
            continue
        popularity = group["popularity"].to_numpy()
        numbers = {"faithful": faithful_buckets(popularity), "equal": equal_buckets(popularity, seed)}
        for scheme in SCHEMES:
            numbered = group.with_columns(bucket=pl.Series(numbers[scheme]) + 1)
            for (bucket,), part in numbered.group_by("bucket", maintain_order=True):
                place = {"template": template, "shots": shots, "scheme": scheme, "bucket": bucket}
                records.append(place | _bucket(part))
    order = ["template", "shots", "scheme", "bucket"]
    table = pl.DataFrame(records, schema=_BUCKETS)
    ranks = [pl.col("template").cast(pl.Enum(items["template"].unique(maintain_order=True).to_list())), *order[1:]]
    return table.sort(ranks)


def _bucket(part: pl.DataFrame) -> dict[str, Any]:
    share = wilson(int(part["hit"].sum()), part.height)
    popularity = part["popularity"].to_numpy()
    return {
        "n": part.height,
        "popularity": float(popularity.mean()),
        "least": float(popularity.min()),
        "most": float(popularity.max()),
        "accuracy": share.estimate,
        "low": share.lower,
        "high": share.upper,
        "shuffled": float(part["shuffled"].to_numpy().mean()),
    }


def correlations_table(items: pl.DataFrame, buckets: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Popularity against accuracy in each setting; see `tables.COLUMNS`."""
    records: list[dict[str, Any]] = []
    for (template, shots), group in items.group_by("template", "shots", maintain_order=True):
        known = group.filter(pl.col("popularity").is_not_null())
        if known.is_empty():
            continue
        own = buckets.filter(template=template, shots=shots)
        for over, x, y in _columns(known, own):
            for kind in KINDS:
                found = correlation(x, y, kind, seed=seed)
                records.append(
                    {
                        "template": template,
                        "shots": shots,
                        "over": over,
                        "kind": kind,
                        "n": found.count,
                        "estimate": found.estimate,
                        "low": found.lower,
                        "high": found.upper,
                        "p": found.p,
                        "reason": found.reason,
                    }
                )
    return pl.DataFrame(records, schema=_CORRELATIONS)


def _columns(items: pl.DataFrame, buckets: pl.DataFrame) -> Iterator[tuple[str, np.ndarray[Any, Any], Any]]:
    """What is correlated over what: name, popularity, accuracy."""
    yield "items", items["popularity"].to_numpy(), items["hit"].cast(pl.Float64).to_numpy()
    for scheme in SCHEMES:
        own = buckets.filter(scheme=scheme)
        yield scheme, own["popularity"].to_numpy(), own["accuracy"].to_numpy()
