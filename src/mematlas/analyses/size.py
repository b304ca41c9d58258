"""Memorized and unmemorized share of rows against model size.

Source: P1, Fig. 2 (a): counts of memorized (M = 1) and unmemorized (M = 0) rows by model size, 70M to 12B.
"""

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.shares import between, percent, with_shares
from mematlas.analyses.tables import Tables
from mematlas.findings import Axis, Chart, Finding, Table, Trend

_COLUMNS = {
    "model": "label of the model",
    "parameters": "number of weights",
    "role": "train: rows of the corpus; control: rows no model was trained on; control model: untrained on the corpus",
    "context": "tokens of the prompt",
    "continuation": "tokens to recite",
    "rows": "rows scored",
    "memorized": "rows with M = 1",
    "unmemorized": "rows with M = 0; null where M was not graded",
    "memorized_share": "memorized / rows",
    "memorized_share_lower": "lower end of its Wilson 95 % interval",
    "memorized_share_upper": "upper end of its Wilson 95 % interval",
    "unmemorized_share": "unmemorized / rows",
    "unmemorized_share_lower": "lower end of its Wilson 95 % interval",
    "unmemorized_share_upper": "upper end of its Wilson 95 % interval",
}
_RECIPE = """\
scored = study.scores().join(study.rows(), on="row").filter(pl.col("verbatim").is_not_null())
answer = scored.group_by("model", "role", "context", "continuation").agg(
    rows=pl.len(), memorized=(pl.col("verbatim") == pl.col("continuation")).sum())"""


def _shares(tables: Tables) -> pl.DataFrame:
    unmemorized = (pl.col("rows") * (pl.col("matches") == 0)).sum() if tables.graded else pl.lit(None, pl.Int64)
    counts = tables.counts().group_by("model", "role", "context", "continuation", maintain_order=True)
    frame = counts.agg(
        pl.col("rows").sum(),
        (pl.col("rows") * pl.col("recited")).sum().alias("memorized"),
        unmemorized.alias("unmemorized"),
    )
    members = tables.models.select("model", "parameters").with_row_index("order")
    frame = frame.join(members, on="model").filter(pl.col("model").is_in([*tables.by_size, *tables.control_models]))
    frame = with_shares(frame.sort("order", "role", "context", "continuation"), "memorized", name="memorized_share")
    if tables.graded:
        frame = with_shares(frame, "unmemorized", name="unmemorized_share")
    else:
        frame = frame.with_columns(
            pl.lit(None, pl.Float64).alias(f"unmemorized_share{end}") for end in ("", "_lower", "_upper")
        )
    return frame.select(*_COLUMNS)


def _trend(smallest: dict[str, float], largest: dict[str, float]) -> Trend:
    """Growth is shown, or contradicted, where the intervals of the smallest and the largest model do not overlap."""
    test = (
        f"memorized share {percent(smallest['memorized_share'])} ({_interval(smallest)}) in the smallest model, "
        f"{percent(largest['memorized_share'])} ({_interval(largest)}) in the largest; "
        "a direction is shown if the 95 % intervals are apart"
    )
    name = "recited-rows-grow-with-size"
    if largest["memorized_share_lower"] > smallest["memorized_share_upper"]:
        return Trend(name, "shows", test)
    if largest["memorized_share_upper"] < smallest["memorized_share_lower"]:
        return Trend(name, "contradicts", test)
    return Trend(name, "cannot tell", test)


def _interval(line: dict[str, float]) -> str:
    return between(line["memorized_share_lower"], line["memorized_share_upper"])


def answer(tables: Tables) -> Finding:
    """How the memorized and unmemorized shares change with model size, in every cell; the claim is on the reference."""
    cell = tables.reference
    if len(tables.by_size) < 2 or not tables.complete:
        wanted = "two models of different size" if tables.complete else "scores of all rows, not of recited rows alone"
        remedy = "Score more models together: `mematlas score MODEL MODEL ... --corpus PATH --study FOLDER`."
        return ANALYSIS.lacking(tables, "whether memorization grows with model size", wanted, remedy)
    frame = _shares(tables)
    here = frame.filter(context=cell.context, continuation=cell.continuation, role="train")
    smallest, largest = (here.row(by_predicate=pl.col("model") == model, named=True) for model in _ends(tables))
    trend = _trend(smallest, largest)
    errors = [(line["memorized_share_upper"] - line["memorized_share_lower"]) / 3.92 for line in (smallest, largest)]
    effect = largest["memorized_share"] - smallest["memorized_share"]
    control = frame.filter(context=cell.context, continuation=cell.continuation, role="control")
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        f"At {cell} tokens the memorized share is {percent(smallest['memorized_share'])} ({_interval(smallest)}) in "
        f"{smallest['model']} and {percent(largest['memorized_share'])} ({_interval(largest)}) in {largest['model']} "
        f"({largest['rows']:,} rows each).",
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        strength=abs(effect) / max(1e-9, sum(error**2 for error in errors) ** 0.5),
        control=(
            f"Rows no model was trained on: {percent(control['memorized_share'].max())} at most "
            f"(upper ends of the intervals up to {percent(control['memorized_share_upper'].max())})."
            if control.height
            else None
        ),
        tables=(Table("shares", "Memorized and unmemorized rows by model size", frame, _COLUMNS, _RECIPE),),
        charts=(
            Chart(
                "memorized",
                "Memorized share of rows by model size",
                "lines",
                "shares",
                Axis("parameters", "parameters", "log"),
                Axis("memorized_share", "rows with M = 1", share=True),
                Axis("continuation", "continuation, tokens", "ordinal"),
                "memorized_share_lower",
                "memorized_share_upper",
                "context",
                "role",
            ),
        ),
        trends=(trend,),
        caveats=() if tables.has_control else ("The study has no control rows: a floor of lucky guesses is unknown.",),
    )


def _ends(tables: Tables) -> tuple[str, str]:
    return tables.by_size[0], tables.by_size[-1]


ANALYSIS = Analysis(
    "size",
    "Model size",
    "P1, Figure 2 (a)",
    "two models of different size, all rows scored",
    answer,
    ("recited-rows-grow-with-size",),
)
