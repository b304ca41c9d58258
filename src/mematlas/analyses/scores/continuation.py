"""Memorized and unmemorized share of rows against the length of the continuation.

Source: P1, Fig. 2 (b): counts of memorized and unmemorized rows for continuations of 16 to 96 tokens, context 32.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.distinct_texts import format_counts, text_records, text_shares
from mematlas.analyses.frames.memorized_shares import (
    control_sentence,
    in_model_order,
    memorized_shares,
    recited_by_cell,
    scored_cells,
    share_columns_across,
    shares_recipe,
)
from mematlas.analyses.frames.proportions import SAMPLE_COLUMNS, format_share, with_shares
from mematlas.analyses.frames.rows_left_out import left_out_sentences
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.phrasing import by_verdict, format_sizes
from mematlas.analyses.trend_tests import clustered_majority_verdict
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend

_FIRM_COLUMNS: Final = {
    "model": "label of the model",
    "context": "tokens of the prompt",
    "shortest": "tokens of the shortest continuation",
    "continuation": "tokens to recite",
    "rows": "training rows scored at every continuation of the context",
    "memorized_at_shortest": "of them, rows memorized at the shortest",
    "surviving": "of them, rows memorized at every continuation up to this one; firmly memorized at the longest",
    "surviving_share": "surviving / memorized_at_shortest; null where no row is memorized",
    "surviving_share_lower": "lower end of its Wilson 95 % interval",
    "surviving_share_upper": "upper end of its Wilson 95 % interval",
    **SAMPLE_COLUMNS,
}
_FIRM_RECIPE: Final = """\
firm = recount.firm_lines(recount.lines(study, role="train")).group_by(recount.FIRM_KEYS)
counts = firm.agg(pl.len().alias("rows"), pl.sum("memorized_at_shortest", "surviving"))
answer = recount.with_shares(counts, "surviving", "memorized_at_shortest", "surviving_share", sums=["rows"])"""
_P1_STEPS: Final = ((32, 48), (64, 96))


def _firm_counts(tables: Tables) -> pl.DataFrame:
    """One record per model, context and continuation above the shortest; columns _FIRM_COLUMNS."""
    records = []
    for model in tables.family:
        cells = scored_cells(tables, model)
        for context in sorted({cell.context for cell in cells}):
            records += _survivors(tables, model, [cell for cell in cells if cell.context == context])
    if not records:
        return pl.DataFrame(schema=dict.fromkeys(_FIRM_COLUMNS, pl.Int64))
    counts = in_model_order(pl.concat(records), tables)
    shares = with_shares(counts, "surviving", "memorized_at_shortest", "surviving_share", sums=["rows"])
    return shares.select(*_FIRM_COLUMNS)


def _survivors(tables: Tables, model: str, cells: list[Cell]) -> list[pl.DataFrame]:
    """The counts of one model and context, given its cells in ascending order; a frame per continuation."""
    if len(cells) < 2:
        return []
    wide = recited_by_cell(tables, model, cells)
    memorized = pl.col(str(cells[0])).sum().cast(pl.Int64).alias("memorized_at_shortest")
    frames = []
    for end in range(2, len(cells) + 1):
        surviving = pl.all_horizontal(str(cell) for cell in cells[:end]).sum().cast(pl.Int64).alias("surviving")
        keys = {
            "context": cells[0].context,
            "shortest": cells[0].continuation,
            "continuation": cells[end - 1].continuation,
        }
        rows = pl.len().cast(pl.Int64).alias("rows")
        counts = tables.sum_by_cluster(wide, rows, memorized, surviving)
        labels = [pl.lit(value, pl.Int64).alias(name) for name, value in keys.items()]
        frames.append(counts.select(pl.lit(model).alias("model"), *labels, pl.all()))
    return frames


def _lost_and_gained(tables: Tables, model: str, context: int, shorter: int, longer: int) -> pl.DataFrame:
    """The numbers of rows memorized at the shorter continuation only (lost), and at the longer one only (gained).

    One record per cluster where rows come in clusters.
    """
    first, last = Cell(context, shorter), Cell(context, longer)
    wide, before, after = recited_by_cell(tables, model, [first, last]), pl.col(str(first)), pl.col(str(last))
    return tables.sum_by_cluster(wide, (before & ~after).sum().alias("lost"), (~before & after).sum().alias("gained"))


def _fall_trend(tables: Tables, model: str, context: int, lengths: list[int]) -> Trend:
    counts = _lost_and_gained(tables, model, context, lengths[0], lengths[-1])
    lost, gained = counts["lost"].sum(), counts["gained"].sum()
    test = (
        f"of {model}'s rows {lost:,} are memorized at {context} + {lengths[0]} tokens only, and {gained:,} at "
        f"{context} + {lengths[-1]} only. Where both are cut from one greedy text only a loss is possible. "
        "Shown if the 95 % interval of the first among both is above one half"
    )
    return Trend("recited-rows-fall-with-continuation", clustered_majority_verdict(counts, "lost", "gained"), test)


def _slowing_trend(tables: Tables, model: str, context: int, lengths: list[int]) -> Trend:
    """The verdict on the rows lost in P1's two steps; for other grids their own first and last step, but no verdict."""
    testable = {length for step in _P1_STEPS for length in step} <= set(lengths)
    steps = _P1_STEPS if testable else ((lengths[0], lengths[1]), (lengths[-2], lengths[-1]))
    counts = pl.concat(
        [
            _lost_and_gained(tables, model, context, *step).drop("gained").rename({"lost": name})
            for step, name in zip(steps, ("early", "late"), strict=True)
        ],
        how="diagonal",
    )
    sums = [pl.col(name).sum() for name in ("early", "late")]
    counts = counts.group_by("cluster").agg(*sums) if tables.cluster_key else counts.select(*sums)
    early, late = counts["early"].sum(), counts["late"].sum()
    name = "fall-with-continuation-slows"
    (first, second), (third, last) = steps
    if testable:
        test = (
            f"{model} at a context of {context} tokens loses {early:,} memorized rows from {first} to {second} tokens "
            f"and {late:,} from {third} to {last}. Shown if the 95 % interval of the first among both is above one half"
        )
        return Trend(name, clustered_majority_verdict(counts, "early", "late"), test)
    own_grid = (
        f". In its own grid {model} loses {early:,} memorized rows from {first} to {second} tokens and {late:,} from "
        f"{third} to {last}"
    )
    reason = "the study lacks continuations of 32, 48, 64 and 96 tokens at one context"
    return Trend(name, "cannot tell", reason + (own_grid if len(lengths) > 2 else ""))


