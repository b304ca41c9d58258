"""Performance of a model by how often the corpus has the pairs of an example together (P4, Fig. 2)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.probes.recall.buckets import equal_buckets
from mematlas.probes.tasks.memorization import CorpusSide
from mematlas.probes.tasks.tables import COVERAGE_COLUMNS
from mematlas.stats.estimates.averages import means
from mematlas.stats.estimates.intervals import wilson

#: The authors' bins: sums of 0 to 1,000 in five of equal width; examples beyond are in none.
_LARGEST, _BINS = 1_000, 5
_TYPES: Final = {
    **dict.fromkeys(("model", "scheme"), pl.String),
    **dict.fromkeys(("n", "bin", "examples", "least", "most"), pl.Int64),
    "control": pl.Boolean,
}


def coverage_table(side: CorpusSide, answers: Mapping[str, pl.DataFrame], seed: int) -> pl.DataFrame:
    """Performance by coverage; see `tables.COVERAGE_COLUMNS`, without control. Examples without pairs have 0.

    Args:
        answers: model -> its table `answers`.
    """
    records: list[dict[str, Any]] = []
    for n in side.lengths:
        own = side.pairs.filter(pl.col("n") == n, pl.col("similarity") > side.gammas[0])
        sums = own.group_by("example").agg(coverage=pl.col("count_pair").sum())
        covered = side.examples.select("example").join(sums, on="example", how="left", maintain_order="left")
        covered = covered.with_columns(pl.col("coverage").fill_null(0))
        values = covered["coverage"].to_numpy()
        schemes = {"authors": authors_bins(values), "equal": equal_buckets(values.astype(np.float64), seed)}
        for model, table in answers.items():
            joined = covered.join(table, on="example", how="inner", maintain_order="left")
            for scheme, bins in schemes.items():
                place = {"model": model, "n": n, "scheme": scheme}
                records += [place | record for record in _bins(joined.with_columns(bin=pl.Series(bins)))]
    names = [name for name in COVERAGE_COLUMNS if name != "control"]
    return pl.DataFrame(records, schema={name: _TYPES.get(name, pl.Float64) for name in names})


def authors_bins(coverage: "np.ndarray[Any, np.dtype[np.int64]]") -> "np.ndarray[Any, np.dtype[np.int64]]":
    """The bin of each sum of pair counts, from 0; -1 beyond 1,000. The last one includes 1,000."""
    width = _LARGEST // _BINS
    return np.where(coverage > _LARGEST, -1, np.minimum(coverage // width, _BINS - 1))


def _bins(joined: pl.DataFrame) -> Sequence[dict[str, Any]]:
    overall = float(joined["right"].cast(pl.Float64).to_numpy().mean())
    records = []
    for (number,), part in joined.filter(pl.col("bin") >= 0).group_by("bin", maintain_order=True):
        share = wilson(int(part["right"].sum()), part.height)
        bleu = means(part["bleu"].to_numpy()[:, None])
        ends = [None if np.isnan(end) else end for end in (float(bleu.lower[0]), float(bleu.upper[0]))]
        records.append(
            {
                "bin": int(str(number)) + 1,
                "examples": part.height,
                "least": part["coverage"].min(),
                "most": part["coverage"].max(),
                "right": share.estimate,
                "low": share.lower,
                "high": share.upper,
                "bleu": float(bleu.estimate[0]),
                "bleu_low": ends[0],
                "bleu_high": ends[1],
                "overall": overall,
            }
        )
    return sorted(records, key=lambda record: record["bin"])
