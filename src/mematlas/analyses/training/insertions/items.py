"""Every item at the end of every training that inserted it, or left it out: its level, its loss, whether it is recited.

An arm's label says what was done (`mematlas experiment insertions`): GROUP--standard, GROUP--2x-epoch (a corpus twice
as large, once), GROUP--1x-steps (repeated for as many steps as the largest), GROUP--window-0-25. Where there is no such
training, the items are the rows of a study whose exposures say how often each was shown (`mematlas import hubble`).
"""

from typing import Final

import polars as pl

from mematlas.analyses.frames.study_tables import Tables, read_tables
from mematlas.analyses.training.arms import split_names, with_parameters
from mematlas.study import Study

#: The arms that others are compared with, by name.
STANDARD: Final = "standard"
ONCE: Final = "1x-epoch"
#: What stands for the arm of models that were trained elsewhere.
ELSEWHERE: Final = "as imported"

ITEM_COLUMNS: Final = {
    "group": "models of one size and seed, which share items, levels and first weights",
    "model": "size of the models, of all seeds; a model of the study if it was trained elsewhere",
    "parameters": "number of weights",
    "arm": "what was trained: standard (without insertions), 1x-epoch, 2x-epoch, 1x-steps, window-0-25, as imported",
    "corpus": "size of the corpus, in units of the smallest; null if trained elsewhere",
    "steps": "optimizer steps of the training",
    "start": "where insertions may begin, in percent of the training; null without any, or if not known",
    "stop": "where they end",
    "level": "number of insertions; in the arm standard those of the other arms",
    "item": "number of the item in its level; the same in all arms of a group; a row's id if trained elsewhere",
    "loss": "nats per token of the item, its first one excepted",
    "recited": "whether the model recites the item after its first tokens",
}
_TYPES: Final = {"parameters": pl.Int64, "corpus": pl.Int64, "steps": pl.Int64, "start": pl.Int64, "stop": pl.Int64} | {
    "level": pl.Int64,
    "item": pl.Int64,
    "loss": pl.Float64,
    "recited": pl.Boolean,
}
_SCHEMA: Final = {name: _TYPES.get(name, pl.String) for name in ITEM_COLUMNS}


def insertion_items(study: Study, run: str | None = None) -> pl.DataFrame:
    """Every item in every model at the end of its training, with the columns ITEM_COLUMNS.

    Raises:
        StudyError: the run is not finished.
    """
    return insertion_items_of(read_tables(study, run))


def insertion_items_of(tables: Tables) -> pl.DataFrame:
    """As `insertion_items`, from tables; without insertions no records."""
    items = _trained_here(tables)
    if items.is_empty():
        items = _trained_elsewhere(tables)
    return items.sort("parameters", "model", "group", "arm", "level", "item", nulls_last=True)


def _trained_here(tables: Tables) -> pl.DataFrame:
    """Items that were measured while the models were trained."""
    if tables.probes is None:
        return pl.DataFrame(schema=_SCHEMA)
    known = split_names(tables.probes.collect()).filter(
        pl.col("set").str.starts_with("level-"),
        pl.col("branch").str.contains(r"^(standard|\d+x-(epoch|steps)|window-)"),
    )
    keys = ["group", "branch", "set", "block"]
    last = known.filter(pl.col("step") == pl.col("step").max().over("group", "branch"))

    def value(metric: str) -> pl.Expr:
        return pl.col("value").filter(pl.col("metric") == metric).first()

    wide = last.group_by(keys, maintain_order=True).agg(
        steps=pl.col("step").first(), loss=value("loss"), verbatim=value("verbatim")
    )
    window = pl.col("branch").str.extract_groups(r"^window-(\d+)-(\d+)$")
    whole = pl.when(pl.col("branch") != STANDARD)
    named = wide.drop_nulls().with_columns(
        model=pl.col("group").str.replace(r"-seed\d+$", ""),
        arm="branch",
        corpus=pl.col("branch").str.extract(r"^(\d+)x-").fill_null("1").cast(pl.Int64),
        start=window.struct[0].cast(pl.Int64).fill_null(whole.then(0)),
        stop=window.struct[1].cast(pl.Int64).fill_null(whole.then(100)),
        level=pl.col("set").str.strip_prefix("level-").cast(pl.Int64, strict=False),
        item="block",
        recited=pl.col("verbatim") >= tables.reference.continuation,
    )
    return with_parameters(named, tables.models, "group").select(*_SCHEMA).cast(_SCHEMA)  # type: ignore[arg-type]


def _trained_elsewhere(tables: Tables) -> pl.DataFrame:
    """Rows of which exposures say how often they were inserted, with the loss that scoring recorded."""
    if tables.exposures is None or "truth" not in tables.signals or tables.probes is not None:
        return pl.DataFrame(schema=_SCHEMA)
    cell = tables.reference
    times = tables.exposures.group_by("model", "row").agg(level=pl.col("times").sum())
    known = times.select("model").unique()
    loss = -pl.col("log_probability").list.mean()
    of_cell = {"context": cell.context, "continuation": cell.continuation}
    losses = tables.cell_signals("truth", cell).select("model", "row", loss.alias("loss").cast(pl.Float64))
    scored = tables.scored_rows().filter(role="train", **of_cell).select("model", "row", "recited")
    joined = (
        scored.join(losses, on=["model", "row"]).join(known, on="model").join(times, on=["model", "row"], how="left")
    )
    sizes = tables.models.select("model", "parameters", steps="training_step")
    items = joined.collect(engine="streaming").join(sizes, on="model", how="left").drop_nulls("loss")
    items = items.with_columns(pl.col("level").fill_null(0))
    several = pl.col("level").n_unique().over("model") > 2
    unknown = [pl.lit(None, pl.Int64).alias(name) for name in ("corpus", "start", "stop")]
    return (
        items.filter(several, pl.col("level").min().over("model") == 0)
        .with_columns(*unknown, group="model", arm=pl.lit(ELSEWHERE), item="row")
        .select(*_SCHEMA)
        .cast(_SCHEMA)  # type: ignore[arg-type]
    )
