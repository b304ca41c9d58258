"""How many bits of random sequences models hold, for each of their parameters.

Source: Morris et al. 2025 (K12). Of a sequence of T tokens drawn uniformly of V symbols a model holds max(0, T log2 V +
log2 p(x)) bits (`mematlas.stats.bits`). The sum over all sequences is never above their entropy, N T log2 V, and grows
with N up to the model's capacity.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.study_tables import Tables
from mematlas.analyses.phrasing import format_bounds, format_count
from mematlas.analyses.training.arms import block_means, split_names, with_parameters
from mematlas.findings.finding import Axis, Chart, Finding, Table

#: Shares by which the sum may still grow where it is called a plateau: with twice the sequences, and in the second half
#: of the training (our choice).
_GROWS: Final = 0.05

_MODEL: Final = {"model": "size of the models, of all seeds", "parameters": "number of weights"}
_INTERVAL: Final = "of its 95 % interval (Student's t over seeds)"
RUN_COLUMNS: Final = {
    **_MODEL,
    "sequences": "sequences that the model was trained on",
    "step": "optimizer steps",
    "seeds": "models",
    "total": "bits held of all sequences, mean over seeds",
    "total_lower": f"lower end {_INTERVAL}",
    "total_upper": f"upper end {_INTERVAL}",
    "entropy": "bits of all sequences: no model can hold more",
    "per_parameter": "total / number of weights",
    "never": "bits held of a sequence that was never shown, by the same formula",
}
SIZE_COLUMNS: Final = {
    **_MODEL,
    "capacity": "largest total over the numbers of sequences, after the last step, bits",
    "per_parameter": "capacity / number of weights",
    "per_parameter_lower": f"lower end {_INTERVAL}",
    "per_parameter_upper": f"upper end {_INTERVAL}",
    "sequences": "sequences with which it was reached",
    "entropy": "bits of these",
    "reason": "why it may be more than that; null for a plateau",
}
_CHARTS: Final = (
    Chart(
        "total",
        "Bits held of all sequences, by their entropy",
        "lines",
        "runs",
        Axis("entropy", "entropy of the sequences, bits", "log"),
        Axis("total", "bits held"),
        Axis("model", "model", "nominal"),
        "total_lower",
        "total_upper",
        where={"last": 1},
    ),
)


def capacity_runs(probes: pl.DataFrame, models: pl.DataFrame) -> pl.DataFrame:
    """The bits held of all sequences, by size, number of sequences and step; columns RUN_COLUMNS."""
    known = split_names(probes).filter(
        pl.col("set").is_in(["uniform", "uniform-never"]), pl.col("metric").is_in(["bits", "entropy"])
    )

    def of(name: str, metric: str, column: str) -> pl.Expr:
        return pl.col(column).filter(set=name, metric=metric).first()

    wide = known.group_by("group", "branch", "step", maintain_order=True).agg(
        bits=of("uniform", "bits", "value"),
        count=of("uniform", "bits", "n"),
        entropy=of("uniform", "entropy", "value"),
        never=of("uniform-never", "bits", "value"),
    )
    wide = wide.drop_nulls(["bits", "entropy"]).with_columns(
        model=pl.col("group").str.replace(r"-seed\d+$", ""),
        sequences=pl.col("count").cast(pl.Int64),
        total=pl.col("bits") * pl.col("count"),
        entropy=pl.col("entropy") * pl.col("count"),
        block="group",
        n=pl.lit(1),
    )
    by = ["model", "parameters", "sequences", "step"]
    sized = with_parameters(wide, models, "group")
    totals = block_means(sized, "total", by).rename({"rows": "seeds"})
    others = sized.group_by(by).agg(pl.col("entropy").first(), pl.col("never").sort().mean())
    joined = totals.join(others, on=by, nulls_equal=True, maintain_order="left")
    joined = joined.with_columns(pl.col("total_lower").clip(0), per_parameter=pl.col("total") / pl.col("parameters"))
    return joined.select(*RUN_COLUMNS).sort("parameters", "model", "sequences", "step", nulls_last=True)


def capacity_sizes(runs: pl.DataFrame) -> pl.DataFrame:
    """The capacity of every size; columns SIZE_COLUMNS. runs: from `capacity_runs`."""
    records = []
    for (model,), part in runs.group_by("model", maintain_order=True):
        last = part.filter(pl.col("step") == pl.col("step").max().over("sequences"))
        best = last.sort("total", descending=True, maintain_order=True).row(0, named=True)
        parameters = best["parameters"]

        def per_parameter(name: str, best: dict[str, Any] = best, parameters: int | None = parameters) -> float | None:
            return None if best[name] is None or not parameters else best[name] / parameters

        records.append(
            {
                "model": model,
                "parameters": parameters,
                "capacity": best["total"],
                "per_parameter": per_parameter("total"),
                "per_parameter_lower": per_parameter("total_lower"),
                "per_parameter_upper": per_parameter("total_upper"),
                "sequences": best["sequences"],
                "entropy": best["entropy"],
                "reason": _reason(part, last, best),
            }
        )
    counts, texts = ("parameters", "sequences"), ("model", "reason")
    types = {name: pl.String if name in texts else pl.Int64 if name in counts else pl.Float64 for name in SIZE_COLUMNS}
    return pl.DataFrame(records, schema=types, orient="row")


def _reason(part: pl.DataFrame, last: pl.DataFrame, best: dict[str, Any]) -> str | None:
    """Why the largest total may not be the capacity; None for a plateau."""
    if best["total"] > (1 - _GROWS) * best["entropy"]:
        return "all sequences are held: more of them are needed"
    fewer = last.filter(pl.col("sequences") < best["sequences"])
    if best["sequences"] == last["sequences"].max() and (
        fewer.is_empty() or fewer["total"].max() < (1 - _GROWS) * best["total"]
    ):
        return "the total still grows with the number of sequences"
    half = part.filter(pl.col("sequences") == best["sequences"], pl.col("step") <= best["step"] / 2)
    if half.is_empty() or half["total"][-1] < (1 - _GROWS) * best["total"]:
        return "the total still grew in the second half of the training"
    return None


def compute(tables: Tables) -> Finding:
    """Compute the bits of every size; the claim is on the largest."""
    question = "how many bits a model holds for each parameter"
    remedy = "Train models on random sequences: `mematlas experiment capacity capacity.yaml`."
    if tables.probes is None:
        return ANALYSIS.insufficient_data(tables, question, "probes taken in training", remedy)
    runs = capacity_runs(tables.probes.collect(), tables.models)
    sizes = capacity_sizes(runs).drop_nulls("per_parameter")
    if sizes.is_empty():
        return ANALYSIS.insufficient_data(tables, question, "models of random sequences whose size is known", remedy)
    largest = sizes.row(-1, named=True)
    recipe = "runs = recount.capacity_runs(study.scan_probes().collect(), study.models())\nanswer = "
    is_last = (pl.col("step") == pl.col("step").max().over("model", "sequences")).cast(pl.Int64)
    columns = {**RUN_COLUMNS, "last": "1 after the last step, else 0"}
    flagged = f'{recipe}runs.with_columns(last=(pl.col("step") == pl.col("step").max().over("model", "sequences")) + 0)'
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(largest),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        control=_control(runs),
        tables=(
            Table("sizes", "Bits for each parameter", sizes, SIZE_COLUMNS, f"{recipe}recount.capacity_sizes(runs)"),
            Table("runs", "Bits held of all sequences", runs.with_columns(last=is_last), columns, flagged),
        ),
        charts=_CHARTS,
        caveats=_caveats(sizes),
        deviations=("Morris et al. report about 3.6 bits for each parameter, of larger models trained for longer.",),
        headline="Bits that a model holds for each of its parameters",
        sentence=_sentence(largest),
    )


def _claim(largest: dict[str, Any]) -> str:
    bounds = format_bounds(largest["per_parameter_lower"], largest["per_parameter_upper"], ".2f")
    least = "" if largest["reason"] is None else "at least "
    return (
        f"Of random sequences {largest['model']} ({largest['parameters']:,} parameters) holds "
        f"{least}{largest['per_parameter']:.2f} bits {bounds} for each parameter: {largest['capacity']:,.0f} of the "
        f"{largest['entropy']:,.0f} bits of {format_count(largest['sequences'], 'sequence')}."
    )


def _sentence(largest: dict[str, Any]) -> str:
    least = "" if largest["reason"] is None else "at least "
    bounds = format_bounds(largest["per_parameter_lower"], largest["per_parameter_upper"], ".2f")
    return f"{largest['model']} holds {least}{largest['per_parameter']:.2f} bits {bounds} for each parameter."


def _control(runs: pl.DataFrame) -> str | None:
    before = runs.filter(step=0)
    never = runs.filter(pl.col("step") > 0)["never"].drop_nulls()
    if before.is_empty() or never.is_empty():
        return None
    return (
        f"Before the first step models hold at most {before['total'].to_numpy().max():,.1f} bits of all sequences. Of "
        f"a sequence never shown they hold {never.to_numpy().mean():.2f} bits on average."
    )


def _caveats(sizes: pl.DataFrame) -> tuple[str, ...]:
    texts = [
        f"{record['model']}: {record['reason']}, so that its capacity may be more."
        for record in sizes.drop_nulls("reason").to_dicts()
    ]
    return (*texts, "All weights count as parameters, those of the embeddings, too.")


ANALYSIS: Final = Analysis(
    "capacity",
    "Capacity in bits",
    "K12 (Morris et al.)",
    "probes of models trained on random sequences (mematlas experiment capacity)",
    compute,
    granularity="approximate",
    retrievability="discoverable",
)
