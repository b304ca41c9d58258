"""Memorized and unmemorized share of rows against the length of the continuation.

Source: P1, Fig. 2 (b): counts of memorized and unmemorized rows for continuations of 16 to 96 tokens, context 32.
"""

from typing import Any, Final

import polars as pl

from mematlas.analyses.base import Analysis
from mematlas.analyses.frames.memorized_shares import (
    SHARES,
    beside_control,
    cells_of,
    in_order,
    memorized_shares,
    recited_in,
    shares_recipe,
    unevenly_scored,
)
from mematlas.analyses.frames.proportions import share_of, with_shares
from mematlas.analyses.frames.study_tables import Cell, Tables
from mematlas.analyses.trend_tests import majority
from mematlas.findings.finding import Axis, Chart, Finding, Table, Trend

_FIRM: Final = {
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
}
_FIRM_RECIPE: Final = """\
firm = recount.firm_lines(recount.lines(study, role="train")).group_by("model", "context", "shortest", "continuation")
counts = firm.agg(pl.len().alias("rows"), pl.sum("memorized_at_shortest", "surviving"))
answer = recount.with_shares(counts, "surviving", "memorized_at_shortest", "surviving_share")"""
_SLOWS: Final = ((32, 48), (64, 96))


def _firm(tables: Tables) -> pl.DataFrame:
    """One line a model, context and continuation above the shortest; columns _FIRM."""
    lines = []
    for model in tables.family:
        cells = cells_of(tables, model)
        for context in sorted({cell.context for cell in cells}):
            lines += _surviving(tables, model, [cell for cell in cells if cell.context == context])
    names = [name for name in _FIRM if not name.startswith("surviving_share")]
    schema = {name: pl.String if name == "model" else pl.Int64 for name in names}
    frame = pl.DataFrame(lines, schema=schema, orient="row")
    return with_shares(in_order(frame, tables), "surviving", "memorized_at_shortest", "surviving_share").select(*_FIRM)


def _surviving(tables: Tables, model: str, cells: list[Cell]) -> list[tuple[str | int, ...]]:
    """Lines of one model and context, whose cells are ascending."""
    if len(cells) < 2:
        return []
    wide = recited_in(tables, model, cells)
    memorized = int(wide[str(cells[0])].sum())
    found: list[tuple[str | int, ...]] = []
    for end in range(2, len(cells) + 1):
        kept = wide.select(pl.all_horizontal(str(cell) for cell in cells[:end]).sum()).item()
        last = cells[end - 1]
        found.append((model, last.context, cells[0].continuation, last.continuation, wide.height, memorized, kept))
    return found


def _lost(tables: Tables, model: str, context: int, shorter: int, longer: int) -> tuple[int, int]:
    """Rows memorized at the shorter continuation only, and at the longer one only."""
    first, last = Cell(context, shorter), Cell(context, longer)
    wide = recited_in(tables, model, [first, last])
    lost = wide.select((pl.col(str(first)) & ~pl.col(str(last))).sum()).item()
    gained = wide.select((~pl.col(str(first)) & pl.col(str(last))).sum()).item()
    return lost, gained


def _falls(tables: Tables, model: str, context: int, lengths: list[int]) -> Trend:
    lost, gained = _lost(tables, model, context, lengths[0], lengths[-1])
    test = (
        f"of rows scored by {model} at both {context} + {lengths[0]} and {context} + {lengths[-1]} tokens, {lost:,} "
        f"are memorized at the shorter continuation only and {gained:,} at the longer only; where both are cut from "
        "one greedy text the latter cannot be, so that only a loss was open; shown if the 95 % interval of the first "
        "among both is above one half"
    )
    return Trend("recited-rows-fall-with-continuation", majority(lost, gained), test)


def _slows(tables: Tables, model: str, context: int, lengths: list[int]) -> Trend:
    """Rows lost in P1's two steps; other grids give their own first and last step, but no verdict."""
    testable = {length for step in _SLOWS for length in step} <= set(lengths)
    steps = _SLOWS if testable else ((lengths[0], lengths[1]), (lengths[-2], lengths[-1]))
    early, late = (_lost(tables, model, context, *step)[0] for step in steps)
    name = "fall-with-continuation-slows"
    (first, second), (third, last) = steps
    if testable:
        test = (
            f"{model} at a context of {context} tokens loses {early:,} memorized rows from {first} to {second} tokens "
            f"and {late:,} from {third} to {last}; shown if the 95 % interval of the first among both is above one half"
        )
        return Trend(name, majority(early, late), test)
    seen = (
        f"; in its own grid {model} loses {early:,} memorized rows from {first} to {second} tokens and {late:,} from "
        f"{third} to {last}"
    )
    lacking = "the study lacks continuations of 32, 48, 64 and 96 tokens at one context"
    return Trend(name, "cannot tell", lacking + (seen if len(lengths) > 2 else ""))