def compute(tables: Tables) -> Finding:
    """Compute how the memorized and unmemorized shares change with the continuation at each context.

    The claim is on the largest model at the context nearest to 32 tokens.
    """
    question = "whether memorization falls with the length of the continuation"
    if not tables.complete:
        remedy = "Score all rows of a selection, recited or not: `mematlas score MODEL --corpus PATH --study FOLDER`."
        return ANALYSIS.insufficient_data(tables, question, "scores of all rows, not of recited rows alone", remedy)
    firm_counts = _firm_counts(tables)
    if not firm_counts["rows"].sum():
        remedy = "Score rows at two continuations: `mematlas score ... --continuation 16,32,64`."
        return ANALYSIS.insufficient_data(
            tables, question, "training rows scored at two continuations of one context", remedy
        )
    headline = _headline_record(tables, firm_counts.filter(pl.col("rows") > 0))
    model, context = headline["model"], headline["context"]
    lengths = [cell.continuation for cell in scored_cells(tables, model) if cell.context == context]
    shares, columns = memorized_shares(tables, "continuation"), share_columns_across("continuation")
    recipe, fall = shares_recipe(tables, across="continuation"), _fall_trend(tables, model, context, lengths)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(tables, shares, headline),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        control=control_sentence(shares, Cell(context, headline["shortest"])),
        tables=(
            Table("shares", "Memorized and unmemorized rows by continuation", shares, columns, recipe),
            Table("firm", "Rows that stay memorized at longer continuations", firm_counts, _FIRM_COLUMNS, _FIRM_RECIPE),
        ),
        charts=_charts(tables, firm_counts),
        trends=(fall, _slowing_trend(tables, model, context, lengths)),
        caveats=_caveats(tables),
        deviations=_DEVIATIONS,
        headline=by_verdict(
            fall.verdict,
            "Longer continuations are recited less often",
            "Longer continuations are recited more often",
            "A longer continuation makes no clear difference",
        ),
        sentence=_sentence(tables, shares, headline),
    )


def _headline_record(tables: Tables, firm_counts: pl.DataFrame) -> dict[str, Any]:
    """The record of the largest model at the context nearest to 32 tokens and its longest continuation."""
    candidates = firm_counts.filter((pl.col("context") - 32).abs() == (pl.col("context") - 32).abs().min())
    scored = set(candidates["model"])
    model = [name for name in (*tables.family, *tables.by_size) if name in scored][-1]
    return candidates.filter(model=model).sort("context", "continuation").row(-1, named=True)


