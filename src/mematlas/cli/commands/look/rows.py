"""`mematlas rows`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from mematlas.analyses.frames.study_tables import Cell, read_tables
from mematlas.analyses.row_selection import Level, Order, Selection, select_rows
from mematlas.cli.lists import COMMAS
from mematlas.cli.numbers import Positive
from mematlas.cli.output import Json, number, print_json, print_table
from mematlas.display import on_one_line
from mematlas.errors.remedies import command_line
from mematlas.rows.reading import choose_cell, read_rows
from mematlas.study import Run, Study, open_study
from mematlas.study.row import Piece, Recital, Row

if TYPE_CHECKING:
    import polars as pl

_STYLES: Final = {True: "green", False: "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsOptions:
    """The options of `mematlas rows`.

    Parameters
    ----------
    recited
        Only rows that the model recites whole.
    text
        Also print prompt, true and generated continuation; needs row features, which hold the tokens.
    model
        Labels of models, as printed by `mematlas show`; the largest of the family by default.
    context
        A context length of the grid, in tokens; the one nearest to 32 by default.
    continuation
        A continuation length of the grid, in tokens; the one nearest to 32 by default.
    level
        Only rows of these levels of M.
    role
        Only rows that models were trained on, or only those of the control.
    sort
        The number by which rows are ordered, largest first.
    ascending
        Smallest first.
    limit
        Number of rows to print.
    run
        The start of a run's key, as printed by `mematlas show`; the latest run by default.
    tokenizer
        Folder or hub id of a tokenizer for the text; by default the one that the rows were scored with.
    """

    recited: Annotated[bool, Parameter(negative=())] = False
    text: Annotated[bool, Parameter(negative=())] = False
    model: Annotated[list[str], Parameter(consume_multiple=1), COMMAS] = field(default_factory=list)
    context: Positive | None = None
    continuation: Positive | None = None
    level: Annotated[list[Level], Parameter(consume_multiple=1), COMMAS] = field(default_factory=list)
    role: Literal["train", "control"] | None = None
    sort: Order = "m"
    ascending: Annotated[bool, Parameter(negative=())] = False
    limit: Positive = 20
    run: str | None = None
    tokenizer: str | None = None


_DEFAULTS: Final = RowsOptions()


def rows(study: str, *, options: Annotated[RowsOptions, Parameter(name="*")] = _DEFAULTS, json_: Json = False) -> None:
    """Print single rows: what a model recites of each, and with --text the text itself, with hits marked.

    Example: mematlas rows study --recited --text

    In a terminal recited tokens are green and missed ones red; elsewhere missed ones stand between ⟦ and ⟧.

    Parameters
    ----------
    study
        The folder or URL of a study that was scored.
    """
    opened = open_study(study)
    run = opened.run(options.run)
    cell = Cell(*choose_cell(run, options.context, options.continuation))
    tables = read_tables(opened, run.key, partial=True)
    scored = [model for model in run.models if opened.done(run, model)]
    selection = select_rows(
        tables,
        cell,
        models=options.model or [next((model for model in reversed(tables.by_size) if model in scored), scored[0])],
        recited=options.recited,
        levels=options.level,
        role=options.role,
        by=options.sort,
        ascending=options.ascending,
    )
    shown = selection.rows.head(min(options.limit, selection.rows.height))
    full = _read(opened, run, cell, shown, options.tokenizer) if options.text else None
    if json_:
        print_json(_document(opened, run, selection, shown, full))
        return
    first = f"; the first {shown.height:,}:" if shown.height < selection.rows.height else ""
    print(f"{selection.rows.height:,} of {selection.scored:,} rows at {cell} tokens (run {run.key}){first}")
    if any(opened.missing(run, model) for model in run.models):
        print(f"Not all of the run is scored; what is missing: {command_line('show', study)}")
    if full is None:
        _print_table(shown)
    else:
        _print_texts(shown, full)


def _read(study: Study, run: Run, cell: Cell, shown: "pl.DataFrame", tokenizer: str | None) -> dict[int, Row]:
    """The rows that are printed, in full, by their ids."""
    models = shown["model"].unique(maintain_order=True).to_list()
    ids, place = shown["row"].to_list(), (cell.context, cell.continuation)
    full = read_rows(study, ids, run, place, models=models, tokenizer=tokenizer)
    return {row.row: row for row in full}


def _print_table(shown: "pl.DataFrame") -> None:
    table = [
        [
            str(record["row"]),
            on_one_line(record["model"]),
            record["role"],
            number(record["m"]),
            _count(record["verbatim"]),
            _count(record["repetitions"]),
            _count(record["document"]),
            on_one_line(record["source"] or "-"),
        ]
        for record in shown.iter_rows(named=True)
    ]
    print_table(["row", "model", "role", "M", "verbatim", "repetitions", "document", "source"], table)


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


# --------------------------------------------------------------------------------------------------------------- texts


def _print_texts(shown: "pl.DataFrame", full: dict[int, Row]) -> None:
    """Each row with its prompt, and with what is true and what was generated after it."""
    console = Console(highlight=False, soft_wrap=True)
    for record in shown.iter_rows(named=True):
        row = full[record["row"]]
        recital = _recital(row, record["model"])
        known = [f"row {row.row}", on_one_line(recital.model), row.role, f"M {number(record['m'])}"]
        known += [f"verbatim {_count(recital.verbatim)}"]
        known += [] if row.repetitions is None else [f"shown {row.repetitions:,} times"]
        known += [] if row.source is None else [on_one_line(row.source)]
        console.print()
        console.print(Text(", ".join(known), style="bold"))
        prompt = row.prompt()
        lines = {
            "prompt": None if prompt is None else [Piece(prompt)],
            "true": row.true(recital),
            "generated": row.generated(recital),
        }
        for name, pieces in lines.items():
            if pieces is not None:
                console.print(Text(f"  {name:<9}  ").append_text(_marked(pieces, console.color_system is not None)))
    remarks = dict.fromkeys(remark for row in full.values() for remark in row.remarks)
    for remark in remarks:
        print(f"\n{remark}")


def _recital(row: Row, model: str) -> Recital:
    return next(recital for recital in row.recitals if recital.model == model)


def _marked(pieces: Sequence[Piece], has_colours: bool) -> Text:
    """The pieces in colours, or else with what is missed between brackets."""
    text = Text()
    for piece in pieces:
        shown = on_one_line(piece.text)
        if has_colours:
            text.append(shown, None if piece.recited is None else _STYLES[piece.recited])
        else:
            text.append(f"⟦{shown}⟧" if piece.recited is False else shown)
    return text


def _document(
    study: Study, run: Run, selection: Selection, shown: "pl.DataFrame", full: dict[int, Row] | None
) -> dict[str, Any]:
    """All that the command prints, as one object."""
    records = shown.to_dicts()
    if full is not None:
        records = [record | _texts(full[record["row"]], record["model"]) for record in records]
    head = {"study": study.folder, "run": run.key, "context": selection.cell.context}
    counts = {"scored": selection.scored, "selected": selection.rows.height}
    return {**head, "continuation": selection.cell.continuation, **counts, "rows": records}


def _texts(row: Row, model: str) -> dict[str, Any]:
    recital = _recital(row, model)
    texts = {
        name: None if pieces is None else "".join(piece.text for piece in pieces)
        for name, pieces in (("true", row.true(recital)), ("generated", row.generated(recital)))
    }
    return {"prompt": row.prompt(), **texts, "hits": recital.hits, "remarks": row.remarks}