def answer(tables: Tables) -> Finding:
    """How the memorized and unmemorized shares change with the continuation at each context.

    The claim is on the largest model at the context nearest to 32 tokens.
    """
    question = "whether memorization falls with the length of the continuation"
    if not tables.complete:
        remedy = "Score all rows of a selection, recited or not: `mematlas score MODEL --corpus PATH --study FOLDER`."
        return ANALYSIS.lacking(tables, question, "scores of all rows, not of recited rows alone", remedy)
    firm = _firm(tables)
    if not firm.height:
        remedy = "Score rows at two continuations: `mematlas score ... --continuation 16,32,64`."
        return ANALYSIS.lacking(tables, question, "training rows scored at two continuations of one context", remedy)
    line = _spoken_of(tables, firm)
    model, context = line["model"], line["context"]
    lengths = [cell.continuation for cell in cells_of(tables, model) if cell.context == context]
    shares = memorized_shares(tables)
    return Finding(
        ANALYSIS.name,
        ANALYSIS.title,
        _claim(shares, line),
        ANALYSIS.source,
        ANALYSIS.taxonomy(tables),
        control=beside_control(shares, Cell(context, line["shortest"])),
        tables=(
            Table("shares", "Memorized and unmemorized rows by continuation", shares, SHARES, shares_recipe(tables)),
            Table("firm", "Rows that stay memorized at longer continuations", firm, _FIRM, _FIRM_RECIPE),
        ),
        charts=_charts(tables, firm),
        trends=(_falls(tables, model, context, lengths), _slows(tables, model, context, lengths)),
        caveats=_caveats(tables, shares),
        deviations=_DEVIATIONS,
    )


def _spoken_of(tables: Tables, firm: pl.DataFrame) -> dict[str, Any]:
    """The line of the largest model at the context nearest to 32 tokens and its longest continuation."""
    here = firm.filter((pl.col("context") - 32).abs() == (pl.col("context") - 32).abs().min())
    scored = set(here["model"])
    model = [name for name in (*tables.family, *tables.by_size) if name in scored][-1]
    return here.filter(model=model).sort("context", "continuation").row(-1, named=True)


def _claim(shares: pl.DataFrame, line: dict[str, Any]) -> str:
    model, context = line["model"], line["context"]
    here = shares.filter(model=model, role="train", context=context)
    first, last = (
        here.filter(continuation=length).row(0, named=True) for length in (line["shortest"], line["continuation"])
    )
    start = (
        f"At a context of {context} tokens {model} recites {share_of(first, 'memorized_share')} of {first['rows']:,} "
        f"rows whole over {line['shortest']} tokens and {share_of(last, 'memorized_share')} of {last['rows']:,} over "
        f"{line['continuation']}"
    )
    if not line["memorized_at_shortest"]:
        return (
            f"{start}; no row scored at every continuation is memorized at the shortest, so no share of firmly "
            "memorized rows can be given."
        )
    return (
        f"{start}; of {line['memorized_at_shortest']:,} rows memorized at the shortest and scored at every "
        f"continuation, {share_of(line, 'surviving_share')} are firmly memorized: at every longer one too."
    )


def _charts(tables: Tables, firm: pl.DataFrame) -> tuple[Chart, ...]:
    length, model = Axis("continuation", "continuation, tokens"), Axis("model", "model", "nominal")

    def lines(name: str, title: str, table: str, column: str, axis: str, dash: str | None) -> Chart:
        y = Axis(column, axis, share=True)
        ends = (f"{column}_lower", f"{column}_upper")
        return Chart(name, title, "lines", table, length, y, model, *ends, facet="context", dash=dash)

    found = [
        lines("memorized", "Memorized rows by continuation", "shares", "memorized_share", "rows with M = 1", "role")
    ]
    if tables.graded:
        title = "Unmemorized rows by continuation"
        found.append(lines("unmemorized", title, "shares", "unmemorized_share", "rows with M = 0", "role"))
    if firm["surviving_share"].is_not_null().any():
        title = "Rows memorized at the shortest continuation that stay memorized"
        found.append(lines("firm", title, "firm", "surviving_share", "of rows memorized at the shortest", None))
    return tuple(found)


def _caveats(tables: Tables, shares: pl.DataFrame) -> tuple[str, ...]:
    found = [
        "M = 1 over a longer continuation asks for M = 1 over the shorter one too, so the share can only fall: its "
        "size, not the fall, is the finding."
    ]
    if unevenly_scored(shares, "context"):
        found.append(
            "Not all rows were scored at every continuation: the shares of the continuations are of different rows; "
            "those of rows that stay memorized are of the same."
        )
    if not tables.has_control:
        found.append("The study has no control rows: a floor of lucky guesses is unknown.")
    return tuple(found)


_DEVIATIONS: Final = (
    "P1 counts all rows of the training stream; these are the rows of the study, as shares with Wilson intervals.",
    "P1 gives no share of firmly memorized rows; counting rows memorized at every continuation of the grid is ours.",
)
ANALYSIS: Final = Analysis(
    "continuation",
    "Length of the continuation",
    "P1, Figure 2 (b)",
    "scores of all rows at two continuations of one context",
    answer,
    ("recited-rows-fall-with-continuation", "fall-with-continuation-slows"),
)
