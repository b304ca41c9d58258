"""What a pair of models tells, one trained on rows and one not: differences without a standard error of each row.

Our choice. With one model on a side nothing says how trainings vary, so that a row's difference has no error; the mean
over rows has an interval over rows, or documents. Models also differ in other ways: their difference on rows that
neither was trained on is taken off (difference in differences), where there are such rows.
"""

from typing import Any, Final

import numpy as np
import polars as pl

from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.analyses.phrasing import format_bounds, format_count, format_difference
from mematlas.analyses.training.counterfactual.subset_scores import known_exposures
from mematlas.findings.finding import Axis, Chart, Table
from mematlas.stats.estimates.averages import means
from mematlas.stats.estimates.contrasts import stratified_difference
from mematlas.study import Study

_INTERVAL: Final = "of its 95 % interval, over rows, or documents where rows come in these"
DIFFERENCE_COLUMNS: Final = {
    "model": "model",
    "row": "id of the row",
    "trained": "whether the model was trained on the row",
    "score": "its score",
    "untrained": "mean score of the other models that were not trained on the row",
    "difference": "score - untrained; it has no standard error: nothing says how trainings vary",
    "n_out": "these other models",
}
PAIR_COLUMNS: Final = {
    "model": "model",
    "rows": "rows it was trained on, and another model was not",
    "in": "its mean score on them",
    "out": "mean score of the models that were not trained on them",
    "difference": "in - out",
    "difference_lower": f"lower end {_INTERVAL}",
    "difference_upper": f"upper end {_INTERVAL}",
    "others": "rows that neither it nor another model was trained on, control rows among them",
    "elsewhere": "the same difference on these rows: what sets the models apart anyway",
    "elsewhere_lower": f"lower end {_INTERVAL}",
    "elsewhere_upper": f"upper end {_INTERVAL}",
    "effect": "difference - elsewhere; null without such rows",
    "effect_lower": f"lower end {_INTERVAL}",
    "effect_upper": f"upper end {_INTERVAL}",
}
PAIR_CHARTS: Final = (
    Chart(
        "pairs",
        "Models trained on rows, over models that were not",
        "bars",
        "pairs",
        Axis("model", "model", "nominal"),
        Axis("difference", "difference of mean scores"),
        lower="difference_lower",
        upper="difference_upper",
    ),
)


def pair_scores(study: Study, run: str | None = None) -> pl.DataFrame:
    """One record per model and row at the reference cell, control rows and control models included.

    Returns:
        model, row, trained, score (as in `subset_scores`), cluster (a document, or copies). Sorted by row and model.

    Raises:
        StudyError: the run is not finished.
    """
    return pair_scores_of(read_tables(study, run))


def pair_scores_of(tables: Tables) -> pl.DataFrame:
    """As `pair_scores`, from tables; without exposures, or where only recited rows were published, no records."""
    cell, exposures = tables.reference, known_exposures(tables)
    models = {*exposures["model"], *tables.control_models} if exposures.height and tables.complete else set()
    value = pl.col("matches") / pl.col("continuation") if tables.graded else pl.col("recited").cast(pl.Float64)
    scored = tables.scored_rows("cluster").filter(
        pl.col("model").is_in(models), context=cell.context, continuation=cell.continuation
    )
    lines = scored.select("model", "row", "cluster", score=value.cast(pl.Float64)).collect(engine="streaming")
    trained = exposures.select("model", "row", trained=pl.col("times") > 0)
    lines = lines.join(trained, on=["model", "row"], how="left").with_columns(pl.col("trained").fill_null(False))
    return lines.select("model", "row", "trained", "score", "cluster").sort("row", "model")


def pair_differences(lines: pl.DataFrame) -> pl.DataFrame:
    """Every model's difference from the others that were not trained on the row: DIFFERENCE_COLUMNS."""
    untrained = lines.filter(~pl.col("trained"))
    sums = untrained.group_by("row").agg(total=pl.sum("score"), count=pl.len().cast(pl.Int64))
    own = pl.when(pl.col("trained")).then(0).otherwise(1)
    joined = lines.join(sums, on="row", how="inner").with_columns(n_out=pl.col("count") - own)
    others = (pl.col("total") - own * pl.col("score")) / pl.col("n_out")
    compared = joined.filter(pl.col("n_out") > 0).with_columns(untrained=others)
    compared = compared.with_columns(difference=pl.col("score") - pl.col("untrained"))
    yes_or_no = pl.when("trained").then(pl.lit("yes")).otherwise(pl.lit("no")).alias("trained")
    return compared.with_columns(yes_or_no).sort("model", "row").select(*DIFFERENCE_COLUMNS)


