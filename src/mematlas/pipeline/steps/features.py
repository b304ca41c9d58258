"""Row features of a study, made and kept: what `mematlas features` and the second step of `mematlas run` do.

The corpus is read as one stream; once to see how long it is, then once for every group of scored rows, whose n-grams
are all looked for in the same pass. Each group is a shard of each table (`mematlas.study.schemas.features`). What is
there is kept: features are made again only if rows, grid, corpus, tokenizer or options changed.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mematlas.errors import IndexFault
from mematlas.executors.options import ALONE, WorkerOptions, resolve_workers
from mematlas.executors.pool import map_tasks, raise_failed
from mematlas.index.base import Scope
from mematlas.index.stream import Measured
from mematlas.io.paths import check_shared, delete_folder, translate_os_errors, write_json
from mematlas.pipeline.steps.count import AddedUp, Counted, Counting, Part, Sums, counters, parts_of
from mematlas.pipeline.steps.occurrences import write_occurrences
from mematlas.progress import Progress, Silent
from mematlas.scoring.reopen import ScoredRows, reopen_rows
from mematlas.study import Study, fingerprint, missing_shards, open_study, shard_name, write_shard
from mematlas.study.build_stamps import features_name, forget, is_current, record
from mematlas.types import Grid

if TYPE_CHECKING:
    from mematlas.corpus.row_sets import ShardPlan
    from mematlas.features.counts import Counter
    from mematlas.index.stream import CorpusStream, RowSource

#: Part of the fingerprint of features; raised when a change of the code can change a number.
VERSION: Final = 3
#: Our choice: n-grams of so many tokens in all are looked for in one pass, which bounds its memory (below 1.5 GB on
#: two cores). That is 36,000 rows a pass for one cell of 32 + 32 tokens, and 14,000 for the demo's eight cells.
PASS_TOKENS: Final = 1 << 24
_LOOK: Final = 1 << 16  # tokens read at once to find a first end of a document
KINDS: Final = ("texts", "tokens", "counts", "copies")


def make_features(
    study: Study | str | Path,
    *,
    scope: Scope = "documents",
    eod: int | None = None,
    joined: bool = False,
    training_order: str | Path | None = None,
    run: str | None = None,
    progress: Progress | None = None,
    **workers: object,
) -> Path:
    """Make the row features of a finished run and return their folder; the Python twin of `mematlas features`.

    Args:
        study: an open study or its folder.
        scope: within what 1- to 3-grams are counted: "rows", "documents" or "stream".
        eod: id of the token that ends a document within a row.
        joined: a document may go on in the next row; needs `eod`.
        training_order: .npy of row positions, as training showed them: counts are of that stream.
        run: the run whose key starts so; the latest by default.
        progress: watcher; silent by default.
        workers: workers=4, executor="ray", address="auto": who counts; the tables are the same.

    Raises:
        StudyError, CorpusError: see `mematlas.scoring.reopen.reopen_rows`.
        IndexFault: `eod` stands nowhere in the corpus, or `joined` lacks it.
        OptionError: an option of `workers` breaks a rule.
    """
    crew = resolve_workers("features", **workers)
    opened = study if isinstance(study, Study) else open_study(study)
    order = None if training_order is None else Path(training_order)
    scored, watcher = reopen_rows(opened, run), progress or Silent()
    folder = write_features(opened, scored, Counting(scope, eod, joined, order), watcher, crew)
    write_occurrences(opened, scored, watcher)
    return folder


def write_features(
    study: Study, scored: ScoredRows, counting: Counting, watcher: Progress, workers: WorkerOptions = ALONE
) -> Path:
    """Make what is missing of a run's features; returns their folder. Finished shards are kept; facts.json is last."""
    work = _Work.of(study, scored, counting)
    if work.is_done():
        watcher.say(f"Row features are there already: {work.folder}")
        return work.folder
    try:
        facts = _counted_by_workers(work, workers, watcher) if work.is_shared(workers) else _counted_here(work, watcher)
    finally:
        watcher.stop()
    write_json(work.folder / "facts.json", facts)
    record(study.folder, features_name(scored.run), work.source)
    return work.folder


