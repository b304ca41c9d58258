"""Rows worth looking at, token by token: the context, the true continuation, and what the largest model generated.

STUDY/gallery/study               the chosen rows scored again by that model alone, with per-token signals
STUDY/gallery/gallery.parquet     one record per row, see GALLERY
STUDY/gallery/places.parquet      where else the recited rows occur, see OCCURRENCES; only if the study has row features
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from mematlas.executors.options import WorkerOptions
from mematlas.features.occurrences import OccurrenceQuery
from mematlas.findings.finding import Finding
from mematlas.pipeline.step import Step, StepContext
from mematlas.pipeline.steps.analyze import chosen_analyses, read_current_finding, stamp_name
from mematlas.pipeline.steps.occurrences import locate
from mematlas.pipeline.steps.score import run_job
from mematlas.progress import Progress
from mematlas.scoring.job import ScoringJob, family_tokenizer, resolve_job
from mematlas.study import Run, Study, write_table, write_text
from mematlas.study.build_stamps import combined_fingerprint, forget, is_current, record
from mematlas.study.schemas.features import OCCURRENCES
from mematlas.study.schemas.gallery import GALLERY

if TYPE_CHECKING:
    import polars as pl

    from mematlas.analyses.frames.study_tables import Cell, Tables

#: Our choice: the number of rows recited in full (of those nearest to it, if there are none), and half recited (M from
#: 7/16 to 9/16), beside those of findings.
RECITED = HALF_RECITED = 6


class GalleryStep(Step):
    """Chooses rows, scores them again with per-token signals, and writes the gallery.

    names: the analyses whose findings name rows; limit: how many rows these may add.
    """

    name: ClassVar[str] = "gallery"
    announcement: ClassVar[str | None] = "Gallery: rows worth looking at, token by token"

    def __init__(self, job: ScoringJob, study: Study, names: Sequence[str], limit: int) -> None:
        self.job, self.study, self.names, self.limit = job, study, names, limit

    @classmethod
    def from_context(cls, context: StepContext) -> Self:
        file = context.file
        step = cls(context.job, context.study, chosen_analyses(file.only), file.gallery_rows)
        step.enabled = file.gallery and file.objective == "causal"  # it shows what was generated
        return step

    @property
    def source(self) -> str:
        """The fingerprint of what the gallery is computed from: the findings, and how many rows they may add."""
        stamps = [stamp_name(self.job.run, name) for name in self.names]
        return combined_fingerprint(self.study.folder, stamps) + f"-{self.limit}"

    def is_current(self) -> bool:
        return is_current(self.study.folder, self.name, self.source)

    def execute(self, workers: WorkerOptions, progress: Progress) -> None:
        """Scores in this process: the rows are few."""
        if self.is_current():
            return
        from mematlas.analyses.frames.study_tables import read_tables

        run = self.job.run
        findings = [read_current_finding(self.study, run, name) for name in self.names]
        tables = read_tables(self.study, run.key)
        make_gallery(self.job, tables, [found for found in findings if found is not None], self.limit, progress)
        record(self.study.folder, self.name, self.source)

    def clear(self) -> None:
        """Delete an earlier gallery, which the report would show otherwise."""
        gallery_path(self.study.folder).unlink(missing_ok=True)
        forget(self.study.folder, self.name)

    def summary(self) -> str | None:
        path = self.output(self.study, self.job.run)
        return f"Rows, token by token: {path}" if path else None

    @classmethod
    def output(cls, study: Study, run: Run) -> Path | None:
        path = gallery_path(study.folder)
        return path if path.is_file() else None


@dataclass(frozen=True, slots=True)
class _ScoredRows:
    """The chosen rows, scored. tokens: by row id, the ids of all tokens that the grid reads; texts: see `_decoder`."""

    study: Study
    tokens: dict[int, list[int]]
    texts: Callable[[Iterable[int]], dict[int, str]]


def gallery_path(study: Path) -> Path:
    return study / "gallery" / "gallery.parquet"


def places_path(study: Path) -> Path:
    return study / "gallery" / "places.parquet"


def make_gallery(
    job: ScoringJob, tables: "Tables", findings: Sequence[Finding], limit: int, progress: Progress
) -> Path | None:
    """Score the chosen rows and write the gallery; returns its path, or None if no row is worth looking at.

    Args:
        job: the run's; its largest model scores the rows.
        limit: how many rows the findings may add.
    """
    path = gallery_path(job.config.study)
    largest, cell = tables.by_size[-1], tables.reference
    chosen = choose_rows(tables, findings, limit)
    if not chosen:
        path.unlink(missing_ok=True)
        places_path(job.config.study).unlink(missing_ok=True)
        return None
    scored = _score(job, largest, cell, chosen, progress)
    records = _records(scored, tables, largest, cell, chosen)
    _write_occurrences(job, scored, tables, cell, progress)
    write_table(path, pa.Table.from_pylist(records, schema=GALLERY), {"run": job.run.key})
    return path


# ---------------------------------------------------------------------------------------------- choosing rows


def choose_rows(tables: "Tables", findings: Sequence[Finding], limit: int) -> dict[int, str]:
    """Ids of training rows -> why: those that findings name, in turn, then some recited in full or by half.

    Where no row is recited in full, those nearest to it are shown. Deterministic; among equals the row with the fewest
    repetitions comes first, then the lowest id. Of rows with one text at the cell of the claims only one is chosen.
    """
    import polars as pl

    chosen = _named_rows(tables, findings, limit)
    model, cell = tables.by_size[-1], tables.reference
    whole = tables.side_by_side((model,), cell, "recited").filter(pl.col(model))
    added = _fewest_repetitions(tables, whole, RECITED, f"recited whole by {model}")
    if not added and tables.complete:
        added = _nearest(tables, model, cell)
    if tables.graded:
        distance = (2 * pl.col(model).cast(pl.Int64) - cell.continuation).abs()
        half = tables.side_by_side((model,), cell).filter(8 * distance <= cell.continuation)
        added |= _fewest_repetitions(tables, half, HALF_RECITED, f"about half recited by {model}")
    all_rows = chosen | {row: why for row, why in added.items() if row not in chosen}
    distinct = tables.one_per_text(pl.DataFrame({"row": list(all_rows)}, schema={"row": pl.Int64}))
    return {row: all_rows[row] for row in distinct["row"]}


def _named_rows(tables: "Tables", findings: Sequence[Finding], limit: int) -> dict[int, str]:
    """Training rows that findings name, in turn, -> why; the first of a text stands for the others."""
    import polars as pl

    ids = {row for finding in findings for row in finding.rows}
    train = tables.rows.filter(pl.col("row").is_in(ids), role="train").select("row").collect()["row"]
    text_of = dict(tables.texts(train).select("row", "text").iter_rows())
    named = [
        [(row, f"{why} ({finding.title})") for row, why in finding.rows.items() if row in text_of]
        for finding in findings
    ]
    reasons: dict[int, list[str]] = {}
    first_of_text: dict[int, int] = {}
    for row, why in (pair for turn in zip_longest(*named) for pair in turn if pair is not None):
        shown = first_of_text.get(text_of[row], row)
        if shown in reasons or len(reasons) < limit:
            first_of_text[text_of[row]] = shown
            reasons.setdefault(shown, []).append(why)
    return {row: "; ".join(dict.fromkeys(whys)) for row, whys in reasons.items()}


def _nearest(tables: "Tables", model: str, cell: "Cell") -> dict[int, str]:
    """The rows of which the model gets most right: the most tokens, or those before the first miss if that is known."""
    import polars as pl

    value = "matches" if tables.graded else "verbatim"
    right = tables.side_by_side((model,), cell, value).filter(pl.col(model) > 0)
    ordered = right.sort(pl.col(model), "row", descending=[True, False])
    why = f"nearest to recited by {model}, which recites no row whole"
    return dict.fromkeys(tables.one_per_text(ordered.select("row")).head(RECITED)["row"], why)


def _fewest_repetitions(tables: "Tables", frame: "pl.DataFrame", count: int, why: str) -> dict[int, str]:
    candidates = frame.lazy().join(tables.rows.select("row", "repetitions"), on="row")
    ordered = candidates.sort("repetitions", "row", nulls_last=True).select("row").collect(engine="streaming")
    return dict.fromkeys(tables.one_per_text(ordered).head(count)["row"], why)


# ------------------------------------------------------------------------------------------- scoring them again


def _score(job: ScoringJob, model: str, cell: "Cell", rows: Iterable[int], progress: Progress) -> _ScoredRows:
    """The rows scored by this model alone, at the cell and at the grid's largest one: the grid's width cuts text."""
    config = job.config
    ids = config.study / "gallery" / "rows.txt"
    text = "".join(f"{row}\n" for row in sorted(rows))
    write_text(ids, text)
    config_of_rows = config.model_copy(
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
            "allow_short": True,
        }
    )
    rescoring = resolve_job([job.sources[model].card.spec], config_of_rows, extend=False)
    study = run_job(rescoring, progress)
    tokens: dict[int, list[int]] = {}
    for shard in range(rescoring.plan.count):
        read, row_ids = rescoring.plan.read(shard, rescoring.options.grid.width)
        start = rescoring.options.grid.continuation_start(cell.context) - cell.context
        tokens |= {int(row): row_tokens[start:].tolist() for row, row_tokens in zip(row_ids, read.ids, strict=True)}
    return _ScoredRows(study, tokens, _decoder(rescoring))


def _decoder(job: ScoringJob) -> Callable[[Iterable[int]], dict[int, str]]:
    """A function from token ids to their texts, which are `<id>` if the model has no tokenizer."""
    tokenizer = family_tokenizer(job.config, list(job.sources.values()))

    def texts(ids: Iterable[int]) -> dict[int, str]:
        distinct = sorted(set(ids))
        if tokenizer is None or tokenizer.decode is None:
            return {token: f"<{token}>" for token in distinct}
        return dict(zip(distinct, tokenizer.decode(distinct), strict=True))

    return texts


# ------------------------------------------------------------------------------------------- other occurrences


def _write_occurrences(
    job: ScoringJob, scored: _ScoredRows, tables: "Tables", cell: "Cell", progress: Progress
) -> None:
    """Other occurrences of the rows: those of the row features; for other recited rows, those looked up now."""
    path = places_path(job.config.study)
    if not tables.features:
        path.unlink(missing_ok=True)
        return
    occurrences = _known_occurrences(job, cell, scored.tokens)
    scores = scored.study.scores().filter(context=cell.context, continuation=cell.continuation)
    recited = scores.filter(matches=cell.continuation)["row"].to_list()
    start = job.options.grid.continuation_start(cell.context)
    queries = [
        OccurrenceQuery(
            row, cell.context, cell.continuation, True, start, np.array(tokens[cell.context :][: cell.continuation])
        )
        for row, tokens in scored.tokens.items()
        if row in recited and row not in occurrences["row"].to_pylist()
    ]
    if queries:
        corpus = next(rows.corpus for rows in job.plan.sets if rows.role == "train")
        occurrences = pa.concat_tables([occurrences, locate(corpus, queries, tables.facts, progress)])
    write_table(path, occurrences, {"run": job.run.key})


def _known_occurrences(job: ScoringJob, cell: "Cell", rows: Iterable[int]) -> pa.Table:
    """The occurrences in the row features, of these rows and the cell."""
    study = Study(job.config.study)
    if not (study.features_folder(job.run.key) / "places").is_dir():
        return OCCURRENCES.empty_table()
    table = study.features("places", job.run.key).filter(context=cell.context, continuation=cell.continuation)
    return table.filter(table["row"].is_in(list(rows))).to_arrow().cast(OCCURRENCES)


# ---------------------------------------------------------------------------------------------------- the table


def _records(
    scored: _ScoredRows, tables: "Tables", model: str, cell: "Cell", chosen: dict[int, str]
) -> list[dict[str, Any]]:
    """One record for each row that has all of the cell's tokens, in the order of `chosen`."""
    import polars as pl

    at_cell = {"context": cell.context, "continuation": cell.continuation}
    scores = _by_row(scored.study.scores().filter(**at_cell))
    truth = _by_row(scored.study.signals("truth", context=cell.context, continuation=cell.continuation))
    free = _by_row(scored.study.signals("free", context=cell.context, continuation=cell.continuation))
    rows = _by_row(scored.study.rows())
    texts_of_rows = _by_row(tables.texts(pl.Series(list(chosen), dtype=pl.Int64), cell))
    complete = [row for row in chosen if scores[row]["matches"] is not None]
    generated = {row: free[row]["token"] for row in complete}
    texts = scored.texts(
        token
        for row in complete
        for token in (*scored.tokens[row][: cell.context + cell.continuation], *generated[row])
        if token is not None
    )
    records = []
    for row in complete:
        true = scored.tokens[row][cell.context : cell.context + cell.continuation]
        records.append(
            {
                "row": row,
                "why": chosen[row],
                "source": rows[row]["source"],
                "repetitions": rows[row]["repetitions"],
                "rows_of_text": texts_of_rows[row]["rows_of_text"],
                "model": model,
                **at_cell,
                "matches": scores[row]["matches"],
                "verbatim": scores[row]["verbatim"],
                "context_tokens": [texts[token] for token in scored.tokens[row][: cell.context]],
                "true_tokens": [texts[token] for token in true],
                "generated_tokens": ["" if token is None else texts[token] for token in generated[row]],
                "hit": [token == truth for token, truth in zip(generated[row], true, strict=True)],
                "log_probability": truth[row]["log_probability"][cell.context :],
            }
        )
    return records


def _by_row(frame: "pl.DataFrame") -> dict[int, dict[str, Any]]:
    return {record["row"]: record for record in frame.iter_rows(named=True)}
