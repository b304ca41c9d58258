"""Reads rows in full from a study's tables: neither the corpus nor a model is needed, for text a tokenizer."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mematlas.errors import OptionError, StudyError
from mematlas.errors.remedies import command_line
from mematlas.rows.token_texts import token_texts
from mematlas.study import Run, Study
from mematlas.study.row import Mark, Recital, Row
from mematlas.types import Grid, reference_cell

if TYPE_CHECKING:
    import polars as pl


def read_row(
    study: Study, row: int, context: int | None, continuation: int | None, run: str | None, tokenizer: str | None
) -> Row:
    """See `Study.row`, which calls it."""
    selected = study.run(run)
    return read_rows(study, [row], selected, choose_cell(selected, context, continuation), tokenizer=tokenizer)[0]


def choose_cell(run: Run, context: int | None, continuation: int | None) -> tuple[int, int]:
    """The cell of the grid with these lengths; where one is None, that nearest to 32.

    Raises:
        OptionError: the run has no such length.
    """
    for name, value in (("context", context), ("continuation", continuation)):
        if value is not None and value not in run.settings[name]:
            lengths = ", ".join(map(str, run.settings[name]))
            raise OptionError(f"--{name} {value}: run {run.key} has none of {value} tokens, only {lengths}.")
    contexts = run.settings["context"] if context is None else [context]
    continuations = run.settings["continuation"] if continuation is None else [continuation]
    return reference_cell(contexts, continuations)


def read_rows(
    study: Study,
    rows: Sequence[int],
    run: Run,
    cell: tuple[int, int],
    *,
    models: Iterable[str] | None = None,
    tokenizer: str | None = None,
) -> list[Row]:
    """Rows in full, in the order of `rows`, at a cell (context, continuation); of all models by default.

    Args:
        tokenizer: folder or hub id of a tokenizer, instead of the models' own.

    Raises:
        StudyError: the run has no such row.
    """
    ids, models = list(dict.fromkeys(rows)), list(run.models if models is None else models)
    facts = _by_row(study.scan_rows(run.key), ids)
    for row in ids:
        if row not in facts:
            raise StudyError(f"{study.folder} has no row {row}; `{command_line('rows', study.folder)}` prints some.")
    at_cell = {"context": cell[0], "continuation": cell[1]}
    scores = study.scan_scores(run.key, partial=True).filter(**at_cell)
    scored = _by_model_and_row(scores, ids, models)
    tokens, token_remarks = _tokens(study, run, ids)
    generated = {}
    if "free" in run.settings.get("signals", ()):
        free = study.scan_signals("free", run.key, context=cell[0], continuation=cell[1], partial=True)
        generated = _by_model_and_row(free.select("model", "row", "token"), ids, models)
    begun = []
    for row in ids:
        prompt, true = _cut(tokens.get(row), run, cell)
        recitals = [
            _recital(scored[model, row], generated.get((model, row)), true, cell[1])
            for model in models
            if (model, row) in scored
        ]
        values = {name: facts[row][name] for name in ("row", "role", "repetitions", "document", "source")}
        values |= {"context": cell[0], "continuation": cell[1], "context_tokens": prompt, "true_tokens": true}
        begun.append(Row(**values, recitals=tuple(recitals), remarks=token_remarks))
    return _with_texts(study, run, begun, tokenizer)


def _with_texts(study: Study, run: Run, rows: list[Row], tokenizer: str | None) -> list[Row]:
    """The rows with the texts of all their tokens, or with a remark that says why there are none."""
    lists: list[Sequence[int | None]] = []
    lists += [tokens for row in rows for tokens in (row.context_tokens, row.true_tokens) if tokens is not None]
    lists += [recital.generated for row in rows for recital in row.recitals if recital.generated is not None]
    ids = sorted({token for tokens in lists for token in tokens if token is not None})
    if not ids:
        return rows
    texts, remark = token_texts(study, run, ids, tokenizer)
    remarks = () if remark is None else (remark,)
    return [replace(row, texts=texts, remarks=(*row.remarks, *remarks)) for row in rows]


def _tokens(study: Study, run: Run, rows: list[int]) -> tuple[dict[int, list[int]], tuple[str, ...]]:
    """Row -> its first tokens, where row features have them; else a remark."""
    if "tokens" not in study.feature_kinds(run.key):
        features = command_line("features", study.folder)
        return {}, (f"The study has no tokens of its rows; `{features}` adds them from the corpus.",)
    return {row: record["tokens"] for row, record in _by_row(study.scan_features("tokens", run.key), rows).items()}, ()


def _cut(
    tokens: Sequence[int] | None, run: Run, cell: tuple[int, int]
) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """The tokens of the context and of the continuation; of a masked row all are context."""
    if tokens is None:
        return None, None
    settings = run.settings
    grid = Grid(tuple(settings["context"]), tuple(settings["continuation"]), settings.get("align", "start"))
    start, end = grid.span(*cell)
    return tuple(tokens[start : start + cell[0]]), None if grid.align == "masked" else tuple(
        tokens[start:end][cell[0] :]
    )


def _recital(score: dict[str, Any], free: dict[str, Any] | None, true: tuple[int, ...] | None, length: int) -> Recital:
    matches, verbatim = score["matches"], score["verbatim"]
    generated = None if free is None else tuple(free["token"])
    if generated is None and verbatim == length:
        generated = true  # it recites all of it
    hits: tuple[Mark, ...]
    if generated is not None and true is not None:
        hits = tuple(token == truth for token, truth in zip(generated, true, strict=False))
    elif verbatim is not None:
        hits = (*[True] * verbatim, *[False] * (verbatim < length))  # what follows the first miss is not known
    else:
        hits = ()
    return Recital(score["model"], matches, verbatim, score["margin"], score["reason"], generated, hits)


def _by_row(frame: "pl.LazyFrame", rows: list[int]) -> dict[int, dict[str, Any]]:
    import polars as pl

    selected = frame.filter(pl.col("row").is_in(rows)).collect(engine="streaming")
    return {record["row"]: record for record in selected.iter_rows(named=True)}


def _by_model_and_row(
    frame: "pl.LazyFrame", rows: list[int], models: list[str]
) -> dict[tuple[str, int], dict[str, Any]]:
    import polars as pl

    selected = frame.filter(pl.col("row").is_in(rows) & pl.col("model").is_in(models)).collect(engine="streaming")
    return {(record["model"], record["row"]): record for record in selected.iter_rows(named=True)}