def passes_left(study: Study, scored: ScoredRows, counting: Counting, workers: WorkerOptions = ALONE) -> int:
    """How often the rows of the corpus would be read by `write_features`; 0 if all is there."""
    work = _Work.of(study, scored, counting)
    if work.is_done():
        return 0
    return len(work.missing) + (0 if work.is_shared(workers) else 1)


# ------------------------------------------------------------------------------------------------ what there is to do


@dataclass(frozen=True, slots=True)
class _Work:
    """corpus: what is counted; plan: the scored rows, a shard a pass; source: of what the features are made; missing:
    the shards that are not finished, for all tables."""

    study: Study
    scored: ScoredRows
    counting: Counting
    corpus: "RowSource"
    plan: "ShardPlan"
    folder: Path
    source: str
    missing: list[int]

    @classmethod
    def of(cls, study: Study, scored: ScoredRows, counting: Counting) -> "_Work":
        from mematlas.corpus.row_sets import ShardPlan

        corpus = counting.corpus(scored)
        total = sum(len(rows.positions) for rows in scored.sets)
        plan = ShardPlan(scored.sets, -(-total // rows_a_pass(scored.grid)))
        encoder, grid = scored.encoder, scored.grid
        made_from = {
            "rows": scored.run.question["fingerprints"],
            "grid": [grid.contexts, grid.continuations, grid.align],
            "corpus": corpus.fingerprint,
            "tokenizer": encoder and [encoder.fingerprint, encoder.vocabulary],
            "counting": [counting.scope, counting.eod, counting.joined],
            "shards": plan.count,
            "version": VERSION,
        }
        folder = study.folder / "features" / scored.run.key
        source = fingerprint(made_from)
        return cls(study, scored, counting, corpus, plan, folder, source, _missing(folder, source, plan.count))

    def is_done(self) -> bool:
        made = is_current(self.study.folder, features_name(self.scored.run), self.source)
        return made and (self.folder / "facts.json").is_file() and not self.missing

    def is_shared(self, workers: WorkerOptions) -> bool:
        """Whether workers count what is missing."""
        return workers.shares(len(self.missing) * parts_of(self.corpus))

    def begin(self) -> None:
        """Make room: features that were made of something else go, for their shards are no part of these."""
        with translate_os_errors(self.study.folder):
            forget(self.study.folder, features_name(self.scored.run))
            (self.folder / "facts.json").unlink(missing_ok=True)
            if _begun(self.folder) != self.source:
                delete_folder(self.folder)
                write_json(self.folder / "begun.json", {"source": self.source})

    def facts(self, tokens: int, documents: int) -> dict[str, Any]:
        """What the features are made from; tokens, documents: of the whole corpus."""
        return {
            "scope": self.counting.scope,
            "tokens": tokens,
            "corpus": self.corpus.fingerprint,
            "eod": self.counting.eod,
            "joined": self.counting.joined,
            "ordered": self.counting.order is not None,
            "rows": len(self.corpus),
            "documents": documents,
            "version": VERSION,
        }


def _missing(folder: Path, source: str, count: int) -> list[int]:
    if _begun(folder) != source:
        return list(range(count))
    return sorted(set().union(*(missing_shards(folder / kind, count) for kind in KINDS)))


def _begun(folder: Path) -> str | None:
    """The source of the shards in `folder`."""
    try:
        found = json.loads((folder / "begun.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found.get("source") if isinstance(found, dict) else None


def rows_a_pass(grid: Grid) -> int:
    """How many rows' n-grams are looked for in one pass."""
    from mematlas.features.counts import counted_spans

    return max(1, PASS_TOKENS // sum(stop - start for start, stop in counted_spans(grid)))


# ------------------------------------------------------------------------------------------------------------ passes


def _counted_here(work: _Work, watcher: Progress) -> dict[str, Any]:
    """Count all missing shards in this process, one pass over the corpus each; returns the facts, by a first pass."""
    from mematlas.index.scan import Scan

    stream = work.counting.stream(work.corpus)
    facts = _measured(work, stream, watcher)
    work.begin()
    tables, missing, tokens = _Tables(work), work.missing, facts["tokens"]
    done = (work.plan.count - len(missing)) * tokens
    watcher.start("counting n-grams", work.plan.count * tokens, done, "tokens")
    scan = Scan(stream, on_tokens=watcher.advance)
    for index in missing:
        tables.write(index, scan)
    return facts


def _measured(work: _Work, stream: "CorpusStream", watcher: Progress) -> dict[str, Any]:
    """The facts, found by a first pass over the corpus."""

    _check_ends(stream, work.counting.eod)
    watcher.start("reading the corpus", len(work.corpus), 0)
    measured = Measured(stream)
    for piece in measured.pieces(0):
        watcher.advance(len(piece.rows.starts))
    return work.facts(measured.tokens, measured.documents)


def _counted_by_workers(work: _Work, workers: WorkerOptions, watcher: Progress) -> dict[str, Any]:
    """Count all missing shards by workers, who measure the corpus as they go; returns the facts.

    Raises:
        StudyError: a part was given up, because its workers died again and again.
    """
    from mematlas.index.scan import Scan

    check_shared(work.study.folder)
    stream, rows, sums = work.counting.stream(work.corpus), len(work.corpus), Sums()
    _check_ends(stream, work.counting.eod)
    tables, missing, parts, groups = _Tables(work), work.missing, parts_of(work.corpus), work.plan.count
    tasks = [Part(group, groups, number, parts) for group in missing for number in range(parts)]
    done = (groups - len(missing)) * rows
    watcher.start(f"counting n-grams, {min(workers.workers, len(tasks))} workers", groups * rows, done)

    def on_result(counted: Counted) -> None:
        if sums.is_empty:  # not before a worker is there, lest older features go for nothing
            work.begin()
        totals = sums.add(counted)
        if totals is not None:
            tables.write(counted.part.group, AddedUp(Scan(stream), totals))
        watcher.advance(counted.rows)

    worker = counters(work.study, work.scored, work.counting, work.corpus.fingerprint, groups)
    lost = map_tasks(workers, worker, tasks, on_result, watcher.say)
    raise_failed(
        lost,
        "parts",
        "tables of rows that were counted in all parts are kept. Take fewer --workers, and run the same command again.",
    )
    return work.facts(sums.tokens, sums.documents)


def _check_ends(stream: "CorpusStream", eod: int | None) -> None:
    """Look for the end-of-document token, before what is there is replaced.

    Raises:
        IndexFault: it stands nowhere.
    """
    tokens = 0
    for piece in stream.pieces(0, _LOOK) if eod is not None else ():
        if (piece.tokens == eod).any():
            return
        tokens += piece.own
    if eod is not None:
        raise IndexFault(
            f"The end-of-document token --eod {eod} stands nowhere in the corpus ({tokens:,} tokens); name "
            "the id that ends its documents, or leave --eod out."
        )


class _Tables:
    """Writes the tables of a group of rows, a shard each."""

    def __init__(self, work: _Work) -> None:
        from mematlas.features.texts import reader_of

        self._work = work
        self._decode, self._kinds = reader_of(work.scored.encoder)
        self._tokens = work.counting.stream(work.corpus).length(work.scored.grid.width)

    def write(self, index: int, counter: "Counter") -> None:
        from mematlas.features.counts import count_tables
        from mematlas.features.texts import texts_table
        from mematlas.features.tokens import tokens_table

        work, grid, scope = self._work, self._work.scored.grid, self._work.counting.scope
        name = shard_name(index, work.plan.count)
        metadata = {"run": work.scored.run.key, "scope": scope, "source": work.source}
        with translate_os_errors(work.study.folder):
            rows, ids = work.plan.read(index, grid.width)
            texts = texts_table(rows.ids, rows.lengths, ids, grid, self._decode)
            write_shard(work.folder / "texts", name, texts, metadata)
            write_shard(work.folder / "tokens", name, tokens_table(rows, ids), metadata)
            counts = count_tables(rows, ids, grid, counter, self._tokens, scope, self._kinds)
            for kind, table in zip(("counts", "copies"), counts, strict=True):
                write_shard(work.folder / kind, name, table, metadata)
