"""Mem_n: does a model find those outputs probable that the corpus has together with their inputs? (P4, section 3)

    Mem_n = Spearman(log P_n(s_y | s_x), log P_LLM(s_y | prompt, output before s_y))

over pairs; a pair that no document has is left out, as its log is undefined, and its share said. Beside it: the same
with such pairs as the lowest ranks; the authors' aggregation (for each n-gram of an output the mean over its s_x of
log(documents of the pair / occurrences of s_x)); and the infinity-gram, whole and as the authors sum it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import polars as pl

from mematlas.probes.tasks.tables import MEM_COLUMNS
from mematlas.stats.hypotheses.clustered_correlation import ClusteredSpearman, clustered_spearman

PAIRS: Final = "pairs"
ZEROS: Final = "pairs, those of no document lowest"
AUTHORS: Final = "outputs' n-grams, as the authors' code"
INFINITY: Final = "infinity-gram"
INFINITY_AUTHORS: Final = "infinity-gram, as the authors' code"
MEASURES: Final = (PAIRS, ZEROS, AUTHORS, INFINITY, INFINITY_AUTHORS)
ALL: Final = "all"
_TYPES: Final = {
    **dict.fromkeys(("model", "measure", "kept", "reason"), pl.String),
    **dict.fromkeys(("parameters", "n", "pairs", "examples"), pl.Int64),
    "control": pl.Boolean,
}
_KEY: Final = ["example", "n", "sy"]


@dataclass(frozen=True, slots=True)
class CorpusSide:
    """What the corpus says of a task: the tables examples, pairs and spans; gammas: ascending."""

    examples: pl.DataFrame
    pairs: pl.DataFrame
    spans: pl.DataFrame
    lengths: Sequence[int]
    gammas: Sequence[float]

    def kept_examples(self) -> Mapping[str, pl.Series]:
        """Examples by name: all, and those without an overlap where some have one."""
        kept = {ALL: self.examples["example"]}
        for n in (8, 14):
            clear = self.examples.filter(~pl.col(f"overlap_{n}").fill_null(value=False))["example"]
            if len(clear) < self.examples.height:
                kept[f"without {n} words in a row"] = clear
        return kept


def mem_table(side: CorpusSide, scores: Mapping[str, pl.DataFrame], seed: int) -> pl.DataFrame:
    """Mem of every model; see `tables.MEM_COLUMNS`, of which model, control and parameters are added later.

    Args:
        scores: model -> its table `scores`.

    All measures are computed with the lowest gamma and all examples; pairs alone with other gammas or fewer examples.
    """
    records = []
    for model, table in scores.items():
        for n in side.lengths:
            for name, examples in side.kept_examples().items():
                for gamma in side.gammas if name == ALL else side.gammas[:1]:
                    measures = MEASURES if name == ALL and gamma == side.gammas[0] else (PAIRS,)
                    part = side.pairs.filter(
                        pl.col("n") == n, pl.col("similarity") > gamma, pl.col("example").is_in(examples.implode())
                    )
                    place = {"model": model, "kept": name, "n": n, "gamma": gamma}
                    records += [place | record for record in _measures(measures, part, side.spans, table, seed)]
    names = [name for name in MEM_COLUMNS if name not in ("control", "parameters")]
    return pl.DataFrame(records, schema={name: _TYPES.get(name, pl.Float64) for name in names})


def _measures(
    measures: Sequence[str], pairs: pl.DataFrame, spans: pl.DataFrame, scores: pl.DataFrame, seed: int
) -> Iterator[dict[str, Any]]:
    joined = pairs.join(scores.select(*_KEY, "log_p_llm"), on=_KEY, how="inner", maintain_order="left")
    zero_share = float((joined["count_pair"] == 0).cast(pl.Float64).to_numpy().mean()) if joined.height else None
    for measure in measures:
        points = _points(measure, joined, spans)
        found = clustered_spearman(
            points["x"].to_numpy(),
            points["log_p_llm"].to_numpy(),
            points["example"].rank("dense").to_numpy(),
            points["fixed"].to_numpy() if "fixed" in points.columns else None,
            seed=seed,
        )
        yield {"measure": measure, "zero_share": zero_share, **_record(found)}


def _points(measure: str, joined: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """What is correlated: x (of the corpus), log_p_llm, example, and, for pairs, fixed."""
    if measure == PAIRS:
        return joined.filter(pl.col("count_pair") > 0).with_columns(x="log_p", fixed=pl.col("count_y").log())
    if measure == ZEROS:
        counted = joined.filter(pl.col("count_x") > 0)
        lowest = pl.col("log_p").min().fill_null(0.0) - 1
        return counted.with_columns(x=pl.col("log_p").fill_null(lowest))
    if measure == AUTHORS:
        return (
            joined.filter(pl.col("count_pair") > 0)
            .group_by(_KEY, maintain_order=True)
            .agg(pl.col("log_p_authors").mean().alias("x"), pl.col("log_p_llm").first())
        )
    column = "log_p_infinity" if measure == INFINITY else "log_p_infinity_authors"
    distinct = joined.unique(_KEY, keep="first", maintain_order=True)
    return distinct.join(spans.select(*_KEY, x=column), on=_KEY, how="inner", maintain_order="left").filter(
        pl.col("x").is_not_null()
    )


def _record(found: ClusteredSpearman) -> dict[str, Any]:
    values = asdict(found)
    names = {"estimate": "rho", "lower": "low", "upper": "high", "null_lower": "null_low", "null_upper": "null_high"}
    names |= {"partial": "rho_fixed", "clusters": "examples"}
    return {names.get(name, name): value for name, value in values.items()}
