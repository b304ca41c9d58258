"""What rows lose with each head, and whether two classes of rows need the same ones."""

import math
from itertools import combinations
from typing import Any, Final

import polars as pl

from mematlas.probes.rows.estimates import INTERVAL, class_changes
from mematlas.probes.rows.opening import CLASSES
from mematlas.stats.random_sets import expected_jaccard, jaccard

TOP_SHARE: Final = 0.2
"""Share of the heads that counts as those that are needed most (K7)."""

HEAD_COLUMNS: Final = {
    "class": "rows recited whole without an intervention (recited), other rows of the corpus, rows of the control",
    "layer": "layer of the head, from 1",
    "head": "number of the head in its layer, from 0",
    "rows": "rows of the class",
    "drop": "share of the continuation's tokens that are right with the head and wrong without it, net",
    "drop_lower": f"lower end of its {INTERVAL}",
    "drop_upper": "upper end of the same",
}
TOP_COLUMNS: Final = {
    "first": "a class of rows",
    "second": "another one",
    "heads": "heads in all",
    "top": "heads of each that are needed most: a fifth of all, by drop",
    "jaccard": "heads that are among the top of both, over those that are of either",
    "expected": "the same of two random sets of heads of this size (hypergeometric, exact)",
}


def head_drops(records: pl.DataFrame, continuation: int) -> pl.DataFrame:
    """What every class loses with each head.

    Args:
        records: row, control, class, cluster, layer, head and hits; layer 0 is the whole model.
    """
    whole = records.filter(layer=0).select("row", "control", whole="hits")
    switched = records.filter(pl.col("layer") > 0).join(whole, on=["row", "control"], maintain_order="left")
    drop = (pl.col("whole") - pl.col("hits")) / continuation
    return class_changes(switched.with_columns(drop=drop), "drop", ["layer", "head"])


def top_heads(drops: pl.DataFrame) -> pl.DataFrame:
    """How many of the heads that one class needs most another needs, too, beside random sets."""
    sets: dict[str, set[object]] = {}
    for name in CLASSES:
        own = drops.filter(pl.col("class").cast(pl.String) == name)
        if own.is_empty():
            continue
        size = max(1, math.floor(TOP_SHARE * own.height + 0.5))
        ordered = own.sort("drop", "layer", "head", descending=[True, False, False])
        sets[name] = set(ordered.head(size).select("layer", "head").iter_rows())
    total = drops.select("layer", "head").n_unique()
    records: list[dict[str, Any]] = [
        {
            "first": first,
            "second": second,
            "heads": total,
            "top": len(sets[first]),
            "jaccard": jaccard(sets[first], sets[second]),
            "expected": expected_jaccard(total, len(sets[first])),
        }
        for first, second in combinations(sets, 2)
    ]
    types = {"first": pl.String, "second": pl.String, "heads": pl.Int64, "top": pl.Int64}
    return pl.DataFrame(records, schema={name: types.get(name, pl.Float64) for name in TOP_COLUMNS})
