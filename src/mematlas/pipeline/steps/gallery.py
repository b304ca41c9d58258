"""Rows worth looking at, token by token: what the largest model was given, what is true, and what it said.

STUDY/gallery/study               the chosen rows scored again by that model alone, with per-token signals
STUDY/gallery/gallery.parquet     one line a row, see GALLERY
STUDY/gallery/places.parquet      where else the recited rows stand, see PLACES; only of studies with row features
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mematlas.features.occurrences import OccurrenceQuery
from mematlas.findings.finding import Finding
from mematlas.pipeline.steps.occurrences import locate
from mematlas.pipeline.steps.score import run_job
from mematlas.progress import Progress
from mematlas.scoring.job import ScoringJob, encoder, resolve_job
from mematlas.study import Study, write_atomically, write_table
from mematlas.study.schemas.features import PLACES

if TYPE_CHECKING:
    import polars as pl

    from mematlas.analyses.frames.study_tables import Cell, Tables

#: Our choice: so many rows recited whole, and half recited (M from 7/16 to 9/16), beside those that findings name.
RECITED = HALF_RECITED = 6

_TEXTS = pa.list_(pa.string())
GALLERY = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False, metadata={"is": "row id, a key of rows/"}),
        pa.field("why", pa.string(), nullable=False, metadata={"is": "what makes the row worth looking at"}),
        pa.field("source", pa.string()),
        pa.field("repetitions", pa.int64(), metadata={"is": "how often it was shown in training, where known"}),
        pa.field("model", pa.string(), nullable=False),
        pa.field("context", pa.int32(), nullable=False, metadata={"unit": "tokens"}),
        pa.field("continuation", pa.int32(), nullable=False, metadata={"unit": "tokens"}),
        pa.field("matches", pa.int32(), metadata={"unit": "tokens", "is": "positions where the model is right"}),
        pa.field("verbatim", pa.int32(), metadata={"unit": "tokens", "is": "tokens recited before the first miss"}),
        pa.field("context_tokens", _TEXTS),
        pa.field("true_tokens", _TEXTS, metadata={"is": "the continuation as it stands in the corpus"}),
        pa.field("generated_tokens", _TEXTS, metadata={"is": "greedy; empty texts behind an EOS that ends the text"}),
        pa.field("hit", pa.list_(pa.bool_()), metadata={"is": "generated = true, position by position"}),
        pa.field(
            "log_probability",
            pa.list_(pa.float32()),
            metadata={"unit": "nats", "is": "of the true token, teacher-forced; null where the EOS policy forbids it"},
        ),
    ]
)


@dataclass(frozen=True, slots=True)
class _Scored:
    """The chosen rows scored: by row id, the ids of all tokens that the grid reads."""

    study: Study
    tokens: dict[int, list[int]]
    texts: Callable[[Iterable[int]], dict[int, str]]


def gallery_path(study: Path) -> Path:
    return study / "gallery" / "gallery.parquet"


def places_path(study: Path) -> Path:
    return study / "gallery" / "places.parquet"


def make_gallery(
    question: ScoringJob, tables: "Tables", findings: Sequence[Finding], limit: int, watcher: Progress
) -> Path | None:
    """Score the chosen rows and write the gallery; returns its path, None where no row is worth a look.

    Args:
        question: the run's; its last model by size is asked.
        limit: how many rows the findings may bring.
    """
    path = gallery_path(question.config.study)
    largest, cell = tables.by_size[-1], tables.reference
    chosen = choose(tables, findings, limit)
    if not chosen:
        path.unlink(missing_ok=True)
        places_path(question.config.study).unlink(missing_ok=True)
        return None
    scored = _score(question, largest, cell, chosen, watcher)
    lines = _lines(scored, tables, largest, cell, chosen)
    _write_places(question, scored, tables, cell, watcher)
    write_table(path, pa.Table.from_pylist(lines, schema=GALLERY), {"run": question.run.key})
    return path


# --------------------------------------------------------------------------------------------------- which rows


def choose(tables: "Tables", findings: Sequence[Finding], limit: int) -> dict[int, str]:
    """Row ids of training rows -> why: those that findings name, in turn, then some recited whole or by half.

    Deterministic; among equals the row that was shown least comes first, then the lowest id.
    """
    import polars as pl

    ids = {row for finding in findings for row in finding.rows}
    train = set(tables.rows.filter(pl.col("row").is_in(ids), role="train").select("row").collect()["row"])
    named = [
        [(row, f"{why} ({finding.title})") for row, why in finding.rows.items() if row in train] for finding in findings
    ]
    chosen: dict[int, str] = {}
    for row, why in (pair for turn in zip_longest(*named) for pair in turn if pair is not None):
        if row not in chosen and len(chosen) >= limit:
            continue
        chosen[row] = f"{chosen[row]}; {why}" if row in chosen else why
    model, cell = tables.by_size[-1], tables.reference
    whole = tables.side_by_side((model,), cell, "recited").filter(pl.col(model))
    picked = _least_shown(tables, whole, RECITED, f"recited whole by {model}")
    if tables.graded:
        off = (2 * pl.col(model).cast(pl.Int64) - cell.continuation).abs()
        half = tables.side_by_side((model,), cell).filter(8 * off <= cell.continuation)
        picked |= _least_shown(tables, half, HALF_RECITED, f"about half recited by {model}")
    return chosen | {row: why for row, why in picked.items() if row not in chosen}


def _least_shown(tables: "Tables", frame: "pl.DataFrame", count: int, why: str) -> dict[int, str]:
    known = frame.lazy().join(tables.rows.select("row", "repetitions"), on="row")
    rows = known.sort("repetitions", "row", nulls_last=True).head(count).collect(engine="streaming")
    return dict.fromkeys(rows["row"], why)


# ---------------------------------------------------------------------------------------------- scored once more


def _score(question: ScoringJob, model: str, cell: "Cell", rows: Iterable[int], watcher: Progress) -> _Scored:
    """The rows under the model alone, at the cell and at the grid's corner: text is cut by the grid's width."""
    config = question.config
    ids = config.study / "gallery" / "rows.txt"
    lines = "".join(f"{row}\n" for row in sorted(rows))
    write_atomically(ids, lambda path: _write(path, lines))
    alone = config.model_copy(
        update={
            "study": config.study / "gallery" / "study",
            "rows": f"ids:{ids}",
            "control": None,
            "control_models": [],
            "context": sorted({cell.context, max(config.context)}),
            "continuation": sorted({cell.continuation, max(config.continuation)}),
            "depth": "graded",
            "signals": ["free", "truth"],
            "temperature": [],
            "shards": None,
        }
    )
    again = resolve_job([question.sources[model].card.spec], alone, extend=False)
    study = run_job(again, watcher)
    tokens: dict[int, list[int]] = {}
    for shard in range(again.plan.count):
        read, row_ids = again.plan.read(shard, again.options.grid.width)
        start = again.options.grid.split(cell.context) - cell.context
        tokens |= {int(row): line[start:].tolist() for row, line in zip(row_ids, read.ids, strict=True)}
    return _Scored(study, tokens, _reader(again))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _reader(question: ScoringJob) -> Callable[[Iterable[int]], dict[int, str]]:
    """Token ids -> their texts; `<id>` where the model has no tokenizer."""
    tokenizer = encoder(question.config, list(question.sources.values()))

    def texts(ids: Iterable[int]) -> dict[int, str]:
        distinct = sorted(set(ids))
        if tokenizer is None or tokenizer.decode is None:
            return {token: f"<{token}>" for token in distinct}
        return dict(zip(distinct, tokenizer.decode(distinct), strict=True))

    return texts


# ----------------------------------------------------------------------------------------- where else they stand


def _write_places(question: ScoringJob, scored: _Scored, tables: "Tables", cell: "Cell", watcher: Progress) -> None:
    """Places of the rows that are shown: those that the row features hold, and of other recited rows looked up now."""
    path = places_path(question.config.study)
    if not tables.features:
        path.unlink(missing_ok=True)
        return
    known = _known_places(question, cell, scored.tokens)
    here = scored.study.scores().filter(context=cell.context, continuation=cell.continuation)
    recited = here.filter(matches=cell.continuation)["row"].to_list()
    start = question.options.grid.split(cell.context)
    sought = [
        OccurrenceQuery(
            row, cell.context, cell.continuation, True, start, np.array(tokens[cell.context :][: cell.continuation])
        )
        for row, tokens in scored.tokens.items()
        if row in recited and row not in known["row"].to_pylist()
    ]
    if sought:
        corpus = next(rows.corpus for rows in question.plan.sets if rows.role == "train")
        known = pa.concat_tables([known, locate(corpus, sought, tables.facts, watcher)])
    write_table(path, known, {"run": question.run.key})


def _known_places(question: ScoringJob, cell: "Cell", rows: Iterable[int]) -> pa.Table:
    """The lines of the row features that are about these rows and the cell."""
    study = Study(question.config.study)
    if not (study.features_folder(question.run.key) / "places").is_dir():
        return PLACES.empty_table()
    found = study.features("places", question.run.key).filter(context=cell.context, continuation=cell.continuation)
    return found.filter(found["row"].is_in(list(rows))).to_arrow().cast(PLACES)


# ------------------------------------------------------------------------------------------------ joined to lines


def _lines(scored: _Scored, tables: "Tables", model: str, cell: "Cell", chosen: dict[int, str]) -> list[dict[str, Any]]:
    """One line a row that has all of the cell's tokens, in the order of `chosen`."""
    here = {"context": cell.context, "continuation": cell.continuation}
    scores = _by_row(scored.study.scores().filter(**here))
    truth = _by_row(scored.study.signals("truth", context=cell.context, continuation=cell.continuation))
    free = _by_row(scored.study.signals("free", context=cell.context, continuation=cell.continuation))
    rows = _by_row(scored.study.rows())
    whole = [row for row in chosen if scores[row]["matches"] is not None]
    said = {row: free[row]["token"] for row in whole}
    texts = scored.texts(
        token
        for row in whole
        for token in (*scored.tokens[row][: cell.context + cell.continuation], *said[row])
        if token is not None
    )
    lines = []
    for row in whole:
        true = scored.tokens[row][cell.context : cell.context + cell.continuation]
        lines.append(
            {
                "row": row,
                "why": chosen[row],
                "source": rows[row]["source"],
                "repetitions": rows[row]["repetitions"],
                "model": model,
                **here,
                "matches": scores[row]["matches"],
                "verbatim": scores[row]["verbatim"],
                "context_tokens": [texts[token] for token in scored.tokens[row][: cell.context]],
                "true_tokens": [texts[token] for token in true],
                "generated_tokens": ["" if token is None else texts[token] for token in said[row]],
                "hit": [ours == theirs for ours, theirs in zip(said[row], true, strict=True)],
                "log_probability": truth[row]["log_probability"][cell.context :],
            }
        )
    return lines


def _by_row(frame: "pl.DataFrame") -> dict[int, dict[str, Any]]:
    return {line["row"]: line for line in frame.iter_rows(named=True)}