def pair_effects(lines: pl.DataFrame) -> pl.DataFrame:
    """One record per model that was trained on rows that another was not: PAIR_COLUMNS."""
    clusters = lines.select("row", "cluster").unique("row")
    differences = pair_differences(lines).join(clusters, on="row", how="left", maintain_order="left")
    records = []
    for (model,), part in differences.group_by("model", maintain_order=True):
        member = (part["trained"] == "yes").to_numpy()
        if member.any():
            records.append({"model": model} | _numbers(part, member))
    types = dict.fromkeys(PAIR_COLUMNS, pl.Float64) | {"model": pl.String, "rows": pl.Int64, "others": pl.Int64}
    return pl.DataFrame(records, schema=types, orient="row").fill_nan(None)


def _numbers(part: pl.DataFrame, member: np.ndarray) -> dict[str, Any]:
    values, clusters = part["difference"].to_numpy()[:, None], part["cluster"].to_numpy()
    shown = part.filter(trained="yes")
    numbers: dict[str, Any] = {"rows": shown.height, "in": shown["score"].mean(), "out": shown["untrained"].mean()}
    numbers["others"] = int((~member).sum())
    for name, rows in (("difference", member), ("elsewhere", ~member)):
        estimate = means(values[rows], clusters=clusters[rows])
        numbers |= _with_bounds(name, estimate.estimate[0], estimate.lower[0], estimate.upper[0])
    contrast = stratified_difference(values, member, clusters=clusters)
    return numbers | _with_bounds("effect", contrast.estimate[0], contrast.lower[0], contrast.upper[0])


def _with_bounds(name: str, estimate: float, lower: float, upper: float) -> dict[str, float]:
    return {name: estimate, f"{name}_lower": lower, f"{name}_upper": upper}


def pair_tables(lines: pl.DataFrame) -> tuple[Table, ...]:
    """The tables of the finding."""
    described = (
        ("pairs", "Models trained on rows beside models that were not", PAIR_COLUMNS, pair_effects),
        ("differences", "Difference of every row", DIFFERENCE_COLUMNS, pair_differences),
    )
    return tuple(
        Table(name, title, compute(lines), columns, f"answer = recount.{compute.__name__}(recount.pair_scores(study))")
        for name, title, columns, compute in described
    )


def pair_claim(tables: Tables, pair: dict[str, Any]) -> str:
    """The sentence on one record of `pair_effects`."""
    score = "a mean M" if tables.graded else "a recited share"
    rows = f"{pair['rows']:,} row{'s' * (pair['rows'] != 1)}"
    text = (
        f"At {tables.reference} tokens {pair['model']} has {score} of {pair['in']:.3f} on {rows} it was trained on, "
        f"and models that were not have {pair['out']:.3f} on them: a difference of {format_difference(pair)}"
    )
    if pair["effect"] is None:
        return f"{text}; no row that neither was trained on tells how the models differ otherwise."
    return f"{text}; less what sets them apart on other rows, {format_difference(pair, 'effect')} is left."


def pair_sentence(pair: dict[str, Any], name: str) -> str:
    """The difference on the rows that the model was trained on; name: "effect", or "difference"."""
    change = f"{pair[name]:+.3f} {format_bounds(pair[f'{name}_lower'], pair[f'{name}_upper'])}"
    rows = format_count(pair["rows"])
    return f"On {rows} that it was trained on, {pair['model']} is {change} above models that were not."


def pair_control(pair: dict[str, Any]) -> str | None:
    """The difference where training on the row cannot be the reason."""
    if pair["elsewhere"] is None:
        return None
    rows = f"{pair['others']:,} row{'s' * (pair['others'] != 1)}"
    return (
        f"On {rows} that neither was trained on the same difference of {pair['model']} is "
        f"{format_difference(pair, 'elsewhere')}."
    )


PAIR_CAVEATS: Final = (
    "No row has 2 models on both sides: its difference has no standard error, and intervals over rows say nothing of "
    "how models vary that are trained again.",
)