def _claim(tables: Tables, shares: pl.DataFrame, headline: dict[str, Any]) -> str:
    start = f"At a context of {headline['context']} tokens {headline['model']} recites "
    start += _recited(tables, shares, headline)
    if not headline["memorized_at_shortest"]:
        return (
            f"{start}; no row scored at every continuation is memorized at the shortest, so no share of firmly "
            "memorized rows can be given."
        )
    return (
        f"{start}; of {headline['memorized_at_shortest']:,} rows memorized at the shortest and scored at every "
        f"continuation, {format_share(headline, 'surviving_share')} are firmly memorized: at every longer one too."
    )


def _recited(tables: Tables, shares: pl.DataFrame, headline: dict[str, Any]) -> str:
    """The shares recited over the shortest and the longest continuation: of distinct texts, where rows are copies."""
    model, lengths = headline["model"], (headline["shortest"], headline["continuation"])
    texts = text_records(text_shares(tables), *((model, Cell(headline["context"], length)) for length in lengths))
    if texts is not None:
        first, last = (f"{format_share(record, 'share')} of {record['texts']:,}" for record in texts)
        counts = [format_counts(record) for record in texts]
        return (
            f"{first} distinct texts whole over {lengths[0]} tokens ({counts[0]}) and {last} over {lengths[1]} "
            f"({counts[1]})"
        )
    model_shares = shares.filter(model=model, role="train", context=headline["context"])
    records = [model_shares.row(by_predicate=pl.col("continuation") == length, named=True) for length in lengths]
    first, last = (f"{format_share(record, 'memorized_share')} of {record['rows']:,}" for record in records)
    return f"{first} rows whole over {lengths[0]} tokens and {last} over {lengths[1]}"


def _sentence(tables: Tables, shares: pl.DataFrame, headline: dict[str, Any]) -> str:
    """The shares recited over the shortest and the longest continuation, as in the claim."""
    model, context = headline["model"], headline["context"]
    lengths = (headline["shortest"], headline["continuation"])
    records = text_records(text_shares(tables), *((model, Cell(context, length)) for length in lengths))
    share, noun = "share", "text"
    if records is None:
        of_model = shares.filter(model=model, role="train", context=context)
        records = [of_model.row(by_predicate=pl.col("continuation") == length, named=True) for length in lengths]
        share, noun = "memorized_share", "row"
    first, last = (format_share(record, share) for record in records)
    of = format_sizes([record[f"{noun}s"] for record in records], noun)
    return f"{model} recites {first} over {lengths[0]} tokens and {last} over {lengths[1]}, of {of}."


def _charts(tables: Tables, firm_counts: pl.DataFrame) -> tuple[Chart, ...]:
    length, model = Axis("continuation", "continuation, tokens"), Axis("model", "model", "nominal")

    def line_chart(name: str, title: str, table: str, column: str, y_title: str, dash: str | None) -> Chart:
        y = Axis(column, y_title, share=True)
        bounds = (f"{column}_lower", f"{column}_upper")
        return Chart(name, title, "lines", table, length, y, model, *bounds, facet="context", dash=dash)

    charts = [
        line_chart(
            "memorized", "Memorized rows by continuation", "shares", "memorized_share", "rows with M = 1", "role"
        )
    ]
    if tables.graded:
        title = "Unmemorized rows by continuation"
        charts.append(line_chart("unmemorized", title, "shares", "unmemorized_share", "rows with M = 0", "role"))
    if firm_counts["surviving_share"].is_not_null().any():
        title = "Rows memorized at the shortest continuation that stay memorized"
        charts.append(line_chart("firm", title, "firm", "surviving_share", "of rows memorized at the shortest", None))
    return tuple(charts)


def _caveats(tables: Tables) -> tuple[str, ...]:
    caveats = [
        "M = 1 over a longer continuation asks for M = 1 over the shorter one too, so the share can only fall: its "
        "size, not the fall, is the finding.",
        *left_out_sentences(tables, "continuation"),
    ]
    if not tables.has_control:
        caveats.append("The study has no control rows: a floor of lucky guesses is unknown.")
    return tuple(caveats)


_DEVIATIONS: Final = (
    "P1 counts all rows of the training stream; these are the rows of the study, as shares with Wilson intervals.",
    "P1 gives no share of firmly memorized rows; counting rows memorized at every continuation of the grid is ours.",
)
ANALYSIS: Final = Analysis(
    "continuation",
    "Length of the continuation",
    "P1, Figure 2 (b)",
    "scores of all rows at two continuations of one context",
    compute,
    ("recited-rows-fall-with-continuation", "fall-with-continuation-slows"),
)
